"""The core function of BROJA under the caller's own transformations, and its closed form against other routes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from pid_jax.decompose.coupling import optimal_coupling
from pid_jax.decompose.pid import gaussian_pid
from pid_jax.decompose.result import ATOMS
from pid_jax.decompose.spectrum import unique_spectrum
from pid_jax.gaussian.joint import JointGaussian
from pid_jax.pid.broja import pid_broja
from pid_jax.pid.mmi import MMI
from pid_jax.runtime.precision import double_precision
from pid_jax.testing.problems import block_rows, pad, random_channel, random_latent, random_wishart, symmetric
from pid_jax.testing.systems import parallel_channels
from tests.shapes import SMALL

pytestmark = pytest.mark.filterwarnings("error")

NAMES = ("wishart_0", "rankdef_0", "doubling_g1.33_d4")


@jax.jit
@jax.vmap
def _broja(cov):
    return pid_broja(JointGaussian(cov, SMALL))


@pytest.mark.slow
def test_runs_under_the_callers_jit_and_vmap(reference):
    covs = np.stack([pad(reference[name].problem, SMALL, 0.0).cov for name in NAMES])
    with double_precision():
        solved = jax.tree.map(np.asarray, _broja(jnp.asarray(covs)))
    assert solved.gap.dtype == np.float64
    for i, name in enumerate(NAMES):
        for atom, key in (("redundancy", "red"), ("unique_1", "unq1"), ("unique_2", "unq2"), ("synergy", "syn")):
            expected = reference[name].expected["broja"][key]
            np.testing.assert_allclose(getattr(solved.atoms, atom)[i], expected, atol=reference[name].tolerance)


def test_uniques_are_half_the_logs_of_the_generalized_eigenvalues(reference):
    """By conditional covariances and the generalized eigensolver of SciPy, without whitening."""
    for name in ("wishart_0", "wishart_6", "latent_4", "gain_6", "randomBC_4", "noise_corr_2"):
        case = reference[name]
        at_1, at_2, at_t = block_rows(case.problem.dims)
        given_1, given_2 = (conditional(case.problem.cov, at_t, at) for at in (at_1, at_2))
        logs = np.log(scipy.linalg.eigh(given_1, given_2, eigvals_only=True))
        np.testing.assert_allclose(case.broja.atoms.unique_1, 0.5 * np.maximum(-logs, 0).sum(), atol=1e-9)
        np.testing.assert_allclose(case.broja.atoms.unique_2, 0.5 * np.maximum(logs, 0).sum(), atol=1e-9)


def conditional(cov, rows, known):
    cross = cov[np.ix_(rows, known)]
    return symmetric(cov[np.ix_(rows, rows)] - cross @ np.linalg.solve(cov[np.ix_(known, known)], cross.T))


def test_a_target_of_many_dims_is_restricted_without_loss():
    """With dt > d1 + d2 only d1 + d2 directions of the target matter; the same problem unpadded agrees."""
    problem = random_channel(np.random.default_rng(0), (2, 1, 9), (1.0, 2.0))
    wide, square = gaussian_pid(*problem), gaussian_pid(*pad(problem, (9, 9, 9), 1.0))
    for name in ATOMS:
        np.testing.assert_allclose(getattr(wide.atoms, name), getattr(square.atoms, name), atol=1e-13)
    assert abs(wide.gap) < 1e-13


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("snr", [1e4, 1e8, 1e11])
def test_strong_sources_of_different_directions_lose_nothing(snr):
    """Each source knows another coordinate almost exactly: what divides by one conditional covariance fails here."""
    system = parallel_channels([snr, 1.0], [1.0, snr])
    found = gaussian_pid(*system.problem)
    for name in ATOMS:
        np.testing.assert_allclose(getattr(found.atoms, name), getattr(system.atoms, name), rtol=0, atol=1e-15 * snr)
    assert abs(found.gap) <= 1e-15 * snr


SEEDS, SIZES = 20, (64, pytest.param(128, marks=pytest.mark.slow))
FAMILIES = {
    "Wishart": random_wishart,
    "latent factors": lambda rng, dims: random_latent(rng, dims, factors=dims[0] // 2),
    "broadcast channel": lambda rng, dims: random_channel(rng, dims, (1.0, 1.0)),
    "unequal broadcast channel": lambda rng, dims: random_channel(rng, dims, (0.1, 3.0)),
}


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("family", FAMILIES)
def test_large_problems_are_certified(size, family):
    dims = (size, size, size)
    covs = np.stack([FAMILIES[family](np.random.default_rng(seed), dims).cov for seed in range(SEEDS)])
    estimate = gaussian_pid(covs, dims)
    assert (estimate.status == 0).all()
    assert abs(estimate.gap).max() <= 1e-10
    assert min(getattr(estimate.atoms, name).min() for name in ("redundancy", "unique_1", "unique_2")) >= -1e-10


@pytest.mark.slow
def test_dims_of_core_functions():
    with pytest.raises(ValueError, match=r"\(6, 6\).*dims.*\(2, 2, 2\).*jax.vmap"):
        jax.jit(pid_broja)(JointGaussian(jnp.eye(5), (2, 2, 2)))
    with pytest.raises(ValueError, match=r"\(d1, d2, dt\).*\(1, 1, 1, 1\)"):
        pid_broja(JointGaussian(jnp.eye(4), (1, 1, 1, 1)))
    assert pid_broja(JointGaussian(jnp.eye(3), [1, 1, 1])).status == 0


@pytest.mark.slow
def test_settings_of_the_caller_change_nothing():
    covs = np.stack(
        [pad(random_channel(np.random.default_rng(0), (2, 2, 2), (1.0, 1.0)), SMALL, v).cov for v in (0, 1)]
    )
    options = [{}, {"redundancy": MMI()}]
    expected = [gaussian_pid(covs, SMALL, **option).atoms.redundancy for option in options]
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"), jax.debug_nans(True):
        found = [gaussian_pid(covs, SMALL, **option).atoms.redundancy for option in options]
        assert (optimal_coupling(covs, SMALL).status == unique_spectrum(covs, SMALL).status).all()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_core_computes_in_the_precision_of_its_input():
    """Without float64 the error is eps times the condition, here 1e-7 x 1e3."""
    cov = random_channel(np.random.default_rng(0), (3, 3, 3), (1.0, 1.0)).cov
    assert np.linalg.cond(cov) < 1e3
    found, expected = jax.jit(pid_broja)(JointGaussian(jnp.asarray(cov), (3, 3, 3))), gaussian_pid(cov, (3, 3, 3))
    for name in ATOMS:
        value = getattr(found.atoms, name)
        assert value.dtype == jnp.float32
        np.testing.assert_allclose(value, getattr(expected.atoms, name), rtol=0, atol=1e-4)


def test_second_call_with_equal_shapes_does_not_compile(reference, compiled):
    covs = np.stack([pad(reference[name].problem, SMALL, 0.0).cov for name in NAMES[:2] * 32])
    gaussian_pid(covs, SMALL)
    compiled()
    gaussian_pid(covs * 2.0, SMALL)
    gaussian_pid(covs.reshape(8, 8, *covs.shape[1:]), list(SMALL))
    assert not compiled()
