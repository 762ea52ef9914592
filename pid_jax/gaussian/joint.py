"""The joint covariance of (source_1, source_2, target) and its whitened form."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from pid_jax.status import Status

# Smallest eigenvalue of the joint correlation matrix that still passes for rounding of a zero: measured on singular
# matrices assembled in float64, whose smallest eigenvalues stay above -1e-14 up to 384 dimensions.
PSD_TOLERANCE = 1e-12
# Rounding of a residual variance, in units of eps times the squared sum of its coefficients.
RESIDUAL_ROUNDING = 16.0


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class JointGaussian:
    """Covariance of three jointly Gaussian variables in the block order source_1, source_2, target.

    Attributes:
        cov: Joint covariance of one problem. Batches are vmapped by the caller.
        dims: (d1, d2, dt), static.
    """

    cov: Float[Array, "D D"]
    dims: tuple[int, int, int] = field(metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class WhitenedGaussian:
    """A joint Gaussian after each variable was whitened; directions without variance are zero rows and columns.

    Attributes:
        cross_t1: Covariance of the whitened target and source_1, R_1. Singular values are canonical correlations.
        cross_t2: Covariance of the whitened target and source_2, R_2.
        cross_t12: Covariance of the whitened target and both sources, whitened together.
        keep_1: Which whitened directions of source_1 carry variance.
        keep_2: The same for source_2.
        status: `Status` of the covariance.
    """

    cross_t1: Float[Array, "dt d1"]
    cross_t2: Float[Array, "dt d2"]
    cross_t12: Float[Array, "dt d12"]
    keep_1: Bool[Array, "d1"]
    keep_2: Bool[Array, "d2"]
    status: Int[Array, ""]


def whiten_psd(cov: Float[Array, "d d"], rank_cut: float) -> tuple[Float[Array, "d d"], Bool[Array, "d"]]:
    """Find W with W cov Wᵀ = diag(keep): one row a principal axis, zero where the variance is below the cut.

    Args:
        cov: A positive semidefinite matrix.
        rank_cut: Axes whose eigenvalue is at most this fraction of the largest are dropped; never less than the
            rounding error of the eigenvalues themselves.

    Returns:
        The map W and the mask of the axes kept.
    """
    axes = jnp.linalg.eigh(cov)
    eigenvalues = jnp.asarray(axes.eigenvalues)
    cut = jnp.maximum(rank_cut, cov.shape[0] * jnp.finfo(cov.dtype).eps) * jnp.maximum(eigenvalues[-1], 0)
    keep = eigenvalues > cut
    safe = jnp.where(keep, eigenvalues, jnp.ones_like(eigenvalues))
    scale = jnp.where(keep, 1 / jnp.sqrt(safe), 0.0)
    return scale[:, None] * axes.eigenvectors.T, keep


def whiten(joint: JointGaussian, rank_cut: float) -> WhitenedGaussian:
    """Whiten the target, each source, and the two sources together.

    The covariance is brought to unit variances first, so that the units of single coordinates do not decide what
    falls below the cut.

    Args:
        joint: One joint Gaussian.
        rank_cut: See `whiten_psd`.

    Returns:
        The whitened blocks and the status.
    """
    corr, status = _correlation(joint.cov)
    at_1, at_2, at_t = _slices(joint.dims)
    map_1, keep_1 = whiten_psd(corr[at_1, at_1], rank_cut)
    map_2, keep_2 = whiten_psd(corr[at_2, at_2], rank_cut)
    map_t, _ = whiten_psd(corr[at_t, at_t], rank_cut)
    cross_t1, cross_t2 = map_t @ corr[at_t, at_1] @ map_1.T, map_t @ corr[at_t, at_2] @ map_2.T
    map_12 = whiten_sources(map_1 @ corr[at_1, at_2] @ map_2.T, keep_1, keep_2, rank_cut)
    cross_t12 = jnp.concatenate([cross_t1, cross_t2], axis=1) @ map_12.T

    sources_map = map_12 @ jax.scipy.linalg.block_diag(map_1, map_2)
    is_infinite = (status == Status.OK) & _is_deterministic(cross_t12, map_t, sources_map)
    return WhitenedGaussian(
        cross_t1=cross_t1,
        cross_t2=cross_t2,
        cross_t12=cross_t12,
        keep_1=keep_1,
        keep_2=keep_2,
        status=jnp.where(is_infinite, Status.INFINITE_INFORMATION, status).astype(jnp.int32),
    )


def whiten_sources(
    cross_12: Float[Array, "d1 d2"], keep_1: Bool[Array, "d1"], keep_2: Bool[Array, "d2"], rank_cut: float
) -> Float[Array, "d12 d12"]:
    """Find the map that whitens two sources together, each being white by itself.

    Args:
        cross_12: Covariance of the two whitened sources.
        keep_1: Which directions of source_1 carry variance.
        keep_2: The same for source_2.
        rank_cut: See `whiten_psd`.

    Returns:
        The map, to be applied to the stacked whitened sources.
    """
    upper = jnp.concatenate([jnp.diag(keep_1.astype(cross_12.dtype)), cross_12], axis=1)
    lower = jnp.concatenate([cross_12.T, jnp.diag(keep_2.astype(cross_12.dtype))], axis=1)
    return whiten_psd(jnp.concatenate([upper, lower]), rank_cut)[0]


def _slices(dims: tuple[int, int, int]) -> tuple[slice, slice, slice]:
    d1, d2, dt = dims
    return slice(0, d1), slice(d1, d1 + d2), slice(d1 + d2, d1 + d2 + dt)


def _correlation(cov: Float[Array, "D D"]) -> tuple[Float[Array, "D D"], Int[Array, ""]]:
    """Scale to unit variances; a coordinate without variance becomes a zero row."""
    is_finite = jnp.isfinite(cov).all()
    cov = jnp.where(is_finite, cov, jnp.eye(cov.shape[0], dtype=cov.dtype))
    variance = jnp.diag(cov)
    varies = variance > 0
    scale = jnp.where(varies, 1 / jnp.sqrt(jnp.where(varies, variance, 1)), 0)
    corr = cov * scale[:, None] * scale[None, :]
    # A coordinate without variance has no covariance with anything, and none has a negative variance.
    is_psd = (varies[:, None] | (cov == 0)).all() & _is_psd(corr)
    status = jnp.where(is_psd, Status.OK, Status.NOT_PSD)
    return corr, jnp.where(is_finite, status, Status.NOT_FINITE).astype(jnp.int32)


def _is_psd(corr: Float[Array, "D D"]) -> Bool[Array, ""]:
    tolerance = jnp.maximum(PSD_TOLERANCE, 8 * corr.shape[0] * jnp.finfo(corr.dtype).eps)
    shifted = jnp.linalg.cholesky(corr + tolerance * jnp.eye(corr.shape[0], dtype=corr.dtype))
    return jnp.isfinite(shifted).all()


def _is_deterministic(
    cross_t12: Float[Array, "dt d12"], map_t: Float[Array, "dt dt"], sources_map: Float[Array, "d12 d12"]
) -> Bool[Array, ""]:
    """Whether the best predicted direction of the target has a residual that is only rounding.

    The residual aᵀ target − bᵀ sources, with a and b in units of standard deviations, has a variance whose rounding
    error is at most a few eps (‖a‖₁ + ‖b‖₁)², because every entry of a correlation matrix is at most one.
    """
    left, correlation, right = jnp.linalg.svd(cross_t12, full_matrices=False)
    weight = jnp.abs(map_t.T @ left[:, 0]).sum() + jnp.abs(sources_map.T @ right[0]).sum()
    rounding = RESIDUAL_ROUNDING * jnp.finfo(cross_t12.dtype).eps * jnp.maximum(weight, 1) ** 2
    return 1 - correlation[0] ** 2 <= rounding
