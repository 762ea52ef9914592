"""Slow routes to the same numbers: 50 digits, a search over couplings, a general convex solver."""

from collections.abc import Sequence

import cvxpy
import mpmath
import numpy as np
from scipy.optimize import minimize

from pid_jax.testing.channels import channels, coupled_information
from pid_jax.testing.problems import Problem, block_rows

DIGITS = 50


def exact_broja(problem: Problem) -> dict[str, float]:
    """Compute atoms and informations in nats by generalized eigenvalues in 50 digits.

    The covariance is taken as the exact matrix that its float64 entries are; it must be positive definite.
    """
    with mpmath.workdps(DIGITS):
        cov = mpmath.matrix(problem.cov.tolist())
        at_1, at_2, at_t = (rows.tolist() for rows in block_rows(problem.dims))
        given_1, given_2, given_12 = (_conditional(cov, at_t, at) for at in (at_1, at_2, at_1 + at_2))
        root = mpmath.inverse(mpmath.cholesky(given_2))
        ratios = mpmath.eigsy(root * given_1 * root.T, eigvals_only=True)
        half_logs = [mpmath.log(ratio) / 2 for ratio in ratios]
        unique_1 = mpmath.fsum(max(-x, mpmath.mpf(0)) for x in half_logs)
        unique_2 = mpmath.fsum(max(x, mpmath.mpf(0)) for x in half_logs)
        whole = mpmath.log(mpmath.det(_block(cov, at_t, at_t)))
        i_1, i_2, i_12 = ((whole - mpmath.log(mpmath.det(given))) / 2 for given in (given_1, given_2, given_12))
        values = {
            "redundancy": i_1 - unique_1,
            "unique_1": unique_1,
            "unique_2": unique_2,
            "synergy": i_12 - i_1 - unique_2,
            "i_1": i_1,
            "i_2": i_2,
            "i_12": i_12,
        }
        return {name: float(value) for name, value in values.items()}


def _conditional(cov: mpmath.matrix, rows: list[int], known: list[int]) -> mpmath.matrix:
    cross = _block(cov, rows, known)
    return _block(cov, rows, rows) - cross * mpmath.inverse(_block(cov, known, known)) * cross.T


def _block(cov: mpmath.matrix, rows: list[int], columns: list[int]) -> mpmath.matrix:
    return mpmath.matrix([[cov[i, j] for j in columns] for i in rows])


def least_coupled_information(problem: Problem, starts: int = 4) -> float:
    """Minimize I_q(target; source_1, source_2) over all Gaussian couplings, from the definition of BROJA.

    The noise coupling is M (I + Mᵀ M)^(−½) with M free, so that its norm stays below 1.
    """
    parts = channels(problem)
    shape = parts.coupling.shape

    def value(flat: np.ndarray) -> float:
        left, singular, right = np.linalg.svd(flat.reshape(shape), full_matrices=False)
        return coupled_information(parts.gain_1, parts.gain_2, left * (singular / np.sqrt(1 + singular**2)) @ right)

    rng = np.random.default_rng(0)
    found = [minimize(value, rng.normal(size=np.prod(shape)), method="BFGS", tol=1e-10) for _ in range(starts)]
    return min(float(one.fun) for one in found)


def convex_union_information(cov: np.ndarray, dims: Sequence[int]) -> float:
    """Minimize ½ (log |Σ_t| − log |P|) over P ⪯ Σ_t|k by a general solver."""
    *sources, at_t = block_rows(dims)
    error = cvxpy.Variable((dims[-1], dims[-1]), symmetric=True)
    bounds = []
    for at in sources:
        cross = cov[np.ix_(at_t, at)]
        given = cov[np.ix_(at_t, at_t)] - cross @ np.linalg.solve(cov[np.ix_(at, at)], cross.T)
        bounds.append(error << (given + given.T) / 2)
    problem = cvxpy.Problem(cvxpy.Maximize(cvxpy.log_det(error)), bounds)
    problem.solve(solver=cvxpy.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    assert problem.status == cvxpy.OPTIMAL
    return 0.5 * (np.linalg.slogdet(cov[np.ix_(at_t, at_t)])[1] - problem.value)
