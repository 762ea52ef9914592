"""Randomized principal components of many features: a block Krylov space, restarted until a bound is met."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pid_jax.reduce.pca import Basis, column_means, column_scales, count_kept, make_basis, total_variance, widest

# A row that keeps less than this many rounding errors of its block's size after the projection holds nothing new.
_EXHAUSTED = 1e4
# A restart that does not bring the bound below this fraction of the last one meets rounding noise, and is the last.
_PROGRESS = 0.5


class _Ritz(NamedTuple):
    scores: Float[Array, "n b"]
    axes: Float[Array, "b p"]
    variances: Float[Array, "b"]
    sine: Float[Array, ""]
    last_sine: Float[Array, ""]
    cycles: Int[Array, ""]


def fit_basis_randomized(
    samples: Float[Array, "n p"],
    dim: int,
    rank_cut: float,
    key: jax.Array,
    *,
    oversample: int,
    power_iterations: int,
    tolerance: float,
    restarts: int,
    standardize: bool = False,
    variance: float | None = None,
) -> Basis:
    """Compute the leading principal components from a few products with the samples.

    With the covariance C and a random block V_0 = Xᵀ G of dim + oversample columns, the space of all blocks V_0, C V_0,
    ..., C^q V_0 is kept, orthonormal, and the best components within it are taken (Rayleigh-Ritz). Keeping all
    blocks costs no further product with X and replaces the power (λ_{b+1} / λ_d)^q of a plain power iteration by a
    Chebyshev polynomial. The residual R = C U − U Θ outside the subspace bounds the angle to the exact one:
    sin ≤ ‖R‖ / (λ_d − λ_{d+1}). Where this exceeds the tolerance, the space is built again from the components found.

    The products with the samples are computed in their precision, all that is small in the widest that is enabled.

    Args:
        samples: One row a sample, more features and samples than (dim + oversample) (power_iterations + 1).
        dim: Components wanted.
        rank_cut: See `fit_basis`.
        key: Draws the block G, and directions to go on with where the rank is exhausted.
        oversample: Columns of a block beyond `dim`, at least 1.
        power_iterations: Products with the covariance within one Krylov space, q.
        tolerance: Largest bound on the angle, in radians, with which no restart is made.
        restarts: Most restarts.
        standardize: Whether columns count in units of their standard deviations.
        variance: See `fit_basis`.

    Returns:
        The basis with its bound.

    Not guaranteed: the bound takes λ_{d+1} from the Krylov space. In float32 it does not fall below the rounding noise
    of the residual, which grows with the ratio of the first to the last standard deviation, although the angle itself
    may be far smaller. A gap of zero leaves the last component undefined, and the bound says so (π/2).

    Source: Musco & Musco (2015), NeurIPS 28 (block Krylov iteration); Halko, Martinsson & Tropp (2011), SIAM Rev. 53,
    217; Davis & Kahan (1970), SIAM J. Numer. Anal. 7, 1 (the bound).
    """
    mean = column_means(samples)
    centered = samples - mean
    scale = column_scales(centered, standardize)
    centered = centered / scale
    width = dim + oversample
    wide, total = widest(samples.dtype), total_variance(centered)
    start_key, space_key = jax.random.split(key)

    def cycle(found: _Ritz) -> _Ritz:
        cycle_key = jax.random.fold_in(space_key, found.cycles)
        axes, values = _krylov_space(centered, found.scores, power_iterations + 1, cycle_key)
        axes, scores, variances = _ritz(axes, values, width)
        rank = count_kept(variances[:dim], rank_cut, variance, total)
        sine = _sine_bound(centered, scores, axes, variances, dim, rank)
        return _Ritz(scores, axes, variances, sine, found.sine, found.cycles + 1)

    def is_unfinished(found: _Ritz) -> Array:
        improves = found.sine <= _PROGRESS * found.last_sine  # two infinities at the start
        return (found.sine > jnp.sin(tolerance)) & (found.cycles <= restarts) & improves

    start = _Ritz(
        scores=_centered(jax.random.normal(start_key, (samples.shape[0], width), samples.dtype)),
        axes=jnp.zeros((width, samples.shape[1]), wide),
        variances=jnp.zeros(width, wide),
        sine=jnp.full((), jnp.inf, wide),
        last_sine=jnp.full((), jnp.inf, wide),
        cycles=jnp.zeros((), int),
    )
    found = jax.lax.while_loop(is_unfinished, cycle, start)
    variances = found.variances[:dim]
    rank, angle = count_kept(variances, rank_cut, variance, total), jnp.arcsin(jnp.minimum(found.sine, 1))
    return make_basis(mean, scale, found.axes[:dim].T, variances, rank_cut, rank, angle)


def _krylov_space(
    centered: Float[Array, "n p"], start: Float[Array, "n b"], blocks: int, key: jax.Array
) -> tuple[Float[Array, "m p"], Float[Array, "n m"]]:
    """Build orthonormal rows that span the Krylov space, and their products with the samples.

    Rows on the side of the features, columns on that of the samples: in these layouts XLA multiplies without a copy of
    the samples.
    """
    (n, p), width = centered.shape, start.shape[1]
    wide = widest(centered.dtype)

    def grow(i: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        axes, values, last = state
        block = _orthonormal((last.T @ centered).astype(wide), axes, jax.random.fold_in(key, i))
        last = _centered(centered @ block.T.astype(centered.dtype))
        axes = jax.lax.dynamic_update_slice(axes, block, (i * width, 0))
        return axes, jax.lax.dynamic_update_slice(values, last, (0, i * width)), last

    empty = jnp.zeros((blocks * width, p), wide), jnp.zeros((n, blocks * width), centered.dtype)
    axes, values, _ = jax.lax.fori_loop(0, blocks, grow, (*empty, start))
    return axes, values


def _orthonormal(block: Float[Array, "b p"], axes: Float[Array, "m p"], key: jax.Array) -> Float[Array, "b p"]:
    """Make rows orthonormal and orthogonal to `axes`, in two passes; rows that hold nothing new are drawn anew."""
    rows, sizes = jax.lax.linalg.qr((block - (block @ axes.T) @ axes).T, full_matrices=False)
    noise = _EXHAUSTED * jnp.finfo(block.dtype).eps * jnp.linalg.norm(block)
    is_exhausted: Array = jnp.abs(jnp.diagonal(sizes)) <= noise
    drawn: Array = jax.lax.cond(
        is_exhausted.any(),
        lambda: jax.random.normal(key, block.shape, block.dtype) / block.shape[1] ** 0.5,
        lambda: jnp.zeros_like(block),
    )
    rows = jnp.where(is_exhausted[:, None], drawn, rows.T)
    return jax.lax.linalg.qr((rows - (rows @ axes.T) @ axes).T, full_matrices=False)[0].T


def _ritz(
    axes: Float[Array, "m p"], values: Float[Array, "n m"], width: int
) -> tuple[Float[Array, "b p"], Float[Array, "n b"], Float[Array, "b"]]:
    """Find the best components within the space of some orthonormal rows."""
    wide = values.astype(axes.dtype)
    variances, vectors = jnp.linalg.eigh(wide.T @ wide / max(values.shape[0] - 1, 1))
    vectors = vectors[:, ::-1][:, :width]
    return vectors.T @ axes, (wide @ vectors).astype(values.dtype), variances[::-1][:width]


def _sine_bound(
    centered: Float[Array, "n p"],
    scores: Float[Array, "n b"],
    axes: Float[Array, "b p"],
    variances: Float[Array, "b"],
    dim: int,
    rank: Int[Array, ""],
) -> Float[Array, ""]:
    kept = (jnp.arange(dim) < rank)[:, None]
    inside = axes[:dim] * kept
    residual = (scores[:, :dim].T @ centered).astype(axes.dtype) / max(centered.shape[0] - 1, 1) * kept
    residual = residual - (residual @ inside.T) @ inside
    size: Array = jnp.linalg.norm(residual, ord=2)
    gap = jnp.maximum(variances[jnp.maximum(rank, 1) - 1] - variances[rank], 0)
    return jnp.where(rank > 0, jnp.where(gap > 0, size / jnp.where(gap > 0, gap, 1), jnp.inf), 0)


def _centered(columns: Float[Array, "n b"]) -> Float[Array, "n b"]:
    """Subtract the mean of every column, taken in the widest precision: in float32 rounding of the mean would stay."""
    wide = columns.astype(widest(columns.dtype))
    return (wide - wide.mean(axis=0)).astype(columns.dtype)
