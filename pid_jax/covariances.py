"""Covariances that callers hand in: checked, and solved over all leading axes by compiled programs."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from numpy.typing import ArrayLike

from pid_jax.checks import check_float_array, check_fraction
from pid_jax.gaussian.any_rank import whiten_any_rank
from pid_jax.gaussian.full_rank import whiten_full_rank
from pid_jax.gaussian.joint import standardize
from pid_jax.gaussian.whitened import WhitenedGaussian
from pid_jax.precision import double_precision
from pid_jax.threads import one_blas_thread

SYMMETRY_TOLERANCE = 1e-10
# Batches smaller than this are filled up: solving a few problems twice costs less than compiling for another size.
FEWEST = 16

Measure = Callable[[WhitenedGaussian], Any]


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
    array = check_float_array("cov", cov, 2, core)
    if np.asarray(cov).dtype.kind in "iub":
        raise TypeError(
            f"cov has dtype {np.asarray(cov).dtype}; a covariance holds floating-point numbers: pass cov.astype(float) "
            "if these really are covariances, and not samples or counts."
        )
    array = array.astype(np.float64, copy=False)
    checked = _check_dims(dims, array.shape, sources)
    _check_entries(array)
    return array, checked


def solve_covariances(cov: np.ndarray, dims: tuple[int, ...], measure: Measure, rank_cut: float) -> Any:
    """Whiten every covariance and compute a measure from it.

    One compiled program solves all problems by Cholesky factors. Those that are not clearly positive definite are
    solved again by eigenvectors, in a second program for them alone; its batches are all problems or powers of two, so
    that it is compiled for few sizes.

    Args:
        cov: Checked covariances (..., D, D).
        dims: (d1, ..., dt).
        measure: A function of one whitened problem; it is compiled once for each combination of shapes.
        rank_cut: Directions with less than this fraction of a variable's largest variance are dropped.

    Returns:
        What `measure` returns, as NumPy arrays with the leading axes of `cov`.
    """
    check_fraction("rank_cut", rank_cut)
    leading, size = cov.shape[:-2], cov.shape[-1]
    flat = cov.reshape(-1, size, size)
    options: dict[str, Any] = {"dims": dims, "measure": measure, "rank_cut": rank_cut}
    with double_precision(), one_blas_thread(size):
        solved, is_clear = jax.tree.map(np.asarray, _solve_full_rank(flat, **options))
        unclear = np.flatnonzero(~is_clear)
        if unclear.size:
            padded = np.resize(unclear, min(len(flat), max(FEWEST, 1 << (len(unclear) - 1).bit_length())))
            careful = jax.tree.map(np.asarray, _solve_any_rank(flat[padded], **options))
            solved = jax.tree.map(lambda all_, some: _replace(all_, unclear, some), solved, careful)
    return jax.tree.map(lambda x: x.reshape((*leading, *x.shape[1:])), solved)


@partial(jax.jit, static_argnames=("dims", "measure", "rank_cut"))
def _solve_full_rank(
    cov: Float[Array, "B D D"], *, dims: tuple[int, ...], measure: Measure, rank_cut: float
) -> tuple[Any, Bool[Array, "B"]]:
    def one(cov: Array) -> tuple[Any, Array]:
        whitened, is_clear = whiten_full_rank(standardize(cov), dims, rank_cut)
        return measure(whitened), is_clear

    return jax.vmap(one)(cov)


@partial(jax.jit, static_argnames=("dims", "measure", "rank_cut"))
def _solve_any_rank(cov: Float[Array, "B D D"], *, dims: tuple[int, ...], measure: Measure, rank_cut: float) -> Any:
    return jax.vmap(lambda one: measure(whiten_any_rank(standardize(one), dims, rank_cut)[0]))(cov)


def _replace(all_: np.ndarray, rows: np.ndarray, some: np.ndarray) -> np.ndarray:
    replaced = all_.copy()
    replaced[rows] = some[: len(rows)]
    return replaced


def _check_dims(dims: object, shape: tuple[int, ...], sources: int | None) -> tuple[int, ...]:
    values = tuple(dims) if isinstance(dims, (tuple, list)) else ()
    is_long_enough = len(values) >= 3 if sources is None else len(values) == sources + 1
    are_numbers = all(isinstance(d, (int, np.integer)) and not isinstance(d, bool) and d >= 1 for d in values)
    if not is_long_enough or not are_numbers:
        wanted = "at least three whole numbers" if sources is None else "three whole numbers"
        names = "(d1, d2, ..., dt)" if sources is None else "(d1, d2, dt)"
        raise ValueError(f"dims needs {wanted} of at least 1, {names}, got {dims!r}.")
    if shape[-1] != shape[-2] or sum(values) != shape[-1]:
        raise ValueError(
            f"cov has shape {shape}, dims {values} sum to {sum(values)}; the last two axes of cov must both be that "
            "long, in the order source_1, source_2, target."
        )
    return tuple(int(d) for d in values)


def _check_entries(cov: np.ndarray) -> None:
    with double_precision():
        seen = _inspect(cov.reshape(-1, *cov.shape[-2:]))
        has_negative, is_asymmetric, is_finite = (np.asarray(flags).reshape(cov.shape[:-2]) for flags in seen)
    if has_negative.any():
        first = _first(has_negative, lambda one: np.diag(one) < 0, cov)
        raise ValueError(
            f"cov has a negative variance at diagonal index {first}: a covariance has none; check its order."
        )
    if not is_finite.any():
        first = _first(~is_finite, lambda one: ~np.isfinite(one), cov)
        raise ValueError(
            f"cov holds NaN or infinity, the first at index {first}, and no covariance without: remove the samples or "
            "columns that do."
        )
    if is_asymmetric.any():
        first = _first(is_asymmetric, _asymmetry, cov)
        raise ValueError(f"cov is not symmetric, first at index {first}: pass (cov + cov.T) / 2 if rounding did this.")


@jax.jit
@jax.vmap
def _inspect(cov: Float[Array, "D D"]) -> tuple[Bool[Array, ""], Bool[Array, ""], Bool[Array, ""]]:
    return (jnp.diag(cov) < 0).any(), _asymmetry(cov).any(), jnp.isfinite(cov).all()


def _asymmetry(cov: Any) -> Any:
    """Which entries differ from their mirror image, in units of standard deviations; NaN counts as neither."""
    deviation = abs(cov.diagonal()) ** 0.5
    return abs(cov - cov.T) > SYMMETRY_TOLERANCE * deviation[:, None] * deviation


def _first(is_bad: np.ndarray, where: Callable[[np.ndarray], np.ndarray], cov: np.ndarray) -> tuple[int, ...]:
    """Index of the first bad entry of the first bad problem."""
    problem = tuple(int(i) for i in np.argwhere(is_bad)[0])
    with np.errstate(invalid="ignore"):
        return (*problem, *(int(i) for i in np.argwhere(where(cov[problem]))[0]))
