"""What a reduction left out, in plain sentences."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike


def describe_reduction(
    name: str, columns: int, rank: ArrayLike, explained_variance: ArrayLike, dim: int
) -> tuple[str, ...]:
    """Note what was left out of a variable: columns, components, rank.

    Args:
        name: What the variable is called.
        columns: How many it has.
        rank: Coordinates that carry variance, of each problem.
        explained_variance: Fraction of the variance that they keep, of each problem.
        dim: Coordinates that were asked for.
    """
    notes, rank, variance = [], np.asarray(rank), np.asarray(explained_variance)
    if dim < columns:
        kept = _between(f"{100 * x:.3g}" for x in (variance.min(), variance.max()))
        notes.append(f"{name}: {dim} components of {columns} columns keep {kept} % of the variance")
    if rank.min() < dim:
        found = _between(str(x) for x in (rank.min(), rank.max()))
        what = "components" if dim < columns else "columns"
        notes.append(f"{name} has rank {found}: the rest of its {dim} {what} repeat others or are constant")
    return tuple(notes)


def describe_scale(name: str, exponents: np.ndarray | None) -> tuple[str, ...]:
    """Note that values were divided by powers of two, which changes the units of the covariance and nothing else."""
    if exponents is None:
        return ()
    used = exponents[exponents != 0]
    powers = _between(f"2^{x}" for x in (used.min(), used.max()))
    return (f"{name}: values whose squares are out of range were divided by {powers}, as is the covariance",)


def _between(ends: Iterable[str]) -> str:
    return " to ".join(dict.fromkeys(ends))
