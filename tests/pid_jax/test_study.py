"""A study is what `estimate_pid` says, cell by cell, with its labels."""

import dataclasses

import jax
import numpy as np
import pytest

from pid_jax.estimate import estimate_pid
from pid_jax.inference.comparison import compare_pid
from pid_jax.spec import (
    BROJA,
    MMI,
    PCA,
    Copula,
    IndirectInference,
    NoCorrection,
    NoGaussianization,
    NoReduction,
    PIDSpec,
)
from pid_jax.store import NORM, ActivationStore, Manifest, tensor_name
from pid_jax.study.results import load_study, save_study
from pid_jax.study.run import StudySpec, run_study, study_digest

LAYERS, WIDTH, COUNT = 2, 6, 120
SPEC = StudySpec(pid=PIDSpec(reduction=PCA(dim=(3, 3, 2)), gaussianize=Copula(), bias_correction=NoCorrection()))
BASELINE = {"name": "baseline", "label": "Baseline", "edges": [], "first": -1, "last": -1}
CUT = {"name": "image-question@all", "label": "Cut", "edges": [["image", "question"]], "first": 0, "last": 1}


def _store(path, condition=BASELINE, seed=0, settings=None) -> ActivationStore:
    ids = tuple(f"{i:03d}" for i in range(COUNT))
    roles = ("image", "question", "last")
    tensors = [tensor_name(role, layer) for layer in range(LAYERS) for role in roles] + [tensor_name("last", NORM)]
    settings = settings or {"model": {"name": "m"}, "data": {"reader": "r"}, "versions": {"torch": "0"}}
    manifest = Manifest(ids=ids, shard_size=50, tensors=tuple(tensors), condition=condition, settings=settings)
    store = ActivationStore.create(path, manifest)
    generator = np.random.default_rng(seed)
    common = generator.normal(size=(COUNT, WIDTH))
    values = {name: (common + generator.normal(size=(COUNT, WIDTH))).astype(np.float32) for name in tensors}
    for index in store.missing_shards():
        rows = slice(index * 50, (index + 1) * 50)
        columns = [
            {"task": "ab"[int(i) % 2], "gold": "yes" if int(i) % 3 else "no", "correct": int(i) % 10 != 0}
            for i in store.shard_ids(index)
        ]
        store.write_shard(index, store.shard_ids(index), columns, {n: v[rows] for n, v in values.items()})
    return store


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    return [_store(folder / "b"), _store(folder / "k", CUT, seed=1)]


@pytest.fixture(scope="module")
def results(stores):
    return run_study(stores, spec=SPEC, key=jax.random.key(0))


def test_labels(results):
    sizes = {"task": 2, "condition": 2, "measure": 2, "layer": LAYERS, "gaussianizer": 3, "quantity": 7, "source": 2}
    assert dict(results.sizes) == sizes
    assert results.task.values.tolist() == ["a", "b"]
    assert results.condition.values.tolist() == ["baseline", "image-question@all"]
    assert results.measure.values.tolist() == ["broja", "mmi"]
    assert results.cut_last.values.tolist() == [-1, 1]
    assert results.unique_1.attrs["units"] == "nats"
    assert results.attrs["source_1_label"] == "vision"


@pytest.mark.parametrize("redundancy", [BROJA(), MMI()])
def test_cells_of_the_baseline_are_what_estimate_pid_says(stores, results, redundancy):
    sources, target = _states(stores[0], "b")
    spec = dataclasses.replace(SPEC.pid, redundancy=redundancy)
    expected = estimate_pid(*sources, target, spec=spec, key=jax.random.key(0))
    cell = results.sel(task="b", condition="baseline", measure=type(redundancy).__name__.lower())
    _assert_same(cell, expected)
    np.testing.assert_allclose(cell.explained_variance_2, expected.explained_variance[:, 1], atol=1e-10)
    np.testing.assert_allclose(cell.explained_variance_target, expected.explained_variance[:, 2], atol=1e-10)


def test_knockouts_are_projected_on_the_components_of_the_baseline(stores):
    """With covariances the choice of axes within the subspace does not matter, the subspace does."""
    pid = dataclasses.replace(SPEC.pid, gaussianize=NoGaussianization())
    results = run_study(stores, spec=dataclasses.replace(SPEC, pid=pid), key=jax.random.key(0))
    (baseline, baseline_target), (sources, target) = (_states(store, "b") for store in stores)
    scores = [
        np.stack([_svd_scores(*pair, 3) for pair in zip(*both, strict=True)])
        for both in zip(baseline, sources, strict=True)
    ]
    target_scores = _svd_scores(baseline_target, target, 2)
    unreduced = dataclasses.replace(pid, reduction=NoReduction())
    expected = estimate_pid(*scores, target_scores, spec=unreduced, key=jax.random.key(0))
    cell = results.sel(task="b", condition="image-question@all", measure="broja")
    _assert_same(cell, expected)
    kept = [s.var(axis=0).sum() / x.var(axis=0).sum() for s, x in zip(scores[0], sources[0], strict=True)]
    np.testing.assert_allclose(cell.explained_variance_1, kept, rtol=1e-6)
    assert (results.reduction_angle_1 == 0).all()
    assert "components of the baseline" in results.attrs["reduction"]


def test_no_reduction_takes_the_states_as_they_are(stores):
    pid = dataclasses.replace(SPEC.pid, reduction=NoReduction())
    results = run_study(stores, spec=dataclasses.replace(SPEC, pid=pid), key=jax.random.key(0))
    sources, target = _states(stores[1], "b")
    expected = estimate_pid(*sources, target, spec=pid, key=jax.random.key(0))
    _assert_same(results.sel(task="b", condition="image-question@all", measure="broja"), expected)
    assert (results.explained_variance_1 == 1).all()
    assert results.attrs["reduction"] == "none"


def _states(store, task):
    rows = store.columns["task"] == task
    sources = [np.stack([store.read(role=r, layer=i)[rows] for i in range(LAYERS)]) for r in ("image", "question")]
    return sources, store.read(role="last", layer=NORM)[rows]


def _svd_scores(fitted, applied, dim):
    fitted, applied = fitted.astype(np.float64), applied.astype(np.float64)
    axes = np.linalg.svd(fitted - fitted.mean(axis=0), full_matrices=False)[2][:dim]
    return (applied - fitted.mean(axis=0)) @ axes.T


def _assert_same(cell, expected):
    for name in ("redundancy", "unique_1", "unique_2", "synergy"):
        np.testing.assert_allclose(cell[name], getattr(expected.atoms, name), atol=1e-10)
    np.testing.assert_allclose(cell.i_12, expected.information.i_12, atol=1e-10)


def test_differences_are_those_of_compare_pid(stores, results):
    """Behind ranks, on the components of the baseline; and what a source adds is that of permutation_test."""
    (before, before_target), (after, after_target) = (_states(store, "b") for store in stores)
    spec = dataclasses.replace(SPEC.pid, bias_correction=IndirectInference())
    pair = ((*before, before_target[None].repeat(LAYERS, 0)), (*after, after_target[None].repeat(LAYERS, 0)))
    expected = compare_pid(*pair, spec=spec, key=jax.random.key(1), resamples=400)
    cell = results.sel(task="b", condition="image-question@all")
    for name in ("redundancy", "unique_1", "synergy", "i_12"):
        found = cell.sel(quantity=name)
        np.testing.assert_allclose(found.difference, getattr(expected.difference, name), atol=0.1)
        np.testing.assert_allclose(
            found.difference_upper - found.difference_lower,
            getattr(expected.upper, name) - getattr(expected.lower, name),
            rtol=0.35,
        )
    assert results.difference.sel(condition="baseline").isnull().all()
    assert ((results.added_p > 0) & (results.added_p <= results.added_family_wise)).all()
    assert results.attrs["tested_by"] == "Copula"
    untested = run_study(stores, spec=dataclasses.replace(SPEC, tested=None), key=jax.random.key(0))
    assert "difference" not in untested
    assert "added_p" not in untested


def test_answers(results):
    assert results.n_samples.values.tolist() == [60, 60]
    np.testing.assert_allclose(results.accuracy.sel(condition="baseline"), [0.8, 1.0])
    entropy = -(np.log(1 / 3) / 3 + 2 * np.log(2 / 3) / 3)
    np.testing.assert_allclose(results.answer_entropy, entropy)
    np.testing.assert_allclose(results.majority_rate, 2 / 3)


def test_keep_correct(stores):
    kept = run_study(stores, spec=dataclasses.replace(SPEC, keep="correct"), key=jax.random.key(0))
    assert kept.n_samples.sel(task="a").item() == 48
    assert (kept.accuracy.sel(condition="baseline") == 1).all()


def test_round_trip(results, tmp_path):
    save_study(results, tmp_path / "r.nc")
    loaded = load_study(tmp_path / "r.nc")
    assert loaded.attrs == results.attrs
    for name in results.variables:
        np.testing.assert_array_equal(loaded[name], results[name], err_msg=name)


def test_foreign_files(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        load_study(tmp_path / "none.nc")
    (tmp_path / "text.nc").write_text("x")
    with pytest.raises(ValueError, match="no netCDF file"):
        load_study(tmp_path / "text.nc")


def test_digest_changes_with_everything_that_matters(stores, tmp_path):
    digest = study_digest(stores, SPEC, 0)
    assert digest == study_digest([ActivationStore.open(store.path) for store in stores], SPEC, 0)
    assert digest != study_digest(stores, SPEC, 1)
    assert digest != study_digest(stores[:1], SPEC, 0)
    assert digest != study_digest(stores, dataclasses.replace(SPEC, keep="correct"), 0)
    assert digest != study_digest([stores[0], _store(tmp_path / "k", CUT, seed=2)], SPEC, 0)


def test_stores_must_belong_together(stores, tmp_path):
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="stores is empty"):
        run_study([], spec=SPEC, key=key)
    with pytest.raises(ValueError, match="must be a baseline, got image-question@all"):
        run_study(stores[::-1], spec=SPEC, key=key)
    with pytest.raises(ValueError, match="condition of its own"):
        run_study([stores[0], stores[0]], spec=SPEC, key=key)
    other = _store(tmp_path / "o", CUT, settings={"model": {"name": "other"}})
    with pytest.raises(ValueError, match="was not made like"):
        run_study([stores[0], other], spec=SPEC, key=key)


@pytest.mark.parametrize(("field", "value"), [("keep", "wrong"), ("measures", ())])
def test_bad_settings(field, value):
    with pytest.raises(ValueError, match=rf"StudySpec\({field}="):
        StudySpec(**{field: value})


def test_tasks_are_chosen_by_name(stores, results):
    chosen = run_study(stores, spec=dataclasses.replace(SPEC, tasks=("b",)), key=jax.random.key(0))
    np.testing.assert_array_equal(chosen.synergy.sel(task="b"), results.synergy.sel(task="b"))
    assert chosen.sizes["task"] == 1
    with pytest.raises(ValueError, match=r"tasks must be among \['a', 'b'\], got \['c'\]"):
        run_study(stores, spec=dataclasses.replace(SPEC, tasks=("c",)), key=jax.random.key(0))


def test_a_task_that_cannot_be_decomposed_is_named(stores, monkeypatch):
    def refuse(*arguments, **settings):
        raise ValueError("5 samples are too few.")

    monkeypatch.setattr("pid_jax.study.run.estimate_reduced", refuse)
    with pytest.raises(ValueError, match=r"task 'a', baseline: 5 samples are too few\."):
        run_study(stores, spec=SPEC, key=jax.random.key(0))
