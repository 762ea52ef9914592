"""The coupling that attains the union information."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from pid_jax.decompose.coupling import optimal_coupling
from pid_jax.decompose.pid import gaussian_pid
from pid_jax.gaussian.joint import JointGaussian
from pid_jax.gaussian.status import Status
from pid_jax.pid.coupling import broja_coupling
from pid_jax.runtime.precision import double_precision
from pid_jax.testing.channels import channels
from pid_jax.testing.channels import optimal_coupling as slow_coupling
from pid_jax.testing.problems import block_rows, pad, random_channel
from pid_jax.testing.strategies import known_systems, problems

pytestmark = pytest.mark.filterwarnings("error")

COMMON = (4, 4, 4)
TOLERANCE = 1e-7


def union(estimate):
    return estimate.information.i_1 + estimate.atoms.unique_2


@given(problem=problems())
def test_is_a_distribution_with_the_pairs_of_the_data_and_the_least_information(problem):
    wide = pad(problem, COMMON, 1.0)
    found, atoms = optimal_coupling(*wide), gaussian_pid(*wide)
    at_1, at_2, at_t = block_rows(COMMON)
    for rows in (np.concatenate([at_1, at_t]), np.concatenate([at_2, at_t])):
        np.testing.assert_array_equal(found.cov[np.ix_(rows, rows)], wide.cov[np.ix_(rows, rows)])
    np.testing.assert_array_equal(found.cov, found.cov.T)
    scale = 1 / np.sqrt(np.diag(wide.cov))
    assert np.linalg.eigvalsh(found.cov * scale[:, None] * scale)[0] >= -1e-12
    assert np.linalg.norm(found.noise_coupling, 2) <= 1 + 1e-6
    np.testing.assert_allclose(found.information, union(atoms), rtol=0, atol=1e-9)


@given(problem=problems(full_rank=True))
def test_decomposition_of_the_coupling_has_no_synergy(problem):
    wide = pad(problem, COMMON, 1.0)
    before, after = gaussian_pid(*wide), gaussian_pid(optimal_coupling(*wide).cov, COMMON)
    assert after.status == Status.OK
    np.testing.assert_allclose(after.atoms.synergy, 0, atol=TOLERANCE)
    for name in ("redundancy", "unique_1", "unique_2"):
        np.testing.assert_allclose(getattr(after.atoms, name), getattr(before.atoms, name), rtol=0, atol=TOLERANCE)


def symmetric_roots(problem):
    """Noise correlation in the library's convention, from the channels of the slow route."""
    parts = channels(problem)
    slow = slow_coupling(parts.gain_1, parts.gain_2)
    roots = []
    for k, at in enumerate(block_rows(problem.dims)[:2]):
        embed, root = parts.embeddings[k]
        noise = (embed @ root) / np.sqrt(np.diag(problem.cov))[at, None]  # in units of standard deviations
        values, vectors = np.linalg.eigh(noise @ noise.T)
        roots.append((vectors / np.sqrt(values)) @ vectors.T @ noise)
    return roots[0] @ slow @ roots[1].T


def test_noise_coupling_is_that_of_the_formula():
    """K* = H_1 C⁺ H_2ᵀ up to the choice of the roots that whiten the noises."""
    for seed in range(5):
        problem = random_channel(np.random.default_rng(seed), (3, 4, 2), (1.0, 2.0))
        np.testing.assert_allclose(optimal_coupling(*problem).noise_coupling, symmetric_roots(problem), atol=1e-10)


@given(system=known_systems())
def test_known_channels_tell_together_what_the_better_one_tells(system):
    found = optimal_coupling(*pad(system.problem, COMMON, 1.0))
    atoms = system.atoms
    np.testing.assert_allclose(found.information, atoms.redundancy + atoms.unique_1 + atoms.unique_2, atol=1e-9)


def test_leading_axes_and_units():
    problem = random_channel(np.random.default_rng(0), (2, 1, 2), (1.0, 1.0))
    covs = np.stack([problem.cov, np.full((5, 5), np.nan)])
    found = optimal_coupling(covs, problem.dims)
    assert found.noise_coupling.shape == (2, 2, 1)
    assert found.status.tolist() == [Status.OK, Status.NOT_FINITE]
    assert np.isnan(found.cov[1]).all()
    bits = found.in_bits()
    assert (found.unit, bits.unit, bits.in_bits().unit) == ("nats", "bits", "bits")
    np.testing.assert_allclose(bits.information[0], found.information[0] / np.log(2))


@pytest.mark.slow
def test_core_runs_under_jit_and_vmap():
    problem = random_channel(np.random.default_rng(0), (2, 3, 2), (1.0, 1.0))
    with double_precision():
        solve = jax.jit(jax.vmap(lambda cov: broja_coupling(JointGaussian(cov, problem.dims))))
        found = jax.tree.map(np.asarray, solve(jnp.asarray(problem.cov)[None]))
    np.testing.assert_allclose(found.noise_coupling[0], optimal_coupling(*problem).noise_coupling, atol=1e-12)
