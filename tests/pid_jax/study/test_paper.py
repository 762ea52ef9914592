"""The settings of the paper: what they are, what they find next to the study, and what differs is said."""

import dataclasses
import json

import numpy as np
import pytest

from pid_jax import BROJA, MMI, Answer, Copula, IndirectInference, StudySpec
from pid_jax.report.page import write_report
from pid_jax.study.config import open_models, read_config
from pid_jax.study.files import load_folder, save_studies
from pid_jax.study.full import run_full_study
from pid_jax.study.model import StudyModel
from pid_jax.study.paper import recompute
from pid_jax.study.run import TargetStudy
from tests.study_stores import CUT, EARLY, make_store

COUNT = 240
STUDY = """\
preset = "paper"
replicates = 60
dims = [3, 3, 2]
compared = []
compared_measures = []
targets = ["final-norm"]

[[models]]
name = "m"
store = "b"
knockouts = ["e", "k"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("stores")
    make_store(path / "b", count=COUNT)
    make_store(path / "k", CUT, seed=1, count=COUNT)
    make_store(path / "e", EARLY, seed=2, count=COUNT)
    (path / "study.toml").write_text(STUDY)
    return path


@pytest.fixture(scope="module")
def whole(folder):
    return run_full_study(read_config(folder / "study.toml"))


def test_the_settings():
    spec = StudySpec.paper()
    assert spec.pid.reduction.variance == 0.95
    assert spec.measures == (MMI(),)
    assert (spec.keep, spec.pairwise, spec.is_tested) == ("correct", True, True)
    assert StudySpec.paper(replicates=50, tasks=("a",)).tasks == ("a",)
    assert not StudySpec().pairwise


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("measures", {"measures": (BROJA(),)}),
        ("compared", {"compared": (Copula(),)}),
        ("compared_measures", {"compared_measures": (MMI(),)}),
        ("target", {"target": Answer()}),
        ("gaussianize", {"pid": dataclasses.replace(StudySpec.paper().pid, gaussianize=Copula())}),
        ("bias_correction", {"pid": dataclasses.replace(StudySpec.paper().pid, bias_correction=IndirectInference())}),
    ],
)
def test_what_needs_one_covariance_is_refused(name, change):
    with pytest.raises(ValueError, match=name):
        StudySpec.paper(**change)


@pytest.mark.slow
def test_one_unique_part_is_zero_in_every_layer(whole):
    paper = whole.paper
    atoms = paper.isel(measure=0)
    assert list(paper.condition.values) == ["baseline", "image-question@all"]
    assert (np.minimum(abs(atoms.unique_1), abs(atoms.unique_2)) < 1e-12).all()
    np.testing.assert_allclose(atoms.redundancy + atoms.unique_1, paper.i_1, atol=1e-12)
    np.testing.assert_allclose(
        atoms.redundancy + atoms.unique_1 + atoms.unique_2 + atoms.synergy, paper.i_12, atol=1e-12
    )
    assert (paper.components_1 >= 1).all()
    assert (paper.explained_variance_1.sel(condition="baseline") >= 0.95).all()
    assert np.isfinite(paper.replicate_redundancy).all()


@pytest.mark.slow
def test_both_analyses_are_of_the_same_samples_and_judge_the_same_claims(whole):
    own = whole.targets["final-norm"].results
    np.testing.assert_array_equal(own.n_samples, whole.paper.n_samples)
    assert (own.n_samples.values == [[96, 120]]).all()  # a tenth is answered wrongly
    assert own.claim.values.tolist() == whole.paper.claim.values.tolist()
    assert own.attrs["study"] == whole.paper.attrs["study"]


@pytest.mark.slow
def test_what_differs_from_the_paper_is_said(whole, folder):
    (few,) = [line for line in json.loads(whole.paper.attrs["deviations"]) if "900" in line]
    assert "a 96, b 120" in few
    assert few in whole.problems
    config = read_config(folder / "study.toml")
    models, _ = open_models(config.models)
    found, lines = recompute([StudyModel(name="m", baseline=models[0].baseline)], spec=config.paper)
    assert found is not None
    assert any("Image→Question" in line for line in lines)
    found, lines = recompute(models, spec=dataclasses.replace(config.paper, tasks=("c",)))
    assert found is None
    assert "'c'" in lines[-1]


@pytest.mark.slow
def test_the_file_is_read_again_and_the_page_shows_both(whole, tmp_path):
    written = save_studies(whole.targets, tmp_path, paper=whole.paper)
    assert [path.name for path in written] == ["results.nc", "paper.nc"]
    read = load_folder(tmp_path)
    assert read.paper is not None
    np.testing.assert_array_equal(read.paper.redundancy, whole.paper.redundancy)
    results = {name: one.results for name, one in read.targets.items()}
    page = write_report(results, tmp_path / "page.html", paper=read.paper).read_text()
    assert '<section id="paper">' in page
    assert "900 samples" in page
    save_studies({"final-norm": TargetStudy(results=results["final-norm"].assign_attrs(study="other"))}, tmp_path)
    assert load_folder(tmp_path).paper is None


@pytest.mark.parametrize(("entry", "name"), [('preset = "notes"', "preset"), ("variance = 1.5", "variance")])
def test_entries_of_a_file_are_checked(folder, entry, name):
    lines = STUDY.replace('preset = "paper"', entry)
    (folder / "wrong.toml").write_text(lines)
    with pytest.raises(ValueError, match=name):
        read_config(folder / "wrong.toml")
