"""Whitening under jit, vmap and grad: the right method for the rank, and a derivative that is always finite."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pid_jax.gaussian.any_rank import whiten_any_rank
from pid_jax.gaussian.full_rank import whiten_full_rank
from pid_jax.gaussian.joint import JointGaussian, block_slices, check_shape
from pid_jax.gaussian.linalg import symmetrize
from pid_jax.gaussian.whitened import WhitenedGaussian


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
