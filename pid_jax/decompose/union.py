"""Union information of two or more sources."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pid_jax.decompose.covariances import check_covariances, solve_covariances
from pid_jax.decompose.dataset import Result
from pid_jax.pid.union import union_of
from pid_jax.runtime.leading import read_axis_labels


@dataclass(frozen=True, kw_only=True, eq=False)
class UnionEstimate(Result, amounts=("union", "i_each", "i_all", "gap"), axes={"i_each": (..., "source")}):
    """What K sources must tell together, given what each tells alone. Arrays have the leading axes of the input.

    Attributes:
        union: I_∪ (...), the least information that the pairwise (source_k, target) marginals allow.
        i_each: I(target; source_k) (..., K).
        i_all: I(target; all sources) (...).
        gap: Certificate (...): the optimum for the whitened covariance lies between `union` − `gap` and `union`. The
            rounding of the whitening, about 1e-16 times the condition, is not in it.
        status: `Status` of each problem. Where it is `INFINITE_INFORMATION` infinite informations are `inf`, and the
            union information is there if each source alone has a finite one; where there is no covariance all are NaN.
        unit: "nats" or "bits".
    """

    union: np.ndarray
    i_each: np.ndarray
    i_all: np.ndarray
    gap: np.ndarray
    status: np.ndarray
    unit: str = "nats"

    @property
    def synergy(self) -> np.ndarray:
        """What the sources tell only together: I_all − I_∪."""
        return self.i_all - self.union


def gaussian_union(cov: ArrayLike, dims: tuple[int, ...], *, rank_cut: float = 1e-13) -> UnionEstimate:
    """Compute the union information of K ≥ 2 sources about a target, all jointly Gaussian.

    Args:
        cov: Joint covariances (..., D, D) in the order source_1, ..., source_K, target.
        dims: (d1, ..., dK, dt), which sum to D.
        rank_cut: Directions of a variable with less than this fraction of its largest variance are dropped.

    Returns:
        The union information in nats with its certificate. For two sources it equals the closed form, I_1 + U_2.

    Raises:
        TypeError: As `gaussian_pid`.
        ValueError: As `gaussian_pid`, with at least three dims.

    Example:
        >>> import numpy as np
        >>> from pid_jax import gaussian_union
        >>> cov = np.ones((4, 4)) + np.diag([1.0, 1.0, 1.0, 0.0])  # three noisy copies of one target
        >>> estimate = gaussian_union(cov, (1, 1, 1, 1)).in_bits()
        >>> print(f"{estimate.union:.2f} of {estimate.i_all:.2f} bits")
        0.50 of 1.00 bits
    """
    array, checked = check_covariances(cov, dims, "pid_jax.pid.union.union_information", sources=None)
    solved = solve_covariances(array, checked, union_of, rank_cut)
    return UnionEstimate(**vars(solved), leading_axes=read_axis_labels(cov, array.ndim - 2))
