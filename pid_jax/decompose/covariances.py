"""Covariances that callers hand in: checked, and solved over all leading axes by compiled programs."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float
from numpy.typing import ArrayLike

from pid_jax.gaussian.whiten import whiten_any_rank, whiten_full_rank
from pid_jax.gaussian.whitened import WhitenedGaussian
from pid_jax.runtime.arrays import to_numpy
from pid_jax.runtime.checks import check_float_array, check_fraction
from pid_jax.runtime.devices import map_problems, over_devices
from pid_jax.runtime.precision import double_precision
from pid_jax.runtime.threads import one_blas_thread

SYMMETRY_TOLERANCE = 1e-10
# Covariances of coordinates with smaller variances are close to where floating-point numbers end, and are lost.
SMALLEST_VARIANCE = 1e-290
# Rows and columns that are compared at a time, or as many entries of small matrices: tiles of 0.5 MB fit into a cache.
TILE = 256
# Batches smaller than this are filled up: solving a few problems twice costs less than compiling for another size.
FEWEST = 16
# Arrays as large as all covariances that are solved together that exist at a time.
COPIES = 10

Solve = Callable[[WhitenedGaussian], Any]


def check_covariances(
    cov: ArrayLike, dims: object, core: str, sources: int | None = 2
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return covariances in float64, and dims as a tuple.

    Args:
        cov: Joint covariances (..., D, D).
        dims: One number a variable, the target last.
        core: The function to use under jit, vmap or grad.
        sources: How many sources there have to be; None for two or more.

    Raises:
        TypeError: For tracers, integers, and anything else that is no array of floating-point numbers.
        ValueError: For dims that do not fit, asymmetry, negative variances, or no finite covariance at all.
    """
    given = to_numpy("cov", cov, core)
    if given.dtype.kind in "iub":
        raise TypeError(
            f"cov has dtype {given.dtype}; a covariance holds floating-point numbers: pass cov.astype(float) "
            "if these really are covariances, and not samples or counts."
        )
    array = check_float_array("cov", given, "(..., D, D)", core).astype(np.float64, copy=False)
    checked = _check_dims(dims, array.shape, sources)
    _check_entries(array)
    return array, checked


def solve_covariances(cov: np.ndarray, dims: tuple[int, ...], solve: Solve, rank_cut: float) -> Any:
    """Whiten every covariance and compute something from it.

    One compiled program solves all problems by Cholesky factors. Those that are not clearly positive definite are
    solved again by eigenvectors, in a second program for them alone.

    Args:
        cov: Checked covariances (..., D, D).
        dims: (d1, ..., dt).
        solve: A function of one whitened problem; it is compiled once for each combination of shapes.
        rank_cut: Directions with less than this fraction of a variable's largest variance are dropped.

    Returns:
        What `solve` returns, as NumPy arrays with the leading axes of `cov`.
    """
    check_fraction("rank_cut", rank_cut)
    leading, size = cov.shape[:-2], cov.shape[-1]
    flat = cov.reshape(-1, size, size)
    options: dict[str, Any] = {"dims": dims, "solve": solve, "rank_cut": rank_cut}
    run = partial(map_problems, bytes_each=8 * COPIES * size**2)
    with double_precision(), one_blas_thread(size):
        solved, is_clear = run(partial(_solve_full_rank, **options), flat)
        rows = np.flatnonzero(~is_clear)
        if rows.size:  # all problems or a power of two, and so compiled for few sizes
            padded = np.resize(rows, min(len(flat), max(FEWEST, 1 << (len(rows) - 1).bit_length())))
            again = run(partial(_solve_any_rank, **options), flat[padded])
            solved = jax.tree.map(lambda all_, some: put_rows(rows, all_, some[: len(rows)]), solved, again)
    return jax.tree.map(lambda x: x.reshape((*leading, *x.shape[1:])), solved)


@partial(jax.jit, static_argnames=("dims", "solve", "rank_cut", "mesh"))
def _solve_full_rank(
    cov: Float[Array, "B D D"], *, dims: tuple[int, ...], solve: Solve, rank_cut: float, mesh: Mesh | None
) -> tuple[Any, Bool[Array, "B"]]:
    def one(cov: Array) -> tuple[Any, Array]:
        whitened, is_clear = whiten_full_rank(cov, dims, rank_cut)
        return solve(whitened), is_clear

    return over_devices(jax.vmap(one), mesh)(cov)


@partial(jax.jit, static_argnames=("dims", "solve", "rank_cut", "mesh"))
def _solve_any_rank(
    cov: Float[Array, "B D D"], *, dims: tuple[int, ...], solve: Solve, rank_cut: float, mesh: Mesh | None
) -> Any:
    return over_devices(jax.vmap(lambda one: solve(whiten_any_rank(one, dims, rank_cut)[0])), mesh)(cov)


def put_rows(rows: np.ndarray, all_: np.ndarray, some: np.ndarray) -> np.ndarray:
    """Return an array with some of its rows replaced."""
    changed = all_.copy()
    changed[rows] = some
    return changed


def _check_dims(dims: object, shape: tuple[int, ...], sources: int | None) -> tuple[int, ...]:
    values = tuple(dims) if isinstance(dims, (tuple, list, np.ndarray)) else ()
    is_long_enough = len(values) >= 3 if sources is None else len(values) == sources + 1
    are_numbers = all(isinstance(d, (int, np.integer)) and not isinstance(d, bool) and d >= 1 for d in values)
    if not is_long_enough or not are_numbers:
        wanted = "at least three whole numbers" if sources is None else "three whole numbers"
        names = "(d1, d2, ..., dt)" if sources is None else "(d1, d2, dt)"
        raise ValueError(f"dims needs a tuple of {wanted} of at least 1, {names}, got {dims!r}.")
    if shape[-1] != shape[-2] or sum(values) != shape[-1]:
        raise ValueError(
            f"cov has shape {shape}, dims {values} sum to {sum(values)}; the last two axes of cov must both be that "
            "long, in the order source_1, source_2, target."
        )
    return tuple(int(d) for d in values)


def _check_entries(cov: np.ndarray) -> None:
    variance = np.diagonal(cov, axis1=-2, axis2=-1)
    is_negative = (variance < 0) & (variance > -np.inf)
    if is_negative.any():
        raise ValueError(
            f"cov has a negative variance at diagonal index {_first(is_negative)}: a covariance has none; check its "
            "order."
        )
    is_tiny = (variance > 0) & (variance < SMALLEST_VARIANCE)
    if is_tiny.any():
        first = _first(is_tiny)
        raise ValueError(
            f"cov has a variance of {variance[first]:.1e} at diagonal index {first}, wanted 0 or at least "
            f"{SMALLEST_VARIANCE:.0e}, since smaller numbers lose digits: use other units."
        )
    is_finite = _are_finite(cov)
    if not is_finite.any():
        first = _first(~np.isfinite(cov))
        raise ValueError(
            f"cov holds NaN or infinity, the first at index {first}, and no covariance without: remove the samples or "
            "columns that do."
        )
    first_asymmetric = _find_asymmetry(cov)
    if first_asymmetric is not None:
        raise ValueError(
            f"cov is not symmetric, first at index {first_asymmetric}: pass (cov + cov.T) / 2 if rounding did this."
        )


def _are_finite(cov: np.ndarray) -> Bool[np.ndarray, "..."]:
    with np.errstate(over="ignore", invalid="ignore"):
        seen = np.isfinite(cov.sum(axis=(-2, -1)))  # two times faster than to ask for each entry
    return np.asarray(seen if seen.all() else np.isfinite(cov).all(axis=(-2, -1)))


def _find_asymmetry(cov: np.ndarray) -> tuple[int, ...] | None:
    """Find an entry that differs from its mirror image, in units of standard deviations.

    NaN and infinity differ from whatever is not the same. Large matrices are compared tile by tile, small ones some at
    a time, so that both images are read as they lie in memory, and what is computed stays in a cache.
    """
    size = cov.shape[-1]
    flat = cov.reshape(-1, size, size)
    some, starts = max(1, TILE**2 // size**2), range(0, size, TILE)
    for k, i, j in ((k, i, j) for k in range(0, len(flat), some) for i in starts for j in starts if j <= i):
        where = _find_asymmetry_in_tile(flat[k : k + some], i, j)
        if where is not None:
            problem, row, column = where
            leading = np.unravel_index(problem + k, cov.shape[:-2])
            return (*map(int, leading), *sorted((row, column)))
    return None


def _find_asymmetry_in_tile(cov: np.ndarray, first_row: int, first_column: int) -> tuple[int, ...] | None:
    rows, columns = (slice(first, first + TILE) for first in (first_row, first_column))
    deviation = np.sqrt(np.abs(np.diagonal(cov, axis1=-2, axis2=-1)))
    with np.errstate(invalid="ignore", over="ignore"):
        one, mirrored = cov[..., rows, columns], np.swapaxes(cov[..., columns, rows], -1, -2)
        difference = one - mirrored
        np.abs(difference, out=difference)
        is_same = difference <= SYMMETRY_TOLERANCE * deviation[..., rows, None] * deviation[..., None, columns]
    if is_same.all():
        return None
    is_same |= (one == mirrored) | (np.isnan(one) & np.isnan(mirrored))
    if is_same.all():
        return None
    problem, row, column = _first(~is_same)
    return problem, row + first_row, column + first_column


def _first(is_bad: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(is_bad)[0])
