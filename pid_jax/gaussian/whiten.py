"""Whitening under jit, vmap and grad: the right method for the rank, and a derivative that is always finite.

By Cholesky factors for covariances that are positive definite with a margin, by eigenvectors for those of any rank.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import block_diag
from jaxtyping import Array, Bool, Float

from pid_jax.gaussian.joint import Correlation, JointGaussian, block_slices, check_shape, standardize, unit_scale
from pid_jax.gaussian.linalg import cholesky, invert_lower, solve_lower, symmetric_eigen, symmetrize
from pid_jax.gaussian.status import Status
from pid_jax.gaussian.whitened import WhitenedGaussian, masked

# How far above the rank cut and above rounding the smallest eigenvalue has to be.
CLEARANCE = 100.0
# Probes of the smallest eigenvalue, see `_factor_if_definite`. The estimate of it is too high by at most one over a
# chi-squared number with as many degrees of freedom: for four by a factor of 100 with probability 1e-5, and by the 1e6
# that it takes to miss a zero which rounding made 1e-16 with probability 1e-13. For one probe that would be 1e-3.
PROBES = 4
# Negative eigenvalues of the joint correlation matrix down to this pass for rounding of a zero: measured on singular
# matrices assembled in float64, whose smallest eigenvalues stay above -1e-14 up to 384 dimensions ...
PSD_TOLERANCE = 1e-12
# ... and for coordinates that are small beside others of their variable up to this, see `_is_psd`.
LARGEST_PSD_TOLERANCE = 1e-6
# Rounding of a residual variance, in units of eps times the squared sum of its coefficients.
RESIDUAL_ROUNDING = 16.0


def whiten(joint: JointGaussian, rank_cut: float, sources: int | None = 2) -> WhitenedGaussian:
    """Whiten the target, each source, and all sources together.

    By Cholesky factors where the covariance is clearly positive definite, by eigenvectors otherwise. Under vmap both
    are computed for every problem; the host functions compute the second for those problems only that need it.

    Args:
        joint: One joint Gaussian.
        rank_cut: Directions of a variable whose variance is at most this fraction of its largest are dropped, in units
            of the standard deviations of its coordinates.
        sources: How many sources there have to be; None for two or more.

    Returns:
        The whitened variables and the status.

    Raises:
        ValueError: If dims and covariance do not fit.
    """
    check_shape(joint, sources)
    return _whiten(joint.cov, joint.dims, rank_cut)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
@partial(jax.jit, static_argnums=(1, 2))  # outside the caller's jit the choice below would be compiled at every call
def _whiten(cov: Float[Array, "D D"], dims: tuple[int, ...], rank_cut: float) -> WhitenedGaussian:
    whitened, is_clear = whiten_full_rank(cov, dims, rank_cut)
    return jax.lax.cond(is_clear, lambda: whitened, lambda: whiten_any_rank(cov, dims, rank_cut)[0])


@_whiten.defjvp
def _whiten_jvp(
    dims: tuple[int, ...], rank_cut: float, primals: tuple[Array], tangents: tuple[Array]
) -> tuple[WhitenedGaussian, WhitenedGaussian]:
    """Differentiate one smooth choice among all maps that whiten, so that equal eigenvalues do no harm.

    W is whitening for Σ up to a rotation, and nothing that is computed from it depends on the rotation. The choice
    with dW = −½ (W dΣ Wᵀ) W keeps W Σ Wᵀ = I to first order and holds no difference of eigenvalues. Directions that
    were dropped stay dropped.
    """
    whitened, all_map = whiten_any_rank(primals[0], dims, rank_cut)
    change = jnp.where(whitened.is_covariance, symmetrize(tangents[0]), 0)
    *sources, target = block_slices(dims)
    whole = slice(0, target.start)
    target_map = whitened.target_map
    target_change = target_map @ change[target, target] @ target_map.T

    def cross_change(cross: Array, at: slice, source_map: Array) -> Array:
        source_change = source_map @ change[at, at] @ source_map.T
        direct = target_map @ change[target, at] @ source_map.T
        return direct - 0.5 * (target_change @ cross + cross @ source_change)

    each = list(zip(whitened.cross, sources, whitened.source_maps, strict=True))
    moved = WhitenedGaussian(
        cross=tuple(cross_change(*one) for one in each),
        cross_all=cross_change(whitened.cross_all, whole, all_map),
        target_map=-0.5 * target_change @ target_map,
        source_maps=tuple(-0.5 * m @ change[at, at] @ m.T @ m for _, at, m in each),
        cov=change,
        status=np.zeros((), jax.dtypes.float0),  # type: ignore[arg-type]
        determines=np.zeros(len(dims), jax.dtypes.float0),  # type: ignore[arg-type]
    )
    return whitened, moved


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


def whiten_any_rank(
    cov: Float[Array, "D D"], dims: tuple[int, ...], rank_cut: float
) -> tuple[WhitenedGaussian, Float[Array, "d d"]]:
    """Whiten every variable on its range, by the eigenvectors of its covariance.

    Args:
        cov: A symmetric matrix; whether it is a covariance is found out.
        dims: (d1, ..., dt).
        rank_cut: See `whiten_psd`.

    Returns:
        The whitened variables, and the map that whitens all sources together.
    """
    correlation = standardize(cov)
    corr, scale = correlation.matrix, correlation.scale
    *sources, target = block_slices(dims)
    target_map, _ = whiten_psd(corr[target, target], rank_cut)
    maps, keeps = zip(*(whiten_psd(corr[at, at], rank_cut) for at in sources), strict=True)
    cross = tuple(target_map @ corr[target, at] @ source_map.T for at, source_map in zip(sources, maps, strict=True))
    whole = slice(0, target.start)
    each_map, keep = block_diag(*maps), jnp.concatenate(keeps)
    # Each source is white already: written exactly, and only what is between sources is computed.
    between = each_map @ corr[whole, whole] @ each_map.T
    is_between = block_diag(*(jnp.ones((d, d), corr.dtype) for d in dims[:-1])) == 0
    together, _ = whiten_psd(jnp.diag(keep.astype(corr.dtype)) + between * is_between, rank_cut)
    cross_all = jnp.concatenate(cross, axis=1) @ together.T
    all_map = together @ each_map

    status = jnp.where(_is_psd(correlation, dims), correlation.status, Status.NOT_PSD)
    determines = [_is_deterministic(*one) for one in zip(cross, [target_map] * len(maps), maps, strict=True)]
    together_too = jnp.stack([*determines, _is_deterministic(cross_all, target_map, all_map)]).any()
    determines = (status == Status.OK) & jnp.stack([*determines, together_too])
    status = jnp.where(determines[-1], Status.INFINITE_INFORMATION, status)
    whitened = WhitenedGaussian(
        cross=cross,
        cross_all=cross_all,
        target_map=target_map * scale[target],
        source_maps=tuple(source_map * scale[at] for source_map, at in zip(maps, sources, strict=True)),
        cov=cov,
        status=status,
        determines=determines,
    )
    return masked(whitened), all_map * scale[whole]


def whiten_psd(cov: Float[Array, "d d"], rank_cut: float) -> tuple[Float[Array, "d d"], Bool[Array, "d"]]:
    """Find W with W cov Wᵀ = diag(keep): one row a principal axis, zero where the variance is below the cut.

    Args:
        cov: A positive semidefinite matrix.
        rank_cut: Axes whose eigenvalue is at most this fraction of the largest are dropped; never less than the
            rounding error of the eigenvalues themselves.

    Returns:
        The map W and the mask of the axes kept.
    """
    eigenvalues, axes = symmetric_eigen(cov)
    cut = jnp.maximum(rank_cut, cov.shape[0] * jnp.finfo(cov.dtype).eps) * jnp.maximum(eigenvalues[-1], 0)
    keep = eigenvalues > cut
    safe = jnp.where(keep, eigenvalues, jnp.ones_like(eigenvalues))
    scale = jnp.where(keep, 1 / jnp.sqrt(safe), 0.0)
    return scale[:, None] * axes.T, keep


def _is_psd(correlation: Correlation, dims: tuple[int, ...]) -> Bool[Array, ""]:
    """Whether the correlation matrix plus what rounding may have taken away is positive definite.

    If a variable was computed by linear maps, its covariance carries the rounding of its largest entries. For a
    coordinate whose standard deviation is r times smaller than the largest of its variable that is r² times more.
    """
    size = len(correlation.scale)
    ratios = []
    for at in block_slices(dims):
        scale = correlation.scale[at]  # one over the standard deviations
        ratios.append(scale / jnp.min(scale, where=scale > 0, initial=jnp.inf))
    ratio = jnp.concatenate(ratios)
    rounding = 8 * size * jnp.finfo(ratio.dtype).eps
    tolerance = jnp.clip(rounding * ratio**2, max(PSD_TOLERANCE, rounding), max(LARGEST_PSD_TOLERANCE, rounding))
    return jnp.isfinite(cholesky(correlation.matrix + jnp.diag(tolerance))).all()


def _is_deterministic(
    cross_all: Float[Array, "dt d"], target_map: Float[Array, "dt dt"], sources_map: Float[Array, "d d"]
) -> Bool[Array, ""]:
    """Whether the best predicted direction of the target has a residual that is only rounding.

    The residual aᵀ target − bᵀ sources, with a and b in units of standard deviations, has a variance whose rounding
    error is at most a few eps (‖a‖₁ + ‖b‖₁)², because every entry of a correlation matrix is at most one.
    """
    left, correlation, right = jnp.linalg.svd(cross_all, full_matrices=False)
    weight = jnp.abs(target_map.T @ left[:, 0]).sum() + jnp.abs(sources_map.T @ right[0]).sum()
    rounding = RESIDUAL_ROUNDING * jnp.finfo(cross_all.dtype).eps * jnp.maximum(weight, 1) ** 2
    return 1 - correlation[0] ** 2 <= rounding
