"""The distribution behind BROJA's union information."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pid_jax.decompose.covariances import check_covariances, solve_covariances
from pid_jax.decompose.dataset import Result
from pid_jax.pid.coupling import coupling_of
from pid_jax.runtime.leading import read_axis_labels


@dataclass(frozen=True, kw_only=True, eq=False)
class OptimalCoupling(
    Result,
    amounts=("information",),
    axes={"cov": (..., "row", "column"), "noise_coupling": (..., "coordinate_1", "coordinate_2")},
):
    """The joint distribution in which the sources tell the least together, with the pairwise marginals of the data.

    Attributes:
        cov: Its joint covariance (..., D, D). Only the covariance of the two sources differs from that of the data.
        noise_coupling: K* (..., d1, d2), the correlation of the noises of the channels target → source_1 and target →
            source_2, in units of the sources' standard deviations and whitened by the symmetric inverse root of their
            covariances. Its singular values are at most 1.
        information: I(target; source_1, source_2) under it (...): the union information, the primal value of its
            certificate.
        status: `Status` of each problem. Numbers are NaN where there is no covariance, or where one source alone has
            infinite information.
        unit: "nats" or "bits", of the information.
    """

    cov: np.ndarray
    noise_coupling: np.ndarray
    information: np.ndarray
    status: np.ndarray
    unit: str = "nats"


def optimal_coupling(cov: ArrayLike, dims: tuple[int, int, int], *, rank_cut: float = 1e-13) -> OptimalCoupling:
    """Find the coupling of two sources that attains BROJA's union information.

    Args:
        cov: Joint covariances (..., D, D) in the order source_1, source_2, target.
        dims: (d1, d2, dt), with D = d1 + d2 + dt.
        rank_cut: Directions of a variable with less than this fraction of its largest variance are dropped.

    Returns:
        The coupling. `gaussian_pid(result.cov, dims)` has no synergy.

    Raises:
        TypeError: As `gaussian_pid`.
        ValueError: As `gaussian_pid`.

    Example:
        >>> from pid_jax import gaussian_pid, optimal_coupling
        >>> from pid_jax.testing.systems import parallel_channels
        >>> cov, dims = parallel_channels(snr_1=[3.0, 0.0], snr_2=[1.0, 1.0]).problem
        >>> coupling = optimal_coupling(cov, dims)
        >>> round(abs(float(gaussian_pid(coupling.cov, dims).atoms.synergy)), 6)
        0.0
    """
    array, checked = check_covariances(cov, dims, "pid_jax.pid.coupling.broja_coupling")
    solved = solve_covariances(array, checked, coupling_of, rank_cut)
    return OptimalCoupling(**vars(solved), leading_axes=read_axis_labels(cov, array.ndim - 2))
