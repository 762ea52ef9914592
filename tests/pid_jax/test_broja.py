"""The core function of BROJA under the caller's own transformations, and its closed form against another route."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from pid_jax.estimate import _solve, gaussian_pid
from pid_jax.gaussian.joint import JointGaussian
from pid_jax.pid.broja import pid_broja
from pid_jax.precision import double_precision
from tests.strategies import SMALL, block_rows, pad, symmetric

pytestmark = pytest.mark.filterwarnings("error")

NAMES = ("wishart_0", "rankdef_0", "doubling_g1.33_d4")


@jax.jit
@jax.vmap
def _broja(cov):
    return pid_broja(JointGaussian(cov, SMALL))


def test_runs_under_the_callers_jit_and_vmap(reference):
    covs = np.stack([pad(reference[name].problem, SMALL) for name in NAMES])
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


def test_second_call_with_equal_shapes_does_not_compile(reference):
    covs = np.stack([pad(reference[name].problem, SMALL) for name in NAMES[:2] * 32])
    gaussian_pid(covs, SMALL)
    compiled = _solve._cache_size()
    gaussian_pid(covs * 2.0, SMALL)
    gaussian_pid(covs.reshape(8, 8, *covs.shape[1:]), list(SMALL))
    assert _solve._cache_size() == compiled
