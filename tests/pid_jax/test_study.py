"""A study is what `estimate_pid` says, cell by cell, with its labels."""

import dataclasses

import jax
import numpy as np
import pytest

from pid_jax.estimate import estimate_pid
from pid_jax.spec import BROJA, MMI, PCA, PIDSpec
from pid_jax.store import NORM, ActivationStore, Manifest, tensor_name
from pid_jax.study import StudySpec, load_study, run_study, save_study, study_digest

LAYERS, WIDTH, COUNT = 2, 6, 120
SPEC = StudySpec(pid=PIDSpec(reduction=PCA(dim=(3, 3, 2))))
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
    assert dict(results.sizes) == {"task": 2, "condition": 2, "measure": 2, "layer": LAYERS}
    assert results.task.values.tolist() == ["a", "b"]
    assert results.condition.values.tolist() == ["baseline", "image-question@all"]
    assert results.measure.values.tolist() == ["broja", "mmi"]
    assert results.cut_last.values.tolist() == [-1, 1]
    assert results.unique_1.attrs["units"] == "nats"
    assert results.attrs["source_1_label"] == "vision"


@pytest.mark.parametrize("redundancy", [BROJA(), MMI()])
def test_cells_are_what_estimate_pid_says(stores, results, redundancy):
    rows = stores[1].columns["task"] == "b"
    sources = [np.stack([stores[1].read(role=r, layer=i)[rows] for i in range(LAYERS)]) for r in ("image", "question")]
    target = stores[1].read(role="last", layer=NORM)[rows]
    spec = dataclasses.replace(SPEC.pid, redundancy=redundancy)
    expected = estimate_pid(*sources, target, spec=spec, key=jax.random.key(0))
    cell = results.sel(task="b", condition="image-question@all", measure=type(redundancy).__name__.lower())
    for name in ("redundancy", "unique_1", "unique_2", "synergy"):
        np.testing.assert_allclose(cell[name], getattr(expected.atoms, name), atol=1e-10)
    np.testing.assert_allclose(cell.i_12, expected.information.i_12, atol=1e-10)


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

    monkeypatch.setattr("pid_jax.study.estimate_pid", refuse)
    with pytest.raises(ValueError, match=r"task 'a', baseline: 5 samples are too few\."):
        run_study(stores, spec=SPEC, key=jax.random.key(0))
