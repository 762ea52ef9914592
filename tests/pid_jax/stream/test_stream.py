"""Streamed decompositions are those of all samples in memory, and read a store once."""

import gc
import os
import subprocess
import sys
import textwrap
import threading

import jax
import numpy as np
import pytest

from pid_jax import (
    MMI,
    OAS,
    PCA,
    Copula,
    IndirectInference,
    NoCorrection,
    NoGaussianization,
    NoReduction,
    PIDSpec,
    StoreBlocks,
    estimate_pid,
    stream_pid,
    use_devices,
)
from pid_jax.store import NORM, ActivationStore, Failure, StoreError
from pid_jax.store.shard import shard_name
from tests.stores import IDS, fill, manifest

# MMI compiles in less time.
SMALL = PIDSpec(reduction=PCA(dim=2), gaussianize=NoGaussianization(), redundancy=MMI(), bias_correction=NoCorrection())
PLAIN = PIDSpec(reduction=PCA(dim=5), gaussianize=NoGaussianization(), bias_correction=NoCorrection())


def draw(sizes=(20, 30, 10), samples=4000) -> list[np.ndarray]:
    """Three variables of float32, float16 and float64 with common factors and means far from zero."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=(samples, 6))
    types, offsets = (np.float32, np.float16, np.float64), (100, 0, 1e3)
    return [
        (common @ rng.normal(size=(6, p)) + 0.5 * rng.normal(size=(samples, p)) + offset * rng.normal(size=p)).astype(t)
        for p, t, offset in zip(sizes, types, offsets, strict=True)
    ]


def divide(variables, rows=700) -> list[tuple[np.ndarray, ...]]:
    return [tuple(x[i : i + rows] for x in variables) for i in range(0, len(variables[0]), rows)]


def assert_equal(found, expected) -> None:
    assert found.dims == expected.dims
    assert found.samples == expected.samples
    assert found.settings == expected.settings
    assert found.gaussianizer == expected.gaussianizer
    for name in ("status", "rank", "shrinkage"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_allclose(found.cov, expected.cov, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.explained_variance, expected.explained_variance, rtol=0, atol=1e-10)
    one, other = ((x.atoms, x.information, x.bias) for x in (found, expected))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)
    for a, b in zip(
        jax.tree.leaves((found.lower, found.upper)), jax.tree.leaves((expected.lower, expected.upper)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-8)  # quantiles of draws amplify rounding


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize(
    ("reduction", "correction", "sizes"),
    [
        (PCA(dim=5), NoCorrection(), (20, 30, 10)),
        (PCA(dim=(3, 2, 3)), IndirectInference(draws=20), (3, 30, 10)),
        (NoReduction(), NoCorrection(), (5, 5, 5)),
    ],
)
def test_equal_to_memory(reduction, correction, sizes, key):
    spec = PIDSpec(reduction=reduction, gaussianize=NoGaussianization(), bias_correction=correction)
    variables = draw(sizes)
    expected = estimate_pid(*variables, spec=spec, key=key)
    assert_equal(stream_pid(divide(variables), spec=spec, key=key), expected)
    assert_equal(stream_pid(iter(divide(variables, 1)), spec=spec, key=key, threads=1), expected)


class Counted:
    """Blocks that count how often they were read."""

    def __init__(self, blocks) -> None:
        self.blocks, self.passes = blocks, 0

    def __iter__(self):
        self.passes += 1
        return iter(self.blocks)


def test_one_pass_if_the_joint_moments_fit(key):
    blocks = Counted(divide(draw()))
    stream_pid(blocks, spec=PLAIN, key=key)
    assert blocks.passes == 1


def test_two_passes_if_they_do_not(key):
    variables = draw((200, 200, 200), 1500)
    blocks = Counted(divide(variables, 50))
    with use_devices(budget_gb=0.013):
        found = stream_pid(blocks, spec=PLAIN, key=key)
    assert blocks.passes == 2
    assert_equal(found, estimate_pid(*variables, spec=PLAIN, key=key))
    whole = PIDSpec(reduction=NoReduction(), gaussianize=NoGaussianization())
    with use_devices(budget_gb=0.013):
        with pytest.raises(ValueError, match=r"budget_gb=0.013 .* blocks that can be read twice"):
            stream_pid(iter(blocks), spec=PLAIN, key=key)
        with pytest.raises(ValueError, match=r"budget_gb=0.013 .* or reduce with PCA"):
            stream_pid(blocks, spec=whole, key=key)
    with use_devices(budget_gb=0.001), pytest.raises(ValueError, match=r"budget_gb=0.001 .* need 0.0\d+ GB"):
        stream_pid(blocks, spec=PLAIN, key=key)


@pytest.mark.slow
def test_two_passes_if_a_component_is_weak(key):
    variables = draw()
    variables[0] = variables[0].astype(np.float64) - variables[0].mean(axis=0)
    variables[0][:, 0] *= 1e4
    blocks = Counted(divide(variables))
    found = stream_pid(blocks, spec=PLAIN, key=key)
    assert blocks.passes == 2
    expected = estimate_pid(*variables, spec=PLAIN, key=key)
    for a, b in zip(jax.tree.leaves(found.atoms), jax.tree.leaves(expected.atoms), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)


@pytest.mark.slow
def test_ranks_below_the_components_asked_for(key):
    variables = draw()
    variables[2] = np.repeat(variables[2][:, :2], 4, axis=1)
    found, expected = stream_pid(divide(variables), spec=PLAIN, key=key), estimate_pid(*variables, spec=PLAIN, key=key)
    assert found.rank.tolist() == [5, 5, 2]
    assert_equal(found, expected)


@pytest.mark.parametrize("stage", [{"gaussianize": Copula()}, {"covariance": OAS()}])
def test_what_needs_all_samples_is_refused(stage, key):
    with pytest.raises(ValueError, match="estimate_pid"):
        stream_pid([], spec=PIDSpec(**{"gaussianize": NoGaussianization()} | stage), key=key)


def test_data_that_cannot_be_decomposed_are_refused(key):
    a, b, c = draw(samples=300)
    with pytest.raises(ValueError, match="target is constant"):
        stream_pid([(a, b, np.full((300, 2), 0.1))] * 2, spec=PLAIN, key=key)
    whole = PIDSpec(reduction=NoReduction(), gaussianize=NoGaussianization())
    with pytest.raises(ValueError, match=r"source_1.*\(20,\)"):
        stream_pid([(np.column_stack([a, np.full(300, 0.1)]), b, c)] * 2, spec=whole, key=key)
    with pytest.raises(ValueError, match="16 samples are too few"):
        stream_pid([(a[:16], b[:16], c[:16])], spec=PLAIN, key=key)
    with pytest.raises(ValueError, match=r"source_1.*source_2.*target"):
        stream_pid([(a, b)], spec=PLAIN, key=key)
    with pytest.raises(ValueError, match="threads"):
        stream_pid([(a, b, c)], spec=PLAIN, key=key, threads=0)


def spread(exponents, variables):
    return [x.astype(float) * 10.0**e for x, e in zip(variables, exponents, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("exponents", [(145, 150, 150), (-150, -150, -150), (-150, 150, 0)])
@pytest.mark.parametrize("reduction", [PCA(dim=2), NoReduction()])
@pytest.mark.parametrize("largest", [1, 1e4])
def test_magnitudes_change_nothing(exponents, reduction, largest, key):
    """With one large column there is a second pass, over the scores."""
    spec = PIDSpec(reduction=reduction, gaussianize=NoGaussianization(), redundancy=MMI())
    variables = draw((4, 5, 3), 900)
    variables[0] = variables[0] * np.array([largest, 1, 1, 1])
    wanted = stream_pid(divide(spread((0, 0, 0), variables), 100), spec=spec, key=key)
    blocks = Counted(divide(spread(exponents, variables), 100))
    found = stream_pid(blocks, spec=spec, key=key)
    assert blocks.passes == (2 if largest > 1 and isinstance(reduction, PCA) else 1)
    one, other = ((x.atoms, x.information, x.explained_variance) for x in (found, wanted))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)
    units = 10.0 ** np.repeat(exponents, found.dims)
    np.testing.assert_allclose(found.cov / units / units[:, None], wanted.cov, rtol=1e-8, atol=1e-10 * largest**2)


@pytest.mark.slow
def test_columns_of_one_variable_have_any_magnitudes(key):
    spec = PIDSpec(reduction=NoReduction(), gaussianize=NoGaussianization(), redundancy=MMI())
    variables = draw((2, 2, 2), 900)
    wanted = stream_pid(divide(variables), spec=spec, key=key)
    variables[0] = variables[0] * np.array([1e-150, 1e150])
    np.testing.assert_allclose(
        stream_pid(divide(variables), spec=spec, key=key).atoms.redundancy, wanted.atoms.redundancy, atol=1e-10
    )


@pytest.mark.parametrize("exponent", [-170, -160, 160, 170])
@pytest.mark.parametrize("threads", [1, 2])
def test_magnitudes_without_squares_are_refused(exponent, threads, key):
    blocks = divide(spread((0, exponent, 0), draw((4, 5, 3), 900)), 100)
    with pytest.raises(ValueError, match="source_2"):
        stream_pid(blocks, spec=SMALL, key=key, threads=threads)


@pytest.mark.parametrize("threads", [1, 2])
def test_columns_that_change_are_named(threads, key):
    a, b, c = draw((4, 5, 3), 900)
    blocks = [*divide((a, b, c), 100), (b[:100], a[:100], c[:100])]  # as many columns in all
    with pytest.raises(ValueError, match=r"source_1.*columns"):
        stream_pid(blocks, spec=SMALL, key=key, threads=threads)


# Stores

NAMES = ("001/image", "001/question", "norm/last")
PARTS = {"source_1": ("image", 1), "source_2": ("question", 1), "target": ("last", NORM)}


def make_store(path, samples=90, failed=(), dtype=np.float16) -> ActivationStore:
    """A store whose ids are in no order, with two tasks."""
    ids = tuple(f"{i * 7 % samples:03d}" for i in range(samples))
    store = ActivationStore.create(path, manifest(ids=ids, shard_size=20, tensors=NAMES))
    rows = dict(zip(sorted(ids), zip(*draw((4, 5, 3), samples), strict=True), strict=True))
    for index in range(store.manifest.shard_count):
        own = [i for i in store.shard_ids(index) if i not in failed]
        tensors = (
            {name: np.stack([rows[i][k] for i in own]).astype(dtype) for k, name in enumerate(NAMES)} if own else {}
        )
        lost = [failure(i) for i in store.shard_ids(index) if i in failed]
        store.write_shard(index, own, [{"task": "a" if i < "060" else "b"} for i in own], tensors, lost)
    return ActivationStore.open(path)


def failure(sample: str) -> Failure:
    return Failure(id=sample, stage="image", message="gone")


def read_all(store: ActivationStore, rows=None) -> list[np.ndarray]:
    return [store.read(role=role, layer=layer, rows=rows) for role, layer in PARTS.values()]


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_store_is_that_of_its_arrays(tmp_path, key, dtype):
    failed = ("007", *(f"{i * 7 % 90:03d}" for i in range(20, 40)))  # the first row of a shard, and a whole one
    store = make_store(tmp_path / "s", failed=failed, dtype=dtype)
    blocks = StoreBlocks(store=store, **PARTS)
    assert_equal(stream_pid(blocks, spec=SMALL, key=key), estimate_pid(*read_all(store), spec=SMALL, key=key))
    assert "headers" not in vars(ActivationStore.open(tmp_path / "s"))


@pytest.mark.slow
def test_samples_of_a_store_can_be_chosen(tmp_path, key):
    store = make_store(tmp_path / "s")
    ids = [i for i in store.ids if int(i) % 3]
    for chosen, rows in (
        ({"where": {"task": "a"}}, store.columns["task"] == "a"),
        ({"ids": ids}, np.isin(store.ids, ids)),
        ({"ids": ids, "where": {"task": "b"}}, np.isin(store.ids, ids) & (store.columns["task"] == "b")),
    ):
        found = stream_pid(StoreBlocks(store=store, **PARTS, **chosen), spec=SMALL, key=key)
        assert_equal(found, estimate_pid(*read_all(store, rows), spec=SMALL, key=key))


def test_a_store_is_read_once_and_only_where_needed(tmp_path, monkeypatch, key):
    store = make_store(tmp_path / "s")
    reads = []
    real = store.folder.read
    monkeypatch.setattr(store.folder, "read", lambda name, *place: reads.append((name, *place)) or real(name, *place))
    stream_pid(StoreBlocks(store=store, **PARTS), spec=SMALL, key=key)
    assert len(reads) == 2 * store.manifest.shard_count  # header, tensors
    assert len(set(reads)) == len(reads)
    reads.clear()
    same = StoreBlocks(store=store, **PARTS | {"source_2": ("image", 1)}, ids=store.shard_ids(3))
    assert len(list(same)) == 1
    assert {name for name, *_ in reads} == {shard_name(3)}
    assert len(reads) == 2


def test_what_a_store_does_not_have_is_refused(tmp_path):
    store = make_store(tmp_path / "s", failed=("007",))
    with pytest.raises(StoreError, match=r"role='image'.*layer=7"):
        StoreBlocks(store=store, **PARTS | {"source_1": ("image", 7)})
    with pytest.raises(ValueError, match=r"source_2.*\(role, layer\)"):
        StoreBlocks(store=store, **PARTS | {"source_2": "image"})
    with pytest.raises(ValueError, match=r"\['no'\]"):
        StoreBlocks(store=store, **PARTS, ids=["no", "001"])
    with pytest.raises(ValueError, match="ids is empty"):
        StoreBlocks(store=store, **PARTS, ids=[])
    with pytest.raises(StoreError, match=r"'tusk'.*where.*\['task'\]"):
        list(StoreBlocks(store=store, **PARTS, where={"tusk": "a"}))
    with pytest.raises(StoreError, match="1 of 2 samples asked for have no row"):
        list(StoreBlocks(store=store, **PARTS, ids=["007", "001"]))


def test_missing_damaged_and_misplaced_shards_are_errors(tmp_path, key):
    store = make_store(tmp_path / "s")
    blocks = StoreBlocks(store=store, **PARTS)
    paths = [tmp_path / "s" / shard_name(i) for i in range(3)]
    whole = [path.read_bytes() for path in paths]
    paths[1].write_bytes(whole[1][:-1] + bytes([whole[1][-1] ^ 1]))
    with pytest.raises(StoreError, match=f"{paths[1].name} is damaged .*the bytes of"):
        stream_pid(blocks, spec=SMALL, key=key)
    at = whole[1].index(b"task")
    paths[1].write_bytes(whole[1][:at] + b"tusk" + whole[1][at + 4 :])
    with pytest.raises(StoreError, match=f"{paths[1].name} is damaged .*header does not fit its checksum"):
        stream_pid(blocks, spec=SMALL, key=key)
    paths[1].write_bytes(whole[2])
    with pytest.raises(StoreError, match=f"{paths[1].name} is not the one that belongs here .*ids"):
        stream_pid(blocks, spec=SMALL, key=key)
    other = make_store(tmp_path / "other", samples=80)
    paths[1].write_bytes((other.path / shard_name(1)).read_bytes())
    with pytest.raises(StoreError, match="belongs to another store"):
        stream_pid(blocks, spec=SMALL, key=key)
    paths[1].unlink()
    with pytest.raises(StoreError, match="1 of 5 shards are missing"):
        stream_pid(blocks, spec=SMALL, key=key)
    gc.collect()
    assert not [thread for thread in threading.enumerate() if thread.name == "pid_jax.store.blocks"]


def test_ids_with_quotes_and_backslashes(tmp_path):
    ids = ('"},"', "\\", '\\"manifest\\":\\"x', "ü\n", 'a","b', "/")
    store = fill_named(tmp_path / "s", ids)
    assert sum(len(block[0]) for block in StoreBlocks(store=store, **PARTS)) == len(ids)


def fill_named(path, ids) -> ActivationStore:
    store = ActivationStore.create(path, manifest(ids=ids, shard_size=4, tensors=NAMES))
    for index in range(store.manifest.shard_count):
        own = store.shard_ids(index)
        tensors = {name: np.ones((len(own), 2), np.float32) for name in NAMES}
        store.write_shard(index, own, [{"text": '"},"manifest":"'}] * len(own), tensors)
    return store


def test_reading_can_be_given_up(tmp_path):
    reading = iter(StoreBlocks(store=make_store(tmp_path / "s"), **PARTS))
    next(reading)
    reading.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "pid_jax.store.blocks"]


def test_a_store_of_the_other_tests_without_a_where(tmp_path):
    store = fill(tmp_path / "s")
    parts = {"source_1": ("image", 0), "source_2": ("image", 1), "target": ("last", NORM)}
    rows = np.concatenate([block[0] for block in StoreBlocks(store=store, **parts)])
    np.testing.assert_array_equal(rows[:, 0], [int(i) for i in IDS])


def test_memory_does_not_grow_with_the_samples():
    """Blocks of 3 x 64 columns, 400 MB of float64 in all, are added in much less."""
    code = """
        import resource, numpy as np
        from pid_jax import stream_moments
        def blocks(count):
            rng = np.random.default_rng(0)
            for _ in range(count):
                yield tuple(rng.standard_normal((4096, 64), dtype=np.float32).astype(np.float16) for _ in range(3))
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        stream_moments(blocks(4), threads=2)
        before = peak()
        found = stream_moments(blocks(64), threads=2)
        print(found.count, peak() - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=os.environ, timeout=120
    )
    count, grown = done.stdout.split()
    assert int(count) == 64 * 4096
    assert float(grown) < 30, done.stdout
