"""Moments are those of all samples, however they are divided, and as exact as float64 can be."""

import os
import subprocess
import sys
import textwrap

import jax
import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pid_jax import sharded_moments, stream_moments
from pid_jax.stream import moments as module
from pid_jax.stream.moments import Moments, MomentSum

# What is compared is in units of standard deviations.
TOLERANCE = 1e-10


def reference(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scatter with 19 digits."""
    wide = samples.astype(np.longdouble)
    mean = wide.mean(axis=0)
    return mean, (wide - mean).T @ (wide - mean)


def assert_moments(found: Moments, samples: np.ndarray, tolerance: float = TOLERANCE) -> None:
    mean, scatter = reference(samples)
    deviation = np.sqrt(np.diagonal(scatter) / len(samples)).astype(float)
    unit = np.where(deviation > 0, deviation, 1)
    assert found.count == len(samples)
    assert found.mean.dtype == found.scatter.dtype == np.float64
    assert np.abs((found.mean - mean) / unit).max() < tolerance
    assert np.abs((found.scatter - scatter) / len(samples) / np.outer(unit, unit)).max() < tolerance


@pytest.fixture
def small_runs(monkeypatch):
    """Tiles of 8 rows and runs of 24, so that few samples fill many."""
    monkeypatch.setattr(module, "TILE_BYTES", 0)
    monkeypatch.setattr(module, "FEWEST_TILE_ROWS", 8)
    monkeypatch.setattr(module, "RUN_ROWS", 24)


divided = st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(sum)


@given(sizes=divided, seed=st.integers(0, 9999), log_mean=st.floats(0, 4), order=st.randoms(use_true_random=False))
def test_any_division_in_any_order(sizes, seed, log_mean, order):
    rng = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TILE_BYTES", 0)
        patch.setattr(module, "FEWEST_TILE_ROWS", 8)
        patch.setattr(module, "RUN_ROWS", 24)
        samples = rng.normal(size=(sum(sizes), 3)) * [1, 1e-3, 1e5] + 10**log_mean * np.array([1, 1e-3, 1e5])
        blocks = np.split(samples, np.cumsum(sizes)[:-1])
        whole = Moments.of(samples)
        in_order, shuffled = MomentSum(("x",)), MomentSum(("x",))
        for block in blocks:
            in_order.add(block)
        order.shuffle(blocks)
        for block in blocks:
            shuffled.add(block)
        assert_moments(whole, samples)
        assert_moments(shuffled.moments(), samples)
        np.testing.assert_array_equal(in_order.moments().scatter, whole.scatter)
        np.testing.assert_array_equal(in_order.moments().mean, whole.mean)


@given(sizes=st.lists(st.integers(1, 30), min_size=2, max_size=6), seed=st.integers(0, 9999))
def test_merging_does_not_depend_on_order(sizes, seed):
    samples = np.random.default_rng(seed).normal(size=(sum(sizes), 4)) + 1e4
    parts = [Moments.of(block) for block in np.split(samples, np.cumsum(sizes)[:-1])]
    forward, backward = parts[0], parts[-1]
    for one in parts[1:]:
        forward = forward.merge(one)
    for one in parts[-2::-1]:
        backward = one.merge(backward)
    assert_moments(forward, samples)
    assert_moments(backward, samples)


def test_merging_other_variables_is_refused():
    one, other = Moments.of(np.eye(3)), Moments.of(np.eye(4))
    with pytest.raises(ValueError, match="other has moments of 4 columns, these are of 3"):
        one.merge(other)


def test_means_far_from_zero_and_data_that_drift():
    rng = np.random.default_rng(0)
    samples = rng.normal(loc=[1e4, -1e4, 0], size=(200_000, 3))
    assert_moments(Moments.of(samples), samples, 1e-11)
    samples[:, 2] = np.sort(samples[:, 2]) * 1e3  # a shift by the first rows is far off all others
    assert_moments(Moments.of(samples), samples, 1e-11)
    samples[0, 2] = 1e9  # nearly all variance is in the first row
    assert_moments(Moments.of(samples), samples, 1e-11)


def test_digits_beyond_long_double():
    samples = np.random.default_rng(0).normal(size=(300, 2)) + 1e4
    found = Moments.of(samples)
    with mpmath.workdps(50):
        rows = [[mpmath.mpf(float(x)) for x in row] for row in samples]
        mean = [mpmath.fsum(column) / 300 for column in zip(*rows, strict=True)]
        covariance = mpmath.fsum((a - mean[0]) * (b - mean[1]) for a, b in rows) / 299
        assert abs(float(found.cov[0, 1] - covariance)) < 1e-13


def test_constant_columns_have_no_scatter_at_all(small_runs):
    samples = np.random.default_rng(0).normal(size=(500, 3))
    samples[:, 1] = 0.1
    found = Moments.of(samples)
    assert found.mean[1] == 0.1
    assert not found.scatter[1].any()
    assert not found.scatter[:, 1].any()
    assert_moments(found, samples)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int32", "bfloat16"])
def test_narrow_types_are_read_exactly(dtype):
    rng = np.random.default_rng(0)
    samples = np.asarray(jax.numpy.asarray(rng.normal(size=(3000, 5)) * 100).astype(dtype))
    assert_moments(Moments.of(samples), samples.astype(np.float64), 1e-13)


def test_one_row_empty_blocks_and_more_rows_later(small_runs):
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(60, 2))
    total = MomentSum(("x",))
    total.add(samples[:0])
    with pytest.raises(ValueError, match="x: no block has a row"):
        total.moments()
    for row in samples[:50]:
        total.add(row[None])
    assert_moments(total.moments(), samples[:50])
    total.add(samples[50:])
    assert_moments(total.moments(), samples)
    assert Moments.of(samples[:1]).cov.tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 5, 29])
def test_what_is_not_finite_is_named(small_runs, bad, row):
    blocks = [(np.ones((30, 2)) * i, np.arange(90.0).reshape(30, 3)) for i in range(4)]
    blocks[2][1][row, 1] = bad
    blocks[3][0][0, 0] = np.nan
    with pytest.raises(ValueError, match=rf"block 2: variable 1 holds NaN or infinity in column 1, row {row} of the"):
        stream_moments(blocks, threads=1)


def test_values_whose_squares_are_infinite(small_runs):
    with pytest.raises(ValueError, match="samples in column 0: values are so large"):
        Moments.of(np.array([[1e200], [-1e200]]))


@pytest.mark.parametrize(
    ("blocks", "kind", "match"),
    [
        ([(np.ones((2, 1)), np.ones((3, 1)))], ValueError, "block 0: variable 1 has 3 samples, variable 0 has 2"),
        ([np.ones((2, 1)), np.ones((2, 2))], ValueError, "block 1: samples has 2 columns, blocks before have 1"),
        ([np.ones((2, 1)), (np.ones((2, 1)),) * 2], ValueError, "block 1 has 2 parts, wanted 1: samples"),
        ([([1.0, 2.0],)], ValueError, r"block 0: samples must have shape \(n, p\) with p > 0, got \(2,\)"),
        (
            [([[1.0], [2.0]], np.ma.array([[1.0], [2.0]], mask=[[0], [1]]))],
            ValueError,
            "block 0: variable 1 has 1 masked",
        ),
        ([np.ones((2, 1), complex)], TypeError, "block 0: samples must hold real numbers, got dtype complex128"),
        ([], ValueError, "blocks is empty"),
        ([np.ones((0, 2))], ValueError, "blocks has no row at all"),
    ],
)
def test_blocks_that_do_not_fit_are_refused(blocks, kind, match):
    with pytest.raises(kind, match=match):
        stream_moments(blocks, threads=1)


def test_threads_change_rounding_only():
    samples = np.random.default_rng(0).normal(size=(50_000, 4)) + 1e3
    blocks = np.array_split(samples, 17)
    found = [stream_moments(iter(blocks), threads=threads) for threads in (1, 2, 3, 40)]
    for one in found:
        assert_moments(one, samples, 1e-12)
    again = stream_moments(blocks, threads=3)
    np.testing.assert_array_equal(again.scatter, found[2].scatter)


def test_an_error_in_a_thread_is_raised():
    blocks = [np.ones((10, 2)) for _ in range(20)]
    blocks[7][3, 1] = np.nan
    with pytest.raises(ValueError, match="block 7: samples holds NaN or infinity in column 1, row 3"):
        stream_moments(blocks, threads=2)


def test_one_device_is_as_good_as_none():
    samples = np.random.default_rng(0).normal(size=(999, 4)) + 1e4
    found = sharded_moments(samples, jax.make_mesh((1,), ("rows",)))
    assert_moments(found, samples)
    assert not jax.config.jax_enable_x64


@pytest.mark.slow
def test_several_devices_agree_with_one():
    code = """
        import jax, numpy as np
        from pid_jax import Moments, sharded_moments
        assert jax.device_count() == 4
        for rows in (1003, 1000, 5, 3, 1):
            samples = np.random.default_rng(0).normal(size=(rows, 5)).astype(np.float32) + np.float32(100)
            one = sharded_moments(samples, jax.make_mesh((1,), ("rows",), devices=jax.devices()[:1]))
            four, host = sharded_moments(samples, jax.make_mesh((4,), ("rows",))), Moments.of(samples)
            for other in (one, host):
                assert four.count == other.count == rows
                assert np.abs(four.mean - other.mean).max() < 1e-12 * 100
                assert np.abs(four.scatter - other.scatter).max() < 1e-12 * max(rows, other.scatter.max())
        print("equal")
    """
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env=os.environ | flags,
        timeout=120,
    )
    assert done.stdout.strip() == "equal", done.stderr


def test_meshes_that_do_not_fit_are_refused():
    with pytest.raises(TypeError, match=r"mesh needs a jax.sharding.Mesh, got list"):
        sharded_moments(np.ones((2, 2)), [0])
    with pytest.raises(ValueError, match=r"mesh needs one axis, that of samples, got \('a', 'b'\)"):
        sharded_moments(np.ones((2, 2)), jax.make_mesh((1, 1), ("a", "b")))
    with pytest.raises(ValueError, match=r"samples must have shape \(n, d\)"):
        sharded_moments(np.ones((2, 2, 2)), jax.make_mesh((1,), ("a",)))


@pytest.mark.parametrize("exponent", [-150, -100, 100, 150])
def test_magnitudes_whose_squares_are_numbers(exponent):
    samples = np.random.default_rng(0).normal(size=(5000, 3)) + 3
    scaled = samples * 10.0**exponent
    wanted = np.corrcoef(samples.T)
    merged = stream_moments(np.array_split(scaled, 9), threads=3)
    for found in (Moments.of(scaled), merged, sharded_moments(scaled, jax.make_mesh((1,), ("rows",)))):
        np.testing.assert_allclose(found.mean / 10.0**exponent, samples.mean(axis=0), rtol=1e-12)
        deviation = np.sqrt(np.diagonal(found.cov))
        np.testing.assert_allclose(found.cov / deviation / deviation[:, None], wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("exponent", "text"), [(-160, "multiply the variable"), (160, "divide the variable")])
def test_magnitudes_whose_squares_are_none(exponent, text):
    samples = np.random.default_rng(0).normal(size=(100, 3))
    samples[:, 1] *= 10.0**exponent
    samples[:, 2] = 10.0**exponent  # a constant column has a variance of zero at any magnitude
    for function in (Moments.of, lambda x: sharded_moments(x, jax.make_mesh((1,), ("rows",)))):
        with pytest.raises(ValueError, match=rf"samples in column 1: values .* {text} by a common number"):
            function(samples)
    blocks = [(samples[i : i + 10, :1], samples[i : i + 10, 1:]) for i in range(0, 100, 10)]
    for threads in (1, 2):
        with pytest.raises(ValueError, match=rf"variable 1 in column 0: values .* {text}"):
            stream_moments(blocks, threads=threads)


def test_small_steps_between_constant_blocks_are_not_lost():
    one, other = (Moments.of(np.full((4, 1), value)) for value in (0.0, 1e-170))
    with pytest.raises(ValueError, match="column 0: values differ by so little"):
        one.merge(other)
    with pytest.raises(ValueError, match="column 0: values differ by so little"):
        Moments.of(np.repeat([0.0, 1e-170], 2**16)[:, None])


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("widths", [(2, 2), (4, 1), (2, 4)])
def test_blocks_whose_columns_change(threads, widths):
    first, changed = ((np.ones((5, a)), np.ones((5, b))) for a, b in ((3, 2), widths))
    place = 0 if widths[0] != 3 else 1
    pattern = rf"block 4: variable {place} has {widths[place]} columns, blocks before have {(3, 2)[place]}"
    with pytest.raises(ValueError, match=pattern):
        stream_moments([first] * 4 + [changed] + [first], threads=threads)
