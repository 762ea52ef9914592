"""`pid-jax` as a user meets it."""

import numpy as np
import pytest

from pid_jax.cli import main
from pid_jax.result import PIDEstimate
from pid_jax.study.results import load_study
from tests.study_stores import CUT, make_store


@pytest.fixture
def pid_jax(command_line):
    return command_line("pid-jax", main)


@pytest.fixture
def arrays(tmp_path):
    generator = np.random.default_rng(0)
    target = generator.normal(size=(200, 3))
    path = tmp_path / "arrays.npz"
    values = {name: target + generator.normal(size=(200, 3)) for name in ("source_1", "source_2")}
    np.savez(path, target=target, **values)
    return path


def test_estimate(pid_jax, arrays, tmp_path):
    out = tmp_path / "estimate.nc"
    code, text, _ = pid_jax("estimate", arrays, "--bits", "--dims", "2,2,2", "--out", out)
    assert code == 0
    assert "in bits" in text
    loaded = PIDEstimate.load(out)
    assert loaded.unit == "bits"
    assert loaded.dims == (2, 2, 2)


def test_estimate_needs_the_three_names(pid_jax, tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, source_1=np.zeros(3), vision=np.zeros(3))
    code, _, err = pid_jax("estimate", path)
    assert code == 1
    assert "has no array source_2, target" in " ".join(err.split())


@pytest.mark.parametrize("dims", ["12", "1,2", "a,b,c", "0,1,1"])
def test_bad_dims(pid_jax, arrays, dims):
    code, _, err = pid_jax("estimate", arrays, "--dims", dims)
    assert code == 1
    assert err.count("error:") == 1
    assert "Traceback" not in err


@pytest.mark.parametrize("command", [["report", "none.nc"], ["study", "--store", "none"]])
def test_missing_input_is_one_line(pid_jax, tmp_path, command):
    code, _, err = pid_jax(*command, "--out", tmp_path / "o")
    assert code == 1
    assert err.count("error:") == 1
    assert "none" in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback(pid_jax, tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        pid_jax("report", "none.nc", "--out", tmp_path, "--debug")


def test_a_file_that_is_no_npz(pid_jax, tmp_path):
    path = tmp_path / "a.npz"
    path.write_text("x")
    code, _, err = pid_jax("estimate", path)
    assert code == 1
    assert "is no .npz file" in err


def test_an_estimate_that_failed_is_no_success(pid_jax, tmp_path):
    target = np.random.default_rng(0).normal(size=(100, 2))
    np.savez(tmp_path / "a.npz", source_1=target, source_2=target[:, :1], target=target)
    code, _, err = pid_jax("estimate", tmp_path / "a.npz", "--dims", "2,1,2")
    assert code == 1
    assert "INFINITE_INFORMATION: The sources determine some direction" in " ".join(err.split())


STUDY = '[[models]]\nname = "m"\nstore = "b"\nknockouts = ["k"]\n'
SETTINGS = 'dims = [3, 3, 2]\ngaussianize = "copula"\ncompared = []\nreplicates = 50\n'


@pytest.fixture(scope="module")
def study_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    make_store(folder / "b")
    make_store(folder / "k", CUT, seed=1)
    make_store(folder / "o", CUT | {"name": "image-last@all"}, settings={"model": {"name": "other"}})
    (folder / "study.toml").write_text(SETTINGS + STUDY)
    return folder


def test_a_study_file_to_results_and_page(pid_jax, study_folder):
    out = study_folder / "out"
    code, text, _ = pid_jax("study", study_folder / "study.toml", "--out", out)
    assert code == 0
    assert "What this study says of five claims" in text
    results = load_study(out / "results.nc")
    assert results.verdict.shape == (1, 5)
    assert (out / "report.html").stat().st_size > 1e6
    before = (out / "results.nc").read_bytes(), (out / "report.html").read_bytes()
    code, text, _ = pid_jax("study", study_folder / "study.toml", "--out", out)
    assert code == 0
    assert "m: 4 of 4 cells are there and reused" in text
    assert ((out / "results.nc").read_bytes(), (out / "report.html").read_bytes()) == before


@pytest.mark.parametrize("option", ["--seed", "--dims", "--tasks", "--knockout"])
def test_options_that_a_study_file_has_entries_for(pid_jax, study_folder, option):
    code, _, err = pid_jax("study", study_folder / "study.toml", option, "1", "--out", study_folder / "out3")
    assert code == 1
    assert f"{option} and a study file were given" in " ".join(err.split())


def test_what_is_left_out_is_one_line_each(pid_jax, study_folder):
    stores = ("--store", study_folder / "b", "--knockout", study_folder / "k", "--knockout", study_folder / "o")
    options = ("--dims", "3,3,2", "--gaussianize", "copula", "--out", study_folder / "out2")
    code, _, err = pid_jax("study", *stores, *options)
    assert code == 0
    assert "is left out: it was not made like" in " ".join(err.split())
    code, _, err = pid_jax("study", *stores, *options, "--strict")
    assert code == 1
    assert "1 parts of the study had to be left out" in " ".join(err.split())


def test_a_study_needs_one_description(pid_jax, tmp_path):
    for given, what in (((), "neither"), ((tmp_path / "x.toml", "--store", "b"), "both")):
        code, _, err = pid_jax("study", *given, "--out", tmp_path / "o")
        assert code == 1
        assert f"needs a study file or --store, got {what}" in " ".join(err.split())
