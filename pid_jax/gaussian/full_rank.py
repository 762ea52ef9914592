"""Whitening by Cholesky factors, for covariances that are positive definite with a margin."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from pid_jax.gaussian.joint import Correlation, block_slices
from pid_jax.gaussian.linalg import cholesky, invert_lower, solve_lower
from pid_jax.gaussian.whitened import WhitenedGaussian, with_status
from pid_jax.status import Status

# How far above the rank cut and above rounding the smallest eigenvalue has to be. The estimate of it below is too high
# by at most one over the square of a standard normal number: by a factor of 100 with probability .08.
CLEARANCE = 100.0


def whiten_full_rank(
    correlation: Correlation, dims: tuple[int, ...], rank_cut: float
) -> tuple[WhitenedGaussian, Bool[Array, ""]]:
    """Whiten with one Cholesky factorization of the joint correlation matrix and one for each further source.

    In the order sources, target, the factor's last rows are the covariance of target and whitened sources, and its
    leading rows whiten source_1 alone, so that nothing has to be solved for them.

    Args:
        correlation: The correlation matrix.
        dims: (d1, ..., dt).
        rank_cut: Directions with less than this fraction of a variable's largest variance do not count.

    Returns:
        The whitened variables, and whether the covariance is clearly positive definite. If it is not, they are of no
        use: `whiten_any_rank` decides then what is singular.
    """
    corr, scale = correlation.matrix, correlation.scale
    *sources, target = block_slices(dims)
    joint, is_clear = _factor_if_definite(corr, rank_cut)
    is_clear &= correlation.status == Status.OK
    factors, rows = [joint[sources[0], sources[0]]], [joint[target, : target.start]]
    for at, d in zip(sources[1:], dims[1:], strict=False):
        pair = jnp.zeros((d + dims[-1],) * 2, corr.dtype).at[:d, :d].set(corr[at, at])
        pair = cholesky(pair.at[d:, :d].set(corr[target, at]).at[d:, d:].set(corr[target, target]))
        factors.append(pair[:d, :d])
        rows.append(pair[d:, :d])
    target_factor = cholesky(corr[target, target])
    crosses = solve_lower(target_factor, jnp.concatenate(rows, axis=1))
    cross_all, *others = jnp.split(crosses, np.cumsum([row.shape[1] for row in rows])[:-1], axis=1)
    whitened = WhitenedGaussian(
        cross=(cross_all[:, sources[0]], *others),
        cross_all=cross_all,
        target_map=invert_lower(target_factor) * scale[target],
        source_maps=tuple(invert_lower(f) * scale[at] for f, at in zip(factors, sources, strict=True)),
        cov=correlation.cov,
        status=correlation.status,
    )
    return with_status(whitened, jnp.where(is_clear, correlation.status, Status.NOT_PSD)), is_clear


def _factor_if_definite(corr: Float[Array, "D D"], rank_cut: float) -> tuple[Float[Array, "D D"], Bool[Array, ""]]:
    """Factor a correlation matrix, and say whether its smallest eigenvalue is far from zero.

    bᵀ Σ⁻¹ b is at least (b·v)² / λ for every eigenvector v. With b drawn from a standard normal (once and for all) it
    is large if any λ is small. The matrix bordered by b, with c in the corner, is positive definite if and only if Σ
    is and bᵀ Σ⁻¹ b < c, so one Cholesky factorization answers both questions. Pivots would not: they can all be large
    in a matrix that is almost singular (Kahan 1966).
    """
    size = corr.shape[0]
    border = jnp.asarray(np.random.default_rng(0).standard_normal(size), corr.dtype)
    floor = CLEARANCE * size * jnp.maximum(rank_cut, jnp.finfo(corr.dtype).eps)
    bordered = jnp.pad(corr, (0, 1)).at[-1, :-1].set(border).at[-1, -1].set(1 / floor)
    factor = cholesky(bordered)  # reads the lower triangle alone
    return factor[:-1, :-1], jnp.isfinite(factor[-1, -1])
