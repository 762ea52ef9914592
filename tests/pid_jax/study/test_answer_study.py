"""A study about an answer and about the state: the same schema, sources read once, single questions."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from pid_jax.pid.mmi import MMI
from pid_jax.plot.catalog import planned_figures
from pid_jax.report.page import write_report
from pid_jax.settings.categorical import CategoricalSpec, LinearClassifier, PoolRare
from pid_jax.settings.estimate import PCA, NoCorrection, PIDSpec
from pid_jax.settings.gaussianize import Copula
from pid_jax.store import ActivationStore
from pid_jax.store.targets import Answer, FinalNorm
from pid_jax.study.files import load_studies, save_studies
from pid_jax.study.metrics.add import add_metrics
from pid_jax.study.model import StudyModel
from pid_jax.study.multiverse import Multiverse, run_multiverse
from pid_jax.study.run import run_study, run_targets
from pid_jax.study.spec import StudySpec
from tests.study_stores import CUT, LAYERS, make_store

pytestmark = pytest.mark.slow

ATOMS = ("redundancy", "unique_1", "unique_2", "synergy")
CLASSES = CategoricalSpec(classifier=LinearClassifier(), components=4, cells=8, perturbations=0, rare=PoolRare(5))
SPEC = StudySpec(
    pid=PIDSpec(reduction=PCA(dim=(3, 3, 2)), gaussianize=Copula(), bias_correction=NoCorrection()),
    compared=(),
    compared_measures=(),
    replicates=100,
    categorical=CLASSES,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The answer is decided by what all states have in common."""
    folder = tmp_path_factory.mktemp("stores")
    shared = np.random.default_rng(7).normal(size=(240, 6))

    def answer(i):
        return "yes" if shared[i, 0] > 0 else "no"

    options = {"count": 240, "predicted": answer}
    baseline = make_store(folder / "b", **options)
    return StudyModel(name="m", baseline=baseline, knockouts=(make_store(folder / "k", CUT, seed=1, **options),))


@pytest.fixture(scope="module")
def reads():
    return []


@pytest.fixture(scope="module")
def found(model, reads, tmp_path_factory):
    read = ActivationStore.read

    def recorded(store, **which):
        reads.append((str(store.path), which["role"], which["layer"]))
        return read(store, **which)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ActivationStore, "read", recorded)
        return run_targets([model], (Answer(), FinalNorm()), spec=SPEC, cells=tmp_path_factory.mktemp("cells"))


def test_sources_are_read_once_for_both_targets(found, reads):
    assert list(found) == ["answer", "final-norm"]
    assert len(reads) == len(set(reads)) == 2 * (2 * LAYERS + 1)


def test_the_state_is_not_changed_by_the_other_target(model, found):
    alone = run_study([model], spec=SPEC)
    for name in alone.variables:
        one, other = alone[name].values, found["final-norm"].results[name].values
        if name in ("explained_variance_1", "explained_variance_2"):  # as a part of that of all components
            np.testing.assert_allclose(one, other, rtol=1e-12)
        else:
            np.testing.assert_array_equal(one, other, err_msg=str(name))


def test_atoms_about_the_answer(found):
    results = found["answer"].results
    assert results.sizes["measure"] == 2
    total = sum(results[name] for name in ATOMS)
    np.testing.assert_allclose(total - results.i_12, 0, atol=1e-9)
    entropy = results.target_entropy
    assert (results.i_12 <= entropy + 2 * (results.synergy_upper - results.synergy).max("measure")).all()
    assert float(results.i_12.min()) > 0.1
    mmi = results.sel(measure="mmi")
    np.testing.assert_allclose(mmi.redundancy, np.minimum(results.i_1, results.i_2), atol=1e-9)
    assert set(results.classified_by.values.ravel()) <= {"LinearClassifier", "source_1 alone", "source_2 alone"}


def test_what_is_tested_comes_from_shares_of_samples(found):
    results = found["answer"].results
    for name in ATOMS:
        own = results[name].sel(measure="broja")
        np.testing.assert_allclose(results[f"replicate_{name}"].mean("replicate"), own, atol=1e-6)
    # States of the cut are drawn as those of the baseline are, from the same common part.
    change = results.sel(condition="image-question@all", quantity="i_12")
    error = (change.difference_upper - change.difference_lower) / (2 * 1.96)
    assert (abs(change.difference) < 3 * error).all()
    assert (error < 0.06).all()
    assert results.difference.sel(condition="baseline").isnull().all()
    adds = results.i_12 - xr.concat([results.i_2, results.i_1], "source").assign_coords(source=results.source)
    sure = (results.added_p <= 0.05) & (results.condition == "baseline")
    assert (adds.where(sure, 1) > 0).all()
    assert (results.added_p.where(adds <= 1e-6) == 1).where(adds <= 1e-6, True).all()
    assert (results.added_family_wise >= results.added_p - 1e-12).all()


def test_questions_average_to_the_atoms(found):
    questions, results = found["answer"].questions, found["answer"].results
    assert questions.question.values[0].startswith("question ")
    for task in ("a", "b"):
        own = questions.isel(sample=questions.task.values == task).sel(condition="baseline", at="last")
        cell = results.isel(model=0).sel(task=task, condition="baseline", measure="broja", layer=LAYERS - 1)
        assert (own.layer == LAYERS - 1).all()
        for name in ATOMS:
            np.testing.assert_allclose(float(own[name].mean()), float(cell[name]), atol=1e-5)


def test_metrics_figures_page_and_files(found, tmp_path):
    studies = {name: dataclasses.replace(one, results=add_metrics(one.results)) for name, one in found.items()}
    assert {path.name for path in save_studies(studies, tmp_path)} == {"answer.nc", "questions.nc", "results.nc"}
    loaded = load_studies(tmp_path)
    assert list(loaded) == list(studies)
    for name, one in studies.items():
        xr.testing.assert_equal(loaded[name].results, one.results)
        assert ("information" in planned_figures(loaded[name].results)) == (name == "answer")
    results = {name: one.results for name, one in loaded.items()}
    page = write_report(results, tmp_path / "page.html", questions=loaded["answer"].questions).read_text()
    assert page.index('data-chart="information"') < page.index('id="summary"')
    assert page.count("data-target=") == 2


def test_an_answer_is_a_universe_of_a_state(model, found):
    chosen = Multiverse(targets=(Answer(),), conditions=("image-question@all",))
    results = run_multiverse(add_metrics(found["final-norm"].results), [model], spec=SPEC, multiverse=chosen)
    expected = add_metrics(found["answer"].results)
    assert results.universe_target.values.tolist() == ["final-norm state at the last position", "model's answer"]
    np.testing.assert_array_equal(results.universe_value[1], expected.claim_value)
    assert results.universe_verdict[1].values.tolist() == expected.verdict.values.tolist()


def test_universes_of_an_answer_have_other_targets_and_measures(model, found):
    chosen = Multiverse(targets=(FinalNorm(),), dims=((2, 2, 1),), measures=(MMI(),))
    spec, lines = dataclasses.replace(SPEC, target=Answer()), []
    own = add_metrics(found["answer"].results)
    results = run_multiverse(own, [model], spec=spec, multiverse=chosen, tell=lines.append)
    assert results.universe_measure.values.tolist() == ["broja", "broja", "mmi"]
    assert np.isfinite(results.universe_value.sel(claim="synergy_small")).all()
    assert ["dims" in line for line in lines] == [True]


def test_a_target_that_cannot_be_had_leaves_the_other(tmp_path):
    model = StudyModel(name="m", baseline=make_store(tmp_path / "b"))
    found = run_targets([model], (Answer(), FinalNorm()), spec=SPEC)
    assert "predicted" in str(found["answer"])
    assert found["final-norm"].results.sizes["layer"] == LAYERS
