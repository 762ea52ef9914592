"""The reduction that a spec asks for, and sentences on what it left out."""

from collections.abc import Iterable

import jax
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from pid_jax.reduce.krylov import fit_basis_randomized
from pid_jax.reduce.pca import Basis, fit_basis
from pid_jax.runtime.by_type import by_type
from pid_jax.settings.estimate import PCA, Exact, Randomized, Reduction, is_pca

# Up to this many features or samples the exact components of 5000 rows cost .14 s (docs/decisions/0011-reduction.md).
SMALL = 512
# Part of the variance of the standardized columns of a variable, below which a direction repeats others: what rounding
# to single precision leaves of a sum of columns (3e-16), and eigenvalues in double precision (1e-15), are smaller.
REPEATED = 1e-14
# Columns with so many times the median standard deviation, which together have most of the variance, are outliers.
OUTLYING, MOST = 10.0, 0.5
# Rows that standard deviations are compared on: enough for factors of 10, at a small part of the cost of components.
ROWS = 512


def fit_reduction(samples: Float[Array, "n p"], dim: int, spec: PCA, key: jax.Array) -> Basis:
    """Fit the basis that `spec` asks for.

    Args:
        samples: One row a sample.
        dim: Components wanted, at most min(n, p).
        spec: The settings; its `dim` is not used.
        key: Drawn from by `Randomized` only.

    Returns:
        The basis, in the units of the samples.
    """
    solver = spec.solver
    if is_exact(samples.shape, dim, spec):
        cut = cut_of(spec, dim, samples.shape[1])
        return fit_basis(samples, dim, cut, spec.standardize, spec.variance)
    assert isinstance(solver, Randomized)
    return fit_basis_randomized(
        samples,
        dim,
        spec.rank_cut,
        key,
        standardize=spec.standardize,
        variance=spec.variance,
        oversample=solver.oversample,
        power_iterations=solver.power_iterations,
        tolerance=solver.tolerance,
        restarts=solver.restarts,
    )


def cut_of(spec: PCA, dim: int, columns: int) -> float:
    """Choose the fraction of the leading variance up to which a direction is rounding noise.

    Where columns are kept, only what repeats others is noise: all that their own digits resolve is a direction.
    """
    return min(spec.rank_cut, REPEATED) if keeps_columns(spec, dim, columns) else spec.rank_cut


def keeps_columns(reduction: Reduction, dim: int, columns: int) -> bool:
    """Whether columns are kept as they are, unless some repeat others, since none has to be left out."""
    return not is_pca(reduction) or (dim == columns and reduction.variance is None)


def is_exact(shape: tuple[int, ...], dim: int, spec: PCA) -> bool:
    """Whether the components of samples of shape (..., n, p) are computed exactly.

    They are if they are asked for, and wherever a Krylov space would save little: where it would fill half of the
    whole, or the whole is small.
    """
    solver, smaller = spec.solver, min(shape[-2:])
    if by_type("PCA(solver=...)", solver, {Exact: True, Randomized: False}):
        return True
    assert isinstance(solver, Randomized)
    return smaller <= max(SMALL, 2 * (dim + solver.oversample) * (solver.power_iterations + 1))


def describe_reduction(
    name: str, columns: int, rank: ArrayLike, explained_variance: ArrayLike, dim: int, fraction: float | None = None
) -> tuple[str, ...]:
    """Note what was left out of a variable: columns, components, rank. Problems in which it is constant do not count.

    Args:
        name: What the variable is called.
        columns: How many it has.
        rank: Coordinates that carry variance, of each problem.
        explained_variance: Fraction of the variance that they keep, of each problem.
        dim: Coordinates that were asked for.
        fraction: Fraction of the variance that was asked for; None if it was none.
    """
    notes, rank, variance = [], np.asarray(rank), np.asarray(explained_variance)
    varies = rank > 0
    if not varies.any():
        return ()
    rank, variance = rank[varies], variance[varies]
    if fraction is not None:
        return (_describe_fraction(name, columns, rank, variance, dim, fraction),)
    if dim < columns:
        kept = _between(_percent(x) for x in (variance.min(), variance.max()))
        notes.append(f"{name}: {dim} components of {columns} columns keep {kept} % of the variance")
    if rank.min() < dim:
        found = _between(str(x) for x in (rank.min(), rank.max()))
        what = "components" if dim < columns else "columns"
        notes.append(f"{name} has rank {found}: the rest of its {dim} {what} repeat others or are constant")
    return tuple(notes)


def _describe_fraction(
    name: str, columns: int, rank: np.ndarray, variance: np.ndarray, dim: int, fraction: float
) -> str:
    found, kept = (
        _between(map(str, (rank.min(), rank.max()))),
        _between(_percent(x) for x in (variance.min(), variance.max())),
    )
    note = f"{name}: {found} components of {columns} columns keep {kept} % of the variance"
    if variance.min() >= fraction or dim == columns:
        return note
    return f"{note}, where {_percent(fraction)} % were asked for: PCA(dim=...) allows {dim} at most"


def describe_outliers(name: str, array: np.ndarray, dim: int, spec: Reduction) -> tuple[str, ...]:
    """Note that a few columns have most of the variance, and so take components of their own.

    Args:
        name: What the variable is called.
        array: Samples (problems, n, p).
        dim: Coordinates that were asked for.
        spec: The reduction.
    """
    if not is_pca(spec) or spec.standardize or dim >= array.shape[-1]:
        return ()
    step, tiny = -(-array.shape[1] // ROWS), np.finfo(float).tiny
    deviation = np.stack([one[::step].std(axis=0, dtype=np.float64) for one in array])
    median = np.median(deviation, axis=-1, keepdims=True)
    ratio = deviation / np.maximum(median, tiny)
    power = np.square(deviation / np.maximum(deviation.max(axis=-1, keepdims=True), tiny))
    is_large = (ratio > OUTLYING) & (median > 0)
    is_meant = (power * is_large).sum(axis=-1) > MOST * power.sum(axis=-1)
    if not is_meant.any():
        return ()
    counts = is_large.sum(axis=-1)[is_meant]
    columns = _between(str(x) for x in (counts.min(), counts.max()))
    return (
        f"{name}: {columns} of {array.shape[-1]} columns have up to {ratio[is_meant].max():.0f} times the median "
        "standard deviation and most of the variance: they take components, and what these displace is missing from "
        "the atoms and not in their intervals; PCA(standardize=True) counts all columns alike",
    )


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g}"


def describe_scale(name: str, exponents: np.ndarray | None) -> tuple[str, ...]:
    """Note that values were divided by powers of two, which changes the units of the covariance and nothing else."""
    if exponents is None:
        return ()
    used = exponents[exponents != 0]
    powers = _between(f"2^{x}" for x in (used.min(), used.max()))
    return (f"{name}: values whose squares are out of range were divided by {powers}, as is the covariance",)


def _between(ends: Iterable[str]) -> str:
    return " to ".join(dict.fromkeys(ends))
