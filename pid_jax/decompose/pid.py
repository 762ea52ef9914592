"""Decompose jointly Gaussian variables, from their covariances."""

import jax
import numpy as np
from numpy.typing import ArrayLike

from pid_jax.decompose.covariances import check_covariances, solve_covariances
from pid_jax.decompose.result import VARIABLES, PIDEstimate
from pid_jax.gaussian.condition import note_conditions
from pid_jax.pid.atoms import PIDQuantities, PIDSolution, quantities_of
from pid_jax.pid.broja import BROJA
from pid_jax.pid.measure import Redundancy
from pid_jax.pid.registry import measure_of
from pid_jax.runtime.checks import check_sample_count
from pid_jax.runtime.devices import use_devices
from pid_jax.runtime.leading import read_axis_labels
from pid_jax.settings.estimate import spec_to_dict


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
        redundancy: `BROJA()` (default), `MMI()`, `IDep()`, `IIG()`, `ICCS()` or `Deficiency()`.
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
    measure_of(redundancy)
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
        leading_axes=read_axis_labels(cov, array.ndim - 2),
    )


def solve_pid(cov: np.ndarray, dims: tuple[int, ...], redundancy: Redundancy) -> PIDSolution:
    """Decompose checked covariances; the arrays of the solution have their leading axes.

    Raises:
        TypeError: If JAX cannot trace the `solve` of the measure.
    """
    measure = measure_of(redundancy)
    try:
        return solve_covariances(cov, dims, measure.solve, redundancy.rank_cut)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
        raise TypeError(
            f"measure {measure.name!r} needs a solve that JAX can trace: compute by jax.numpy, without NumPy, float() "
            "or if on values of the problem; the cause above names the line."
        ) from error


def solve_quantities(cov: np.ndarray, dims: tuple[int, ...], redundancy: Redundancy) -> PIDQuantities:
    """Return the atoms and informations of `solve_pid`."""
    solved = solve_pid(cov, dims, redundancy)
    return quantities_of(solved.atoms, solved.information)
