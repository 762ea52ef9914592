"""The demonstration in miniature: from images to the page, killed in the middle, resumed, and reused."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr

from pid_jax.study.decision_results import load_decision
from pid_jax.study.results import load_study

pytestmark = pytest.mark.slow

PER_TASK = 100


def _demo(folder, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "pid_jax.cli", "demo", "--per-task", str(PER_TASK), "--out", str(folder)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, **pipes, **options)


def _finish(folder) -> str:
    process = _demo(folder)
    text, _ = process.communicate()
    assert process.returncode == 0, text
    return " ".join(text.split())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A demonstration that was killed with all its processes in the middle of the extraction, then run again."""
    folder = tmp_path_factory.mktemp("demo")
    process = _demo(folder, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(folder.glob("stores/baseline/shard-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert list(folder.glob("stores/baseline/shard-*")), "the extraction never wrote a shard"
    assert not (folder / "results.nc").exists()
    return folder, _finish(folder)


@pytest.fixture(scope="module")
def results(finished):
    with xr.open_dataset(finished[0] / "results.nc", engine="h5netcdf") as data:
        return data.load()


@pytest.fixture(scope="module")
def answer(finished):
    return load_study(finished[0] / "answer.nc").sel(model="tiny", measure="broja")


@pytest.fixture(scope="module")
def tiny(results):
    return results.sel(model="tiny")


def test_killed_run_is_continued(finished):
    assert "samples are there and reused" in finished[1]


def test_files(finished):
    folder, text = finished
    written = {"answer.nc", "questions.nc", "results.nc", "decision.nc", "report.html"}
    assert {path.name for path in folder.iterdir()} == written | {"stores", "figures", "cells"}
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert {"answer-information.png", "answer-trajectories.png", "answer-knockout.png"} <= figures
    assert {"trajectories.png", "shares.png", "knockout.png", "measures.png"} <= figures
    assert str(folder / "report.html") in text
    page = (folder / "report.html").read_text()
    assert page.count("data-chart=") >= 4
    assert "USER: &lt;image&gt;" in page


def test_all_cells_are_there_and_certified(results):
    sizes = {"model": 1, "task": 2, "condition": 3, "measure": 2, "layer": 9, "gaussianizer": 3, "replicate": 200}
    assert {name: results.sizes[name] for name in sizes} == sizes
    assert (results.status == 0).all()
    assert float(abs(results.gap.sel(measure="broja")).max()) < 1e-10
    assert (results.n_samples == PER_TASK).all()
    assert (results.gaussianized_by == "Copula").all()  # too few samples for flows


def test_atoms_sum_to_the_information(results):
    total = results.redundancy + results.unique_1 + results.unique_2 + results.synergy
    np.testing.assert_allclose(total - results.i_12, 0, atol=1e-10)


def test_what_the_demonstration_shows(tiny):
    """Vision-unique information decays, and the knockout traps it; PER_TASK is small, so bounds are loose."""
    unique = tiny.unique_1.sel(measure="broja")
    start = unique.sel(layer=0)
    assert (unique.sel(condition="baseline", layer=5) < 0.25 * start.sel(condition="baseline")).all()
    assert (unique.sel(condition="image-question@all") > 0.7 * start.sel(condition="image-question@all")).all()
    window = unique.sel(condition="image-question@0-2")
    assert (window.sel(layer=3) > 0.7 * window.sel(layer=0)).all()
    assert (window.sel(layer=6) < 0.5 * window.sel(layer=0)).all()
    assert (tiny.accuracy.sel(condition="baseline") > 0.95).all()


def test_what_the_demonstration_shows_about_the_answer(answer):
    """A picture alone says nothing about a yes/no answer, and what it says of others is trapped by the knockout."""
    assert (answer.i_12 < 1.1 * answer.target_entropy).all()
    closed, open_ = answer.sel(task="yes-no"), answer.sel(task="what").unique_1
    assert (abs(closed.unique_1) < 0.1).all()
    start = open_.sel(layer=0)
    assert (open_.sel(condition="baseline", layer=slice(2, None)) < 0.3 * start.sel(condition="baseline")).all()
    assert (open_.sel(condition="image-question@all") > 0.7 * start.sel(condition="image-question@all")).all()


def test_what_the_model_itself_decides(finished):
    """Of a yes/no answer the image alone decides nothing, and of a "what" answer the most; PER_TASK is small."""
    decision = load_decision(finished[0] / "decision.nc").sel(model="tiny", answer="model")
    total = decision.redundancy + decision.unique_1 + decision.unique_2 + decision.synergy
    np.testing.assert_allclose(total - decision.i_12, 0, atol=1e-6)
    assert (decision.i_12 <= decision.target_entropy + 1e-6).all()
    assert float(decision.i_1.sel(task="yes-no")) < 0.1
    assert float(decision.i_1.sel(task="what")) > 0.5
    assert "What the model itself decides" in (finished[0] / "report.html").read_text()


def test_the_trapping_is_no_chance(results):
    """In every layer behind the first block the cut leaves more to vision alone, and vision always adds to language."""
    trapped = results.sel(condition="image-question@all", quantity="unique_1", layer=slice(2, None))
    assert (trapped.difference_lower > 0).all()
    assert (trapped.difference_family_wise <= 0.05).all()
    assert (results.added_family_wise.sel(source="source_1", condition="baseline", layer=0) <= 0.05).all()
    assert results.difference.sel(condition="baseline").isnull().all()


@pytest.mark.slow  # .ci/run does the same
def test_second_run_reuses_everything(finished):
    folder, _ = finished
    before = (folder / "results.nc").read_bytes()
    text = _finish(folder)
    for count in (200, 400):  # the baseline, and both knockouts
        assert f"{count} of {count} samples are there and reused; nothing to do" in text
    for count in (6, 2):
        assert f"{count} of {count} cells are there and reused" in text
    assert (folder / "results.nc").read_bytes() == before


@pytest.mark.slow
def test_same_numbers_without_the_kill(results, tmp_path):
    _finish(tmp_path)
    with xr.open_dataset(tmp_path / "results.nc", engine="h5netcdf") as data:
        for name in results.data_vars:
            np.testing.assert_array_equal(data[name], results[name], err_msg=str(name))
