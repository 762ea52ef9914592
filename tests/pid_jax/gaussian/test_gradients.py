"""Derivatives of the core functions: right where they exist, finite everywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pid_jax.decompose.result import ATOMS
from pid_jax.gaussian.information import mutual_information
from pid_jax.gaussian.joint import JointGaussian
from pid_jax.pid.broja import pid_broja
from pid_jax.pid.mmi import pid_mmi
from pid_jax.pid.union import union_information
from pid_jax.runtime.precision import double_precision
from pid_jax.testing.problems import Problem, linear_map, pad, random_channel, random_wishart, symmetric

pytestmark = pytest.mark.filterwarnings("error")

STEP = 1e-6


def atoms_of(core, dims):
    def atoms(cov):
        found = core(JointGaussian(cov, dims)).atoms
        return jnp.stack([getattr(found, name) for name in ATOMS])

    return jax.jit(atoms)


def differences(function, cov):
    """Central differences along every symmetric change of two entries."""
    size = len(cov)
    steps = np.eye(size * size).reshape(-1, size, size) * STEP
    steps = (steps + np.swapaxes(steps, 1, 2)) / 2
    high, low = (np.asarray(jax.vmap(function)(jnp.asarray(cov + sign * steps))) for sign in (1, -1))
    return np.moveaxis((high - low) / (2 * STEP), 0, -1).reshape(len(ATOMS), size, size)


SHAPES = [
    (pid_broja, (2, 3, 2)),
    pytest.param(pid_mmi, (2, 3, 2), marks=pytest.mark.slow),
    pytest.param(pid_broja, (2, 1, 5), marks=pytest.mark.slow),  # the target is restricted to three directions
    pytest.param(pid_broja, (1, 1, 1), marks=pytest.mark.slow),
    pytest.param(pid_broja, (5, 1, 2), marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("core", "dims"), SHAPES)
def test_derivatives_are_those_of_finite_differences(core, dims):
    cov = random_wishart(np.random.default_rng(1), dims).cov
    function = atoms_of(core, dims)
    with double_precision():
        backward = np.asarray(jax.jit(jax.jacrev(function))(jnp.asarray(cov)))
        expected = differences(function, cov)
    np.testing.assert_allclose(backward, expected, rtol=0, atol=1e-8)


def test_derivatives_of_singular_problems_are_those_of_their_range():
    """Redundant coordinates leave the derivative along changes of the range as it is."""
    dims = (2, 2, 2)
    problem = random_channel(np.random.default_rng(0), dims, (1.0, 2.0))
    rng = np.random.default_rng(1)
    embed = np.zeros((9, 6))
    for k in range(3):
        embed[3 * k : 3 * k + 3, 2 * k : 2 * k + 2] = linear_map(rng, 3, 2, 3.0)
    change = symmetric(rng.normal(size=(6, 6)))
    small, large = atoms_of(pid_broja, dims), atoms_of(pid_broja, (3, 3, 3))
    with double_precision():
        expected = jax.jvp(small, (jnp.asarray(problem.cov),), (jnp.asarray(change),))
        covs = (jnp.asarray(embed @ x @ embed.T) for x in (problem.cov, change))
        found = jax.jvp(large, *((cov,) for cov in covs))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=1e-10)


HARD = {
    "independent": np.eye(6),
    "equal sources": np.kron([[1.0, 0.2, 0.5], [0.2, 1.0, 0.5], [0.5, 0.5, 1.0]], np.eye(2)),
    "identical sources": np.kron([[1.0, 1.0, 0.5], [1.0, 1.0, 0.5], [0.5, 0.5, 1.0]], np.eye(2)),
    "no variance": np.zeros((6, 6)),
    "constant coordinates": pad(Problem(np.eye(3) + 0.3, (1, 1, 1)), (2, 2, 2), 0.0).cov,
    "infinite information": np.kron([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]], np.eye(2)),
    "not positive semidefinite": np.kron([[1.0, 0.9, 0.9], [0.9, 1.0, -0.9], [0.9, -0.9, 1.0]], np.eye(2)),
    "not finite": np.full((6, 6), np.nan),
}


@pytest.mark.parametrize("core", [pid_broja, pytest.param(pid_mmi, marks=pytest.mark.slow)])
def test_derivatives_are_finite_everywhere(core):
    covs = np.stack(list(HARD.values()))
    function = atoms_of(core, (2, 2, 2))
    with double_precision():
        backward = np.asarray(jax.jit(jax.vmap(jax.jacrev(function)))(jnp.asarray(covs)))
        change = jnp.ones((6, 6))
        forward = jax.jit(jax.vmap(lambda cov: jax.jvp(function, (cov,), (change,))[1]))(jnp.asarray(covs))
        for name, one, other in zip(HARD, backward, np.asarray(forward), strict=True):
            assert np.isfinite(one).all(), name
            np.testing.assert_allclose(one.sum(axis=(1, 2)), other, atol=1e-8, err_msg=name)


@pytest.mark.slow
def test_derivatives_of_the_union_are_those_of_finite_differences():
    dims = (2, 2, 1, 3)
    cov = random_wishart(np.random.default_rng(2), dims).cov
    function = jax.jit(lambda cov: jnp.tile(union_information(JointGaussian(cov, dims)).union, len(ATOMS)))
    with double_precision():
        backward = np.asarray(jax.jit(jax.grad(lambda cov: function(cov)[0]))(jnp.asarray(cov)))
        expected = differences(function, cov)[0]
    np.testing.assert_allclose(backward, expected, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_derivatives_of_the_union_of_two_sources_are_those_of_the_closed_form():
    """Also at the kink, and finite where nothing else is."""
    dims, covs = (2, 2, 2), np.stack(list(HARD.values()))

    def closed(cov):
        found = pid_broja(JointGaussian(cov, dims))
        return found.information.i_1 + found.atoms.unique_2

    def iterated(cov):
        return union_information(JointGaussian(cov, dims)).union

    with double_precision():
        one, other = (np.asarray(jax.jit(jax.vmap(jax.grad(f)))(jnp.asarray(covs))) for f in (closed, iterated))
    np.testing.assert_allclose(one, other, atol=1e-12)
    assert np.isfinite(other).all()


@pytest.mark.slow
def test_identities_hold_for_derivatives_at_the_kink():
    """Where both sources know a direction equally well, the mean of both one-sided derivatives is taken."""
    with double_precision():
        cov = jnp.asarray(HARD["equal sources"])
        atoms = np.asarray(jax.jit(jax.jacrev(atoms_of(pid_broja, (2, 2, 2))))(cov))
        info = jax.jit(jax.jacrev(lambda c: mutual_information(JointGaussian(c, (2, 2, 2)))))(cov)
        redundancy, unique_1, unique_2 = atoms[:3]
        np.testing.assert_allclose(redundancy + unique_1, np.asarray(info.i_1), atol=1e-12)
        np.testing.assert_allclose(redundancy + unique_2, np.asarray(info.i_2), atol=1e-12)
        np.testing.assert_allclose(atoms.sum(axis=0), np.asarray(info.i_12), atol=1e-12)
