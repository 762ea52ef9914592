"""Jointly Gaussian variables after each was whitened: all that mutual information and its parts depend on."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pid_jax.status import Status


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class WhitenedGaussian:
    """Cross-covariances of whitened variables; directions without variance are zero rows and columns.

    Where the status is not `OK` all cross-covariances are zero, so that nothing computed from them can fail.

    Attributes:
        cross: For each source, R_k: covariance of the whitened target and the whitened source. Its singular values are
            canonical correlations.
        cross_all: The same for all sources, whitened together.
        target_map: W_t, which whitens the target: W_t Σ_t W_tᵀ = I on the range of Σ_t.
        source_maps: The same for each source.
        cov: The joint covariance that was whitened, for what has to be said in its units; the identity where the
            status is not `OK`.
        status: `Status` of the covariance.
    """

    cross: tuple[Float[Array, "dt dk"], ...]
    cross_all: Float[Array, "dt d"]
    target_map: Float[Array, "dt dt"]
    source_maps: tuple[Float[Array, "dk dk"], ...]
    cov: Float[Array, "D D"]
    status: Int[Array, ""]


def masked(whitened: WhitenedGaussian) -> WhitenedGaussian:
    """Leave nothing that could make a later step fail where the status is not `OK`."""
    is_ok = whitened.status == Status.OK
    return WhitenedGaussian(
        cross=tuple(jnp.where(is_ok, cross, 0) for cross in whitened.cross),
        cross_all=jnp.where(is_ok, whitened.cross_all, 0),
        target_map=jnp.where(is_ok, whitened.target_map, 0),
        source_maps=tuple(jnp.where(is_ok, source_map, 0) for source_map in whitened.source_maps),
        cov=jnp.where(is_ok, whitened.cov, jnp.eye(len(whitened.cov), dtype=whitened.cov.dtype)),
        status=whitened.status.astype(jnp.int32),
    )
