"""Fewer coordinates that lose nothing: of a whitened variable only those matter that the others are correlated with."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


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
