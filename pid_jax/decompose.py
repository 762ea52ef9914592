"""Decompose jointly Gaussian variables, from their covariances."""

import numpy as np
from numpy.typing import ArrayLike

from pid_jax.covariances import Measure, check_covariances, solve_covariances
from pid_jax.pid.atoms import PIDSolution
from pid_jax.pid.broja import broja_of, broja_of_in_float32
from pid_jax.pid.mmi import mmi_of
from pid_jax.result import PIDEstimate
from pid_jax.spec import BROJA, MMI, Redundancy, spec_to_dict


def gaussian_pid(
    cov: ArrayLike, dims: tuple[int, int, int], *, redundancy: Redundancy | None = None, samples: int | None = None
) -> PIDEstimate:
    """Decompose what two sources tell about a target, all jointly Gaussian.

    Args:
        cov: Joint covariances (..., D, D) in the order source_1, source_2, target.
        dims: (d1, d2, dt), with D = d1 + d2 + dt.
        redundancy: `BROJA()` (default) or `MMI()`.
        samples: Number of samples behind the covariance, kept in the result.

    Returns:
        The decomposition in nats. A bad problem of a batch has a status and NaN, and leaves the others as they are.

    Raises:
        TypeError: For tracers, integer, complex or object arrays, or a `redundancy` that is no spec.
        ValueError: For dims that do not fit, an asymmetric matrix, negative variances, or no finite covariance at all.
    """
    redundancy = BROJA() if redundancy is None else redundancy
    if not isinstance(redundancy, (BROJA, MMI)):
        raise TypeError(f"redundancy needs BROJA() or MMI(), got {redundancy!r}.")
    array, checked = check_covariances(cov, dims, "pid_broja or pid_mmi")
    d1, d2, dt = checked
    return PIDEstimate(
        **vars(solve_pid(array, checked, redundancy)),
        cov=array,
        dims=(d1, d2, dt),
        samples=samples,
        settings={"redundancy": spec_to_dict(redundancy)},
    )


def solve_pid(cov: np.ndarray, dims: tuple[int, ...], redundancy: Redundancy) -> PIDSolution:
    """Decompose checked covariances; the arrays of the solution have their leading axes."""
    return solve_covariances(cov, dims, _measure(redundancy), redundancy.rank_cut)


def _measure(redundancy: Redundancy) -> Measure:
    if isinstance(redundancy, MMI):
        return mmi_of
    return broja_of if redundancy.dtype == "float64" else broja_of_in_float32
