"""A study from a file to verdicts, and the same under other choices."""

import json

import numpy as np
import pytest
import xarray as xr

from pid_jax.study.config import open_models, read_config
from pid_jax.study.full import run_full_study
from pid_jax.study.metrics.add import add_metrics
from pid_jax.study.metrics.verdicts import CLAIMS
from pid_jax.study.multiverse import Multiverse, run_multiverse
from pid_jax.study.results import load_study, save_study
from pid_jax.study.run import run_study
from tests.study_stores import CUT, make_store

STUDY = """
dims = [3, 3, 2]
gaussianize = "copula"
compared = []
target = "final-norm"
replicates = 60

[[models]]
name = "m"
store = "b"
knockouts = ["k"{more}]

[multiverse]
conditions = ["image-question@all"]
targets = ["answer-logits"]
measures = ["mmi"]
"""


def run_one(file, cells=None):
    found = run_full_study(read_config(file), cells=cells)
    assert list(found.targets) == ["final-norm"]
    return found.targets["final-norm"].results, list(found.problems)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("study")
    make_store(path / "b")
    make_store(path / "k", CUT, seed=1)
    (path / "gone").mkdir()
    (path / "study.toml").write_text(STUDY.format(more=""))
    (path / "broken.toml").write_text(STUDY.format(more=', "gone"'))
    return path


@pytest.fixture(scope="module")
def found(folder):
    return run_one(folder / "broken.toml", cells=folder / "cells")


@pytest.mark.slow
def test_what_is_left_out_is_said_and_the_rest_goes_on(found):
    results, lines = found
    assert len(lines) == 2
    assert "gone is no activation store" in lines[0]
    assert json.loads(results.attrs["problems"]) == lines[:1]
    assert "answer" in lines[1]
    assert "readout" in lines[1]
    assert (results.cell == "done").all()


@pytest.mark.slow
def test_universes_are_judged_beside_the_study(found):
    results, _ = found
    assert results.universe_measure.values.tolist() == ["broja", "broja", "mmi"]
    np.testing.assert_array_equal(results.universe_value[0], results.claim_value)
    assert (results.universe_verdict[0] == results.verdict).all()
    assert (results.universe_verdict[1] == "not testable here").all()
    assert ["readout" in str(text) for text in results.universe_reason[1].values.ravel()] == [True] * len(CLAIMS)
    assert results.universe_value[1].isnull().all()
    assert not np.array_equal(results.universe_value[2], results.claim_value, equal_nan=True)


@pytest.mark.slow
def test_it_is_the_sum_of_its_parts(folder, found):
    config = read_config(folder / "study.toml")
    models, _ = open_models(config.models)
    parts = run_study(models, spec=config.spec)
    assert "claim_value" not in parts
    whole = run_multiverse(add_metrics(parts), models, spec=config.spec, multiverse=config.multiverse or Multiverse())
    results, lines = run_one(folder / "study.toml", cells=folder / "cells")
    assert len(lines) == 1
    for name in whole.variables:
        np.testing.assert_array_equal(whole[name], results[name], err_msg=str(name))
    assert set(results.variables) == set(found[0].variables)


@pytest.mark.slow
def test_all_of_it_survives_a_file(found, tmp_path):
    loaded = load_study(save_study(found[0], tmp_path / "r.nc"))
    for name in found[0].variables:
        np.testing.assert_array_equal(loaded[name], found[0][name], err_msg=str(name))


@pytest.mark.slow
def test_a_condition_whose_store_cannot_be_opened_is_left_out(folder):
    text = STUDY.format(more="").replace('knockouts = ["k"]', 'knockouts = ["gone"]')
    (folder / "lost.toml").write_text(text.replace('targets = ["answer-logits"]', ""))
    results, lines = run_one(folder / "lost.toml", cells=folder / "cells")
    assert len(lines) == 1
    assert "gone is no activation store" in lines[0]
    assert results.sizes["universe"] == 2
    (folder / "none.toml").write_text(text.replace('store = "b"', 'store = "nowhere"'))
    with pytest.raises(ValueError, match=r"nothing to study.*nowhere does not exist: check the path"):
        run_full_study(read_config(folder / "none.toml"))


def test_a_condition_that_no_model_has(folder):
    config = read_config(folder / "study.toml")
    models, _ = open_models(config.models)
    results = xr.Dataset()  # it is refused before they are looked at
    with pytest.raises(ValueError, match=r"\['image-question@all'\].*\['x'\]"):
        run_multiverse(results, models, spec=config.spec, multiverse=Multiverse(conditions=("x",)))
