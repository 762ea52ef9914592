"""Decompose jointly Gaussian variables, from their covariances."""

import jax
import numpy as np
from numpy.typing import ArrayLike

from pid_jax.decompose.covariances import check_covariances, solve_again, solve_covariances
from pid_jax.decompose.result import VARIABLES, PIDEstimate
from pid_jax.gaussian.condition import note_conditions
from pid_jax.gaussian.status import Status
from pid_jax.pid.atoms import PIDSolution
from pid_jax.pid.broja import broja_of, broja_of_in_float32
from pid_jax.pid.mmi import mmi_of
from pid_jax.runtime.checks import check_sample_count
from pid_jax.runtime.devices import use_devices
from pid_jax.settings.estimate import BROJA, MMI, Redundancy, is_mmi, spec_to_dict

# Errors of eigenvectors in float32 move an atom by at most about twice the gap that they leave.
LARGEST_GAP_IN_FLOAT32 = 2e-5


def gaussian_pid(
    cov: ArrayLike,
    dims: tuple[int, int, int],
    *,
    redundancy: Redundancy | None = None,
    samples: int | None = None,
) -> PIDEstimate:
    """Decompose what two sources tell about a target, all jointly Gaussian.

    Args:
        cov: Joint covariances (..., D, D) in the order source_1, source_2, target.
        dims: (d1, d2, dt), with D = d1 + d2 + dt.
        redundancy: `BROJA()` (default) or `MMI()`.
        samples: Number of samples behind the covariance, kept in the result; None if unknown.

    Returns:
        The decomposition in nats. A bad problem of a batch has a status and NaN, and leaves the others as they are.

    Raises:
        TypeError: For tracers, integer, complex or object arrays, or a `redundancy` that is no spec.
        ValueError: For dims that do not fit, an asymmetric matrix, negative variances or such below 1e-290, no finite
            covariance at all, or `samples` that is no count.

    Example:
        >>> from pid_jax import gaussian_pid
        >>> from pid_jax.testing.systems import parallel_channels
        >>> system = parallel_channels(snr_1=[3.0, 0.0], snr_2=[1.0, 1.0])
        >>> estimate = gaussian_pid(*system.problem).in_bits()
        >>> print(f"{estimate.atoms.redundancy:.2f} {estimate.atoms.unique_1:.2f} {estimate.atoms.unique_2:.2f}")
        0.50 0.50 0.50
    """
    redundancy = BROJA() if redundancy is None else redundancy
    if not isinstance(redundancy, (BROJA, MMI)):
        raise TypeError(f"redundancy needs BROJA() or MMI(), got {redundancy!r}.")
    array, checked = check_covariances(cov, dims, "pid_broja or pid_mmi")
    check_sample_count(samples)
    d1, d2, dt = checked
    with use_devices():
        solved = solve_pid(array, checked, redundancy)
    return PIDEstimate(
        **vars(solved),
        cov=array,
        dims=(d1, d2, dt),
        samples=samples,
        notes=note_conditions(array, checked, redundancy.rank_cut, VARIABLES),
        settings={"redundancy": spec_to_dict(redundancy)},
    )


def solve_pid(cov: np.ndarray, dims: tuple[int, ...], redundancy: Redundancy) -> PIDSolution:
    """Decompose checked covariances; the arrays of the solution have their leading axes."""
    if isinstance(redundancy, BROJA) and redundancy.dtype == "float32":
        return _solve_in_float32(cov, dims, redundancy.rank_cut)
    return solve_covariances(cov, dims, mmi_of if is_mmi(redundancy) else broja_of, redundancy.rank_cut)


def _solve_in_float32(cov: np.ndarray, dims: tuple[int, ...], rank_cut: float) -> PIDSolution:
    """Decompose with eigenvectors in float32, and again in float64 where the certificate asks for it."""
    leading, flat = cov.shape[:-2], cov.reshape(-1, *cov.shape[-2:])
    rough = solve_covariances(flat, dims, broja_of_in_float32, rank_cut)
    has_atoms = (rough.status == Status.OK) | np.isfinite(rough.atoms.redundancy)
    is_doubtful = has_atoms & ~(np.abs(rough.gap) <= LARGEST_GAP_IN_FLOAT32)
    found = solve_again(rough, flat, is_doubtful, lambda some: solve_covariances(some, dims, broja_of, rank_cut))
    return jax.tree.map(lambda x: x.reshape(leading), found)
