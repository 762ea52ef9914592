"""What two sources leave unknown about a target, compared direction by direction."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from pid_jax.gaussian.linalg import cholesky, solve_lower, solve_lower_transposed, symmetric_eigen, symmetrize


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class ConditionalContrast:
    """Both conditional covariances A = Σ_t|1 and B = Σ_t|2 of the whitened target, made diagonal by one congruence.

    A + B = L Lᵀ, and with T = L V: A = T diag((1 + δ)/2) Tᵀ, B = T diag((1 − δ)/2) Tᵀ.

    Attributes:
        contrast: δ, ascending, between −1 (source_1 leaves nothing unknown) and 1 (source_2 does).
        axes: V, orthogonal.
        factor: L, lower triangular.
    """

    contrast: Float[Array, "dt"]
    axes: Float[Array, "dt dt"]
    factor: Float[Array, "dt dt"]


def absolute_root(contrast: ConditionalContrast) -> Float[Array, "dt dt"]:
    """Compute T |δ|^½, a root of T |δ| Tᵀ: by how much both conditional covariances differ in each direction."""
    return (contrast.factor @ contrast.axes) * jnp.sqrt(jnp.abs(contrast.contrast))


def conditional_contrast(cross_1: Float[Array, "dt d1"], cross_2: Float[Array, "dt d2"]) -> ConditionalContrast:
    """Diagonalize both conditional covariances.

    δ are the eigenvalues of L⁻¹ (A − B) L⁻ᵀ with A − B = Q_2 − Q_1 and Q_k = R_k R_kᵀ. The generalized eigenvalues λ of
    (A, B) follow as ½ log λ = artanh δ. In this form nothing cancels where the sources are nearly equal, and nothing
    is divided by a conditional covariance that is small in other directions only, as it would be with L Lᵀ = B.

    Args:
        cross_1: Covariance R_1 of the whitened target and source_1.
        cross_2: Covariance R_2 of the whitened target and source_2.

    Returns:
        The contrast and its axes.
    """
    known_1, known_2 = cross_1 @ cross_1.T, cross_2 @ cross_2.T
    factor = cholesky(2 * jnp.eye(known_1.shape[0], dtype=known_1.dtype) - known_1 - known_2)
    half = solve_lower_transposed(known_2 - known_1, factor)
    relative = symmetrize(solve_lower(factor, half))
    contrast, axes = symmetric_eigen(relative)
    limit = 1 - 0.5 * jnp.finfo(contrast.dtype).eps  # rounding must not reach 1, where artanh is infinite
    return ConditionalContrast(contrast=jnp.clip(contrast, -limit, limit), axes=axes, factor=factor)


def restrict_target(crosses: Sequence[Float[Array, "dt dk"]]) -> tuple[Float[Array, "r dk"], ...]:
    """Rotate the whitened target so that the sources tell about its first r = min(dt, Σ d_k) coordinates only.

    The rotation counts as a constant under differentiation: what leaves its range has no effect of first order.

    Args:
        crosses: Covariances R_k of the whitened target and each whitened source.

    Returns:
        The same covariances for those r coordinates.
    """
    stacked = jnp.concatenate(list(crosses), axis=1)
    if stacked.shape[0] <= stacked.shape[1]:
        return tuple(crosses)
    rotation = jnp.linalg.qr(lax.stop_gradient(stacked))[0].T
    return tuple(rotation @ cross for cross in crosses)


def restrict_source(cross: Float[Array, "dt d"]) -> Float[Array, "dt m"]:
    """Rotate a whitened source so that only its first m = min(dt, d) coordinates tell about the target."""
    return jnp.linalg.qr(cross.T, mode="r").T if cross.shape[1] > cross.shape[0] else cross
