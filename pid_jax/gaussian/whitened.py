"""Jointly Gaussian variables after each was whitened: all that mutual information and its parts depend on."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from pid_jax.gaussian.status import Status


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class WhitenedGaussian:
    """Cross-covariances of whitened variables; directions without variance are zero rows and columns.

    Cross-covariances are zero where the covariance is no covariance, or where the information that belongs to them is
    infinite, so that nothing computed from them can fail.

    Attributes:
        cross: For each source, R_k: covariance of the whitened target and the whitened source. Its singular values are
            canonical correlations.
        cross_all: The same for all sources, whitened together.
        target_map: W_t, which whitens the target: W_t Σ_t W_tᵀ = I on the range of Σ_t.
        source_maps: The same for each source.
        cov: The joint covariance that was whitened, for what has to be said in its units; the identity where it is no
            covariance.
        status: `Status` of the covariance.
        determines: Whether each source determines a direction of the target exactly, and last whether all together do.
    """

    cross: tuple[Float[Array, "dt dk"], ...]
    cross_all: Float[Array, "dt d"]
    target_map: Float[Array, "dt dt"]
    source_maps: tuple[Float[Array, "dk dk"], ...]
    cov: Float[Array, "D D"]
    status: Int[Array, ""]
    determines: Bool[Array, "K+1"]

    @property
    def is_covariance(self) -> Bool[Array, ""]:
        """Whether some Gaussian has this covariance, be its information finite or not."""
        return (self.status == Status.OK) | (self.status == Status.INFINITE_INFORMATION)

    @property
    def has_union(self) -> Bool[Array, ""]:
        """Whether each source alone has finite information: what depends on their pairs with the target is known."""
        return self.is_covariance & ~self.determines[:-1].any()


def masked(whitened: WhitenedGaussian) -> WhitenedGaussian:
    """Leave nothing that could make a later step fail: see `WhitenedGaussian`."""
    is_covariance = whitened.is_covariance
    is_finite = is_covariance & ~whitened.determines
    return WhitenedGaussian(
        cross=tuple(jnp.where(fine, cross, 0) for fine, cross in zip(is_finite[:-1], whitened.cross, strict=True)),
        cross_all=jnp.where(is_finite[-1], whitened.cross_all, 0),
        target_map=jnp.where(is_covariance, whitened.target_map, 0),
        source_maps=tuple(jnp.where(is_covariance, source_map, 0) for source_map in whitened.source_maps),
        cov=jnp.where(is_covariance, whitened.cov, jnp.eye(len(whitened.cov), dtype=whitened.cov.dtype)),
        status=whitened.status.astype(jnp.int32),
        determines=whitened.determines,
    )
