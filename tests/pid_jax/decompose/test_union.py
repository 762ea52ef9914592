"""Union information of two and more sources."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from pid_jax.decompose.pid import gaussian_pid
from pid_jax.decompose.union import gaussian_union
from pid_jax.gaussian.joint import JointGaussian
from pid_jax.gaussian.status import Status
from pid_jax.pid.common_bound import pack, product_matrix, unpack
from pid_jax.pid.union import union_information
from pid_jax.runtime.precision import double_precision
from pid_jax.testing.problems import block_rows, pad, symmetric
from pid_jax.testing.strategies import problems

pytestmark = pytest.mark.filterwarnings("error")

COMMON = (4, 4, 4)


def many_channels(seed, count, dim, target, spread=1.0):
    """`count` sources of `dim` coordinates that read a white target, with gains over `spread` decades."""
    rng = np.random.default_rng(seed)
    size = count * dim
    gain = 10 ** rng.uniform(-spread, spread, size=(size, 1)) * rng.normal(size=(size, target)) / np.sqrt(target)
    noise = rng.normal(size=(size, 3 * size))
    cov = np.block([[gain @ gain.T + noise @ noise.T / (3 * size), gain], [gain.T, np.eye(target)]])
    return symmetric(cov), (*[dim] * count, target)


@pytest.mark.slow
@given(problem=problems())
def test_two_sources_have_the_closed_form(problem):
    wide = pad(problem, COMMON, 1.0)
    found, closed = gaussian_union(*wide), gaussian_pid(*wide)
    np.testing.assert_allclose(found.union, closed.information.i_1 + closed.atoms.unique_2, rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.synergy, closed.atoms.synergy, rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.i_each, [closed.information.i_1, closed.information.i_2], rtol=0, atol=1e-8)
    assert found.gap <= 1e-9


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("count", [3, pytest.param(4, marks=pytest.mark.slow), pytest.param(5, marks=pytest.mark.slow)])
@pytest.mark.parametrize("spread", [0.3, 1.5])
def test_many_sources_are_certified(count, spread):
    covs, dims = zip(*(many_channels(seed, count, 16, 16, spread) for seed in range(5)), strict=True)
    found = gaussian_union(np.stack(covs), dims[0])
    assert (found.status == Status.OK).all()
    assert found.i_each.shape == (5, count)
    assert (found.gap >= 0).all()
    assert found.gap.max() <= 1e-8
    assert (found.union >= found.i_each.max(axis=1) - found.gap).all()
    assert (found.synergy >= -1e-9).all()


DIMS = (2, 2, 2, 2)


def test_parallel_channels_take_the_best_source_of_each():
    """Every coordinate of the target is read by three sources; the union keeps the best reading of each."""
    snr = np.array([[3.0, 1.0], [0.5, 1.0], [0.0, 0.2]])  # with a tie
    gain = np.concatenate([np.diag(np.sqrt(one)) for one in snr])
    cov = np.block([[gain @ gain.T + np.eye(6), gain], [gain.T, np.eye(2)]])
    found = gaussian_union(symmetric(cov), DIMS)
    np.testing.assert_allclose(found.union, 0.5 * np.log1p(snr.max(axis=0)).sum(), atol=1e-10)
    np.testing.assert_allclose(found.i_all, 0.5 * np.log1p(snr.sum(axis=0)).sum(), atol=1e-12)


@pytest.mark.slow
def test_another_source_never_lowers_the_union_and_a_copy_does_not_change_it():
    cov, _ = many_channels(1, 3, 2, 2)
    first, second, _, target = block_rows(DIMS)
    fewer, copied = np.concatenate([first, second, target]), np.concatenate([first, second, first, target])
    two = gaussian_pid(cov[np.ix_(fewer, fewer)], (2, 2, 2))
    union = two.information.i_1 + two.atoms.unique_2
    three, with_copy = (gaussian_union(one, DIMS) for one in (cov, cov[np.ix_(copied, copied)]))
    assert three.union >= union - 1e-10
    np.testing.assert_allclose(with_copy.union, union, atol=1e-9)
    np.testing.assert_allclose(with_copy.i_all, two.information.i_12, atol=1e-9)


def test_scalar_targets_have_the_largest_information():
    cov, _ = many_channels(0, 3, 2, 1)
    cov = np.pad(cov, (0, 1))  # a second coordinate of the target, without variance
    found = gaussian_union(cov, DIMS)
    np.testing.assert_allclose(found.union, found.i_each.max(), atol=1e-10)


def test_sources_that_tell_nothing():
    found = gaussian_union(np.eye(8), DIMS)
    for value in (found.union, found.i_all, found.synergy):
        np.testing.assert_allclose(value, 0, atol=1e-10)


def test_statuses_and_units():
    infinite = gaussian_union(np.ones((8, 8)), DIMS)
    assert infinite.status == Status.INFINITE_INFORMATION
    assert np.isnan([infinite.union, infinite.gap]).all()  # one source alone determines the target
    assert np.isinf([*infinite.i_each, infinite.i_all]).all()
    found = gaussian_union(many_channels(0, 3, 2, 2)[0], DIMS)
    bits = found.in_bits()
    assert (found.unit, bits.unit, bits.in_bits().unit) == ("nats", "bits", "bits")
    np.testing.assert_allclose(bits.synergy, found.synergy / np.log(2))


@pytest.mark.slow
def test_core_runs_under_jit_and_vmap():
    cov, _ = many_channels(0, 3, 2, 2)
    with double_precision():
        solve = jax.jit(jax.vmap(lambda one: union_information(JointGaussian(one, DIMS))))
        found = jax.tree.map(np.asarray, solve(jnp.asarray(cov)[None]))
    np.testing.assert_allclose(found.union[0], gaussian_union(cov, DIMS).union, atol=1e-10)


def test_packed_matrices_do_what_matrices_do():
    rng = np.random.default_rng(0)
    left, right, middle, other = (symmetric(rng.normal(size=(4, 4))) for _ in range(4))
    with double_precision():
        product = np.asarray(product_matrix(jnp.asarray(left), jnp.asarray(right)))
        packed = [np.asarray(pack(jnp.asarray(x))) for x in (middle, other)]
        moved = np.asarray(unpack(jnp.asarray(product @ packed[0]), 4))
        back = np.asarray(unpack(jnp.asarray(packed[0]), 4))
    np.testing.assert_allclose(moved, (left @ middle @ right + right @ middle @ left) / 2, atol=1e-13)
    np.testing.assert_allclose(packed[0] @ packed[1], (middle * other).sum(), atol=1e-13)
    np.testing.assert_allclose(back, middle, atol=1e-15)
