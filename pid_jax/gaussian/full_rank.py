"""Whitening by Cholesky factors, for covariances that are positive definite with a margin."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from pid_jax.gaussian.joint import block_slices, unit_scale
from pid_jax.gaussian.linalg import cholesky, invert_lower, solve_lower
from pid_jax.gaussian.status import Status
from pid_jax.gaussian.whitened import WhitenedGaussian, masked

# How far above the rank cut and above rounding the smallest eigenvalue has to be.
CLEARANCE = 100.0
# Probes of the smallest eigenvalue, see `_factor_if_definite`. The estimate of it is too high by at most one over a
# chi-squared number with as many degrees of freedom: for four by a factor of 100 with probability 1e-5, and by the 1e6
# that it takes to miss a zero which rounding made 1e-16 with probability 1e-13. For one probe that would be 1e-3.
PROBES = 4


def whiten_full_rank(
    cov: Float[Array, "D D"], dims: tuple[int, ...], rank_cut: float
) -> tuple[WhitenedGaussian, Bool[Array, ""]]:
    """Whiten with one Cholesky factorization of the joint correlation matrix and one for each further source.

    In the order sources, target, the factor's last rows are the covariance of target and whitened sources, and its
    leading rows whiten source_1 alone, so that nothing has to be solved for them.

    Args:
        cov: A symmetric matrix; whether it is a covariance is found out. Only the lower triangle is read.
        dims: (d1, ..., dt).
        rank_cut: Directions with less than this fraction of a variable's largest variance do not count.

    Returns:
        The whitened variables, and whether the covariance is clearly positive definite. If it is not, they are of no
        use: `whiten_any_rank` decides then what is singular.
    """
    # No pass over all entries to look for trouble: NaN, infinity and missing variances make the factorization fail.
    scale = unit_scale(cov)
    corr = cov * scale[:, None] * scale[None, :]
    *sources, target = block_slices(dims)
    joint, is_clear = _factor_if_definite(corr, rank_cut)
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
        cov=cov,
        status=jnp.where(is_clear, Status.OK, Status.NOT_PSD),
        determines=jnp.zeros(len(dims), bool),
    )
    return masked(whitened), is_clear


def _factor_if_definite(corr: Float[Array, "D D"], rank_cut: float) -> tuple[Float[Array, "D D"], Bool[Array, ""]]:
    """Factor a correlation matrix, and say whether its smallest eigenvalue is far from zero.

    bᵀ Σ⁻¹ b is at least (b·v)² / λ for every eigenvector v. With a few columns b drawn from a standard normal (once and
    for all) one of them is large if any λ is small. The matrix bordered by the columns B, with c I in the corner, is
    positive definite if and only if Σ is and Bᵀ Σ⁻¹ B ≺ c I, so one Cholesky factorization answers both questions.
    Pivots would not: they can all be large in a matrix that is almost singular (Kahan 1966). No eigenvalue of a block
    is below the smallest of the whole, so that the blocks are clear as well.
    """
    size = corr.shape[0]
    probes = np.random.default_rng(0).standard_normal((PROBES, size))
    floor = CLEARANCE * size * max(rank_cut, float(jnp.finfo(corr.dtype).eps))
    border = np.concatenate([probes, np.eye(PROBES) / floor], axis=1)
    bordered = jnp.pad(corr, (0, PROBES)).at[size:].set(jnp.asarray(border, corr.dtype))
    factor = cholesky(bordered)  # reads the lower triangle alone
    return factor[:size, :size], jnp.isfinite(factor[-1, -1])
