"""The Gaussian rank copula: each coordinate to a standard normal by its ranks."""

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float


def gaussianize_copula(samples: Float[Array, "n d"], tie_tolerance: float) -> Float[Array, "n d"]:
    """Map each coordinate to normal scores, z = Φ⁻¹((rank − ½) / n) with mean ranks for ties.

    Atoms do not change under invertible maps of single coordinates, so for data with a Gaussian copula this removes
    every marginal distortion. It cannot undo dependence that is not Gaussian.

    Args:
        samples: One row a sample.
        tie_tolerance: Values within this fraction of the largest standard deviation of all columns count as equal.

    Returns:
        Normal scores; a constant column becomes zero.
    """
    step = tie_tolerance * samples.std(axis=0).max()
    binned = jnp.where(step > 0, jnp.round(samples / jnp.where(step > 0, step, 1)), samples)
    return jax.vmap(_normal_scores, in_axes=1, out_axes=1)(binned)


def _normal_scores(column: Float[Array, "n"]) -> Float[Array, "n"]:
    ordered = jnp.sort(column)
    below = jnp.searchsorted(ordered, column, side="left")
    up_to = jnp.searchsorted(ordered, column, side="right")
    return ndtri((below + up_to).astype(column.dtype) / (2 * column.shape[0]))
