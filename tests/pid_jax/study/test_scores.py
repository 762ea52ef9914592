"""States are read layer by layer, and every condition is projected on the components of the baseline."""

import tracemalloc

import jax
import numpy as np
import pytest

from pid_jax.settings.estimate import PCA, Exact, NoReduction, Randomized
from pid_jax.store import ActivationStore, Manifest, tensor_name
from pid_jax.study.scores import read_scores

COUNT, LAYERS, WIDTH, DIM = 600, tuple(range(12)), 700, 3
ROWS = {"even": [np.arange(0, COUNT, 2)] * 2, "odd": [np.arange(1, COUNT, 2)] * 2}
ALL = {"all": [np.arange(COUNT)] * 2}


def _store(path, seed, dtype) -> ActivationStore:
    ids = tuple(f"{i:04d}" for i in range(COUNT))
    tensors = tuple(tensor_name("image", layer) for layer in LAYERS)
    manifest = Manifest(ids=ids, shard_size=COUNT, tensors=tensors, condition={}, settings={})
    store = ActivationStore.create(path, manifest)
    rng = np.random.default_rng(seed)
    sizes = 0.7 ** np.arange(WIDTH)
    values = {name: (sizes * rng.normal(size=(COUNT, WIDTH)) + 2).astype(dtype) for name in tensors}
    store.write_shard(0, ids, [{"task": "t"}] * COUNT, values)
    return store


@pytest.fixture(scope="module", params=[np.float16, np.float32])
def stores(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    return [_store(folder / "b", 0, request.param), _store(folder / "k", 1, request.param)]


def scores_of(stores, rows, reduction, layers=LAYERS[:3], seed=0):
    dim = DIM if isinstance(reduction, PCA) else None

    def read(store, layer):
        return store.read(role="image", layer=layer)

    return read_scores(
        stores, rows, name="image", layers=layers, read=read, reduction=reduction, dim=dim, key=jax.random.key(seed)
    )


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize(("solver", "atol"), [(Exact(), 1e-9), (Randomized(), 1e-3)])
def test_scores_are_those_of_the_baselines_components(stores, solver, atol):
    found = scores_of(stores, ALL, PCA(solver=solver))["all"]
    for i, layer in enumerate(LAYERS[:3]):
        first, second = (store.read(role="image", layer=layer).astype(np.float64) for store in stores)
        axes = np.linalg.svd(first - first.mean(axis=0), full_matrices=False)[2][:DIM].T
        axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), range(DIM)])
        for scores, states in zip(found, (first, second), strict=True):
            expected = (states - first.mean(axis=0)) @ axes
            np.testing.assert_allclose(scores.values[i], expected, atol=atol)
            kept = expected.var(axis=0).sum() / states.var(axis=0).sum()
            np.testing.assert_allclose(scores.explained_variance[i], kept, rtol=1e-5)
            assert (scores.angle[i] > 0) == isinstance(solver, Randomized)
    assert all(scores.values.dtype == np.float64 for scores in found)


@pytest.mark.slow
def test_tasks_have_bases_of_their_own_and_do_not_depend_on_others(stores):
    both = scores_of(stores, ROWS | ALL, PCA(), layers=LAYERS[:2])
    alone = scores_of(stores, ALL, PCA(), layers=LAYERS[1:2])
    assert alone["all"][0].angle > 0
    np.testing.assert_array_equal(both["all"][1].values[1:], alone["all"][1].values)
    np.testing.assert_allclose(both["even"][0].values.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(both["odd"][0].values.mean(axis=1), 0, atol=1e-5)


def test_each_layer_is_read_once_and_not_kept(stores, monkeypatch):
    scores_of(stores, ROWS, PCA(), layers=LAYERS[:1])  # compile
    read, calls = ActivationStore.read, []
    monkeypatch.setattr(ActivationStore, "read", lambda self, **at: calls.append(at["layer"]) or read(self, **at))
    layer_bytes = COUNT * WIDTH * stores[0].read(role="image", layer=0).dtype.itemsize
    calls.clear()
    tracemalloc.start()
    scores_of(stores, ROWS, PCA(), layers=LAYERS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert calls == [layer for layer in LAYERS for _ in stores]
    # A shard as read, joined, in order, its rows in float64, and the layer before that waits for its release.
    assert peak < 8 * layer_bytes < len(LAYERS) * layer_bytes


def test_without_a_reduction_states_stay_as_they_are(stores):
    found = scores_of(stores, ALL, NoReduction())["all"]
    np.testing.assert_array_equal(found[1].values[2], stores[1].read(role="image", layer=2))
    np.testing.assert_array_equal(found[1].explained_variance, 1)


@pytest.mark.parametrize("solver", [Exact(), Randomized()])
def test_all_layers_keep_as_many_components_as_the_one_that_needs_most(stores, solver):
    layers, fraction = LAYERS[:2], 0.6

    def read(store, layer):  # the second layer falls more slowly
        return store.read(role="image", layer=layer).astype(np.float64) * 1.2 ** (
            layer * np.minimum(np.arange(WIDTH), 9)
        )

    pca, options = PCA(dim=8, variance=fraction, solver=solver), {"dim": 8, "key": jax.random.key(0)}
    options |= {"name": "image", "layers": layers, "read": read}
    found = read_scores(stores, ALL, reduction=pca, **options)["all"]
    needed = []
    for layer in layers:
        sizes = np.linalg.svd((x := read(stores[0], layer)) - x.mean(axis=0), compute_uv=False) ** 2
        needed.append(int((np.cumsum(sizes) / sizes.sum() < fraction).sum()) + 1)
    assert needed[0] < needed[1] < 8
    for one in found:
        assert one.values.shape == (2, COUNT, needed[1])
        assert (np.ptp(one.values, axis=1) > 0).all()
    plain = read_scores(stores, ALL, reduction=PCA(solver=solver), **options)["all"]
    for one, whole in zip(found, plain, strict=True):
        np.testing.assert_allclose(one.values, whole.values[..., : needed[1]], rtol=1e-3, atol=1e-3)
