"""Tables of probabilities: checks, marginals, entropies, informations, and raking to common class probabilities."""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from pid_jax.gaussian.status import Status
from pid_jax.runtime.arrays import to_numpy

# Sums and class probabilities may be off by this, which is the rounding of tables in float32.
ROUNDING = 1e-6
CORE = "the core function pid_jax.discrete.union.solve_union"


def check_table(name: str, value: ArrayLike, axes: tuple[str, ...]) -> Float[np.ndarray, "..."]:
    """Return a table in float64 with at least the named axes, none of them empty.

    Raises:
        TypeError: For tracers, and for anything but real numbers.
        ValueError: For missing or empty axes.
    """
    array = to_numpy(name, value, CORE).astype(np.float64)
    wanted = f"(..., {', '.join(axes)})"
    if array.ndim < len(axes):
        raise ValueError(f"{name} needs a table of shape {wanted}, got shape {array.shape}: add the missing axes.")
    if array.size == 0:
        raise ValueError(f"{name} needs a table of shape {wanted} with entries, got shape {array.shape}.")
    return array


def as_distributions(table: Float[np.ndarray, "..."], axes: int) -> tuple[Float[np.ndarray, "..."], np.ndarray]:
    """Return tables with sums of exactly 1, and the `Status` of each; those that are no distributions become 0.

    Args:
        table: Tables (..., of as many last axes as `axes`).
        axes: Number of axes of one table.
    """
    last = tuple(range(-axes, 0))
    is_finite = np.isfinite(table).all(axis=last)
    with np.errstate(invalid="ignore", over="ignore"):
        is_close = np.abs(table.sum(axis=last) - 1) <= ROUNDING
        is_good = is_finite & is_close & (table >= -ROUNDING / table[(0,) * (table.ndim - axes)].size).all(axis=last)
    code = np.where(is_finite, Status.NOT_A_DISTRIBUTION, Status.NOT_FINITE)
    status = np.where(is_good, Status.OK, code).astype(np.int32)
    kept = np.where(is_good.reshape(*is_good.shape, *[1] * axes), np.maximum(np.nan_to_num(table), 0), 0)
    return kept / np.maximum(kept.sum(axis=last, keepdims=True), np.finfo(float).tiny), status


def refuse_all_bad(name: str, table: Float[np.ndarray, "..."], status: Int[np.ndarray, "..."]) -> None:
    """Refuse tables of which none is a distribution.

    Raises:
        ValueError: With the reason for the first one.
    """
    if (status == Status.OK).any():
        return
    first = table.reshape(status.size, -1)[0]
    if not np.isfinite(first).all():
        found = "NaN or infinity"
    elif first.min() < -ROUNDING / first.size:
        found = f"a negative entry, {first.min():.3g}"
    else:
        found = f"entries with the sum {first.sum():.9g}"
    raise ValueError(
        f"{name} needs probabilities, finite and non-negative with a sum of 1, got {found}: divide counts by their sum."
    )


def reconcile(
    p_1t: Float[np.ndarray, "... n1 nt"], p_2t: Float[np.ndarray, "... n2 nt"], status: Int[np.ndarray, "..."]
) -> tuple[Float[np.ndarray, "... n1 nt"], Float[np.ndarray, "... n2 nt"], Int[np.ndarray, "..."]]:
    """Return both tables with the same class probabilities, their mean, where these agree up to rounding.

    Where they do not, the status is `NOT_A_DISTRIBUTION` and the tables are 0.
    """
    of_1, of_2 = p_1t.sum(axis=-2), p_2t.sum(axis=-2)
    is_same = np.abs(of_1 - of_2).max(axis=-1) <= ROUNDING
    status = np.where((status == Status.OK) & ~is_same, Status.NOT_A_DISTRIBUTION, status).astype(np.int32)
    mean = np.where((of_1 > 0) & (of_2 > 0) & (status == Status.OK)[..., None], (of_1 + of_2) / 2, 0)
    mean = mean / np.maximum(mean.sum(axis=-1, keepdims=True), np.finfo(float).tiny)
    factors = (mean / np.where(one > 0, one, 1) for one in (of_1, of_2))
    first, second = (p * factor[..., None, :] for p, factor in zip((p_1t, p_2t), factors, strict=True))
    return first, second, status


def entropy_of(p: Float[np.ndarray, "..."], axes: int) -> Float[np.ndarray, "..."]:
    """Return the entropy in nats over as many last axes, with 0 log 0 = 0."""
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=tuple(range(-axes, 0)))


def information_of_table(p: Float[np.ndarray, "... n nt"]) -> Float[np.ndarray, "..."]:
    """Return the mutual information in nats of the two last axes."""
    product = p.sum(axis=-1, keepdims=True) * p.sum(axis=-2, keepdims=True)
    ratio = np.where(p > 0, p, 1) / np.where((p > 0) & (product > 0), product, 1)
    return np.maximum((p * np.log(ratio)).sum(axis=(-2, -1)), 0)
