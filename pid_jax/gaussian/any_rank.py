"""Whitening by eigenvectors, for covariances of any rank, and what makes a covariance unusable."""

import jax.numpy as jnp
from jax.scipy.linalg import block_diag
from jaxtyping import Array, Bool, Float

from pid_jax.gaussian.joint import Correlation, block_slices, standardize
from pid_jax.gaussian.linalg import cholesky, symmetric_eigen
from pid_jax.gaussian.status import Status
from pid_jax.gaussian.whitened import WhitenedGaussian, masked

# Negative eigenvalues of the joint correlation matrix down to this pass for rounding of a zero: measured on singular
# matrices assembled in float64, whose smallest eigenvalues stay above -1e-14 up to 384 dimensions ...
PSD_TOLERANCE = 1e-12
# ... and for coordinates that are small beside others of their variable up to this, see `_is_psd`.
LARGEST_PSD_TOLERANCE = 1e-6
# Rounding of a residual variance, in units of eps times the squared sum of its coefficients.
RESIDUAL_ROUNDING = 16.0


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
