"""The reduction that a spec asks for, and sentences on what it left out."""

from collections.abc import Iterable

import jax
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from pid_jax.reduce.krylov import fit_basis_randomized
from pid_jax.reduce.pca import Basis, fit_basis
from pid_jax.runtime.by_type import by_type
from pid_jax.settings.estimate import PCA, Exact, Randomized

# Up to this many features or samples the exact components of 5000 rows cost .14 s (docs/decisions/0011-reduction.md).
SMALL = 512
# Part of the variance of the standardized columns of a variable, below which a direction repeats others: what rounding
# to single precision leaves of a sum of columns (3e-16), and eigenvalues in double precision (1e-15), are smaller.
REPEATED = 1e-14


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
        return fit_basis(samples, dim, cut_of(spec, dim, samples.shape[1]), spec.standardize)
    assert isinstance(solver, Randomized)
    return fit_basis_randomized(
        samples,
        dim,
        spec.rank_cut,
        key,
        standardize=spec.standardize,
        oversample=solver.oversample,
        power_iterations=solver.power_iterations,
        tolerance=solver.tolerance,
        restarts=solver.restarts,
    )


def cut_of(spec: PCA, dim: int, columns: int) -> float:
    """Choose the fraction of the leading variance up to which a direction is rounding noise.

    Where columns are kept, only what repeats others is noise: all that their own digits resolve is a direction.
    """
    return min(spec.rank_cut, REPEATED) if dim == columns else spec.rank_cut


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
    name: str, columns: int, rank: ArrayLike, explained_variance: ArrayLike, dim: int
) -> tuple[str, ...]:
    """Note what was left out of a variable: columns, components, rank. Problems in which it is constant do not count.

    Args:
        name: What the variable is called.
        columns: How many it has.
        rank: Coordinates that carry variance, of each problem.
        explained_variance: Fraction of the variance that they keep, of each problem.
        dim: Coordinates that were asked for.
    """
    notes, rank, variance = [], np.asarray(rank), np.asarray(explained_variance)
    varies = rank > 0
    if not varies.any():
        return ()
    rank, variance = rank[varies], variance[varies]
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
