"""Information against log-determinants in NumPy, and its precision where they have none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from pid_jax.gaussian.information import information_from_cross, mutual_information
from pid_jax.gaussian.joint import JointGaussian
from pid_jax.runtime.precision import double_precision
from pid_jax.testing.channels import RANK_CUT
from pid_jax.testing.problems import Problem, block_rows, pad
from pid_jax.testing.strategies import problems
from tests.shapes import SMALL, decompose

pytestmark = pytest.mark.filterwarnings("error")


def log_determinant(cov):
    """Sum of the log-eigenvalues of a covariance on its range, after unit variances, and its rank."""
    scale = np.sqrt(np.diag(cov))
    values = np.linalg.eigvalsh(cov / np.outer(scale, scale))
    kept = values[values > RANK_CUT * values[-1]]
    return np.log(kept).sum() + 2 * np.log(scale).sum(), len(kept)


def slow_information(problem):
    """½ (log|Σ_t| + log|Σ_k| − log|Σ_tk|), for covariances of full rank."""
    at_1, at_2, at_t = block_rows(problem.dims)
    values = []
    for at in (at_1, at_2, np.concatenate([at_1, at_2])):
        both = np.concatenate([at, at_t])
        dets = [log_determinant(problem.cov[np.ix_(rows, rows)]) for rows in (at_t, at, both)]
        assert [rank for _, rank in dets] == [len(at_t), len(at), len(both)]
        values.append(0.5 * (dets[0][0] + dets[1][0] - dets[2][0]))
    return values


def has_full_rank(problem):
    return log_determinant(problem.cov)[1] == sum(problem.dims)


@given(problems().filter(has_full_rank))
def test_equals_log_determinants(problem):
    for variance in (0.0, 1.0):  # by eigenvectors, by Cholesky factors
        information = decompose([problem], variance=variance)[0].information
        actual = [information.i_1, information.i_2, information.i_12]
        np.testing.assert_allclose(actual, slow_information(problem), rtol=0, atol=1e-8)


@pytest.mark.parametrize("correlation", [1e-1, 1e-4, 1e-7, 1e-12])
@pytest.mark.parametrize("variance", [0.0, 1.0])
def test_weak_dependence_keeps_its_digits(correlation, variance):
    cov = np.eye(3)
    cov[0, 2] = cov[2, 0] = correlation
    (estimate,) = decompose([Problem(cov, (1, 1, 1))], variance=variance)
    expected = -0.5 * np.log1p(-(correlation**2))
    np.testing.assert_allclose(estimate.information.i_1, expected, rtol=1e-12)
    np.testing.assert_allclose(estimate.information.i_12, expected, rtol=1e-12)
    np.testing.assert_allclose(estimate.atoms.unique_1, expected, rtol=1e-12)


@pytest.mark.parametrize("shape", [(2, 3), (3, 2)])
def test_information_of_independent_channels_is_a_sum(shape):
    cross = np.zeros(shape)
    cross[0, 0], cross[1, 1] = 0.6, -0.8
    with double_precision():
        actual = np.asarray(information_from_cross(jnp.asarray(cross)))
    np.testing.assert_allclose(actual, -0.5 * (np.log(1 - 0.36) + np.log(1 - 0.64)), rtol=1e-14)


def test_mutual_information_is_that_of_the_decomposition_and_nan_where_there_is_none(reference):
    names = ["wishart_0", "rankdef_0", "noise_corr_2"]
    covs = np.stack([pad(reference[name].problem, SMALL, 0.0).cov for name in names] + [np.full((12, 12), np.nan)])
    with double_precision():
        compiled = jax.jit(jax.vmap(lambda cov: mutual_information(JointGaussian(cov, SMALL))))
        actual = jax.tree.map(np.asarray, compiled(jnp.asarray(covs)))
    for name in ("i_1", "i_2", "i_12"):
        expected = [getattr(reference[case].broja.information, name) for case in names]
        np.testing.assert_allclose(getattr(actual, name), [*expected, np.nan], atol=1e-12)
