"""The Gaussian rank copula: each coordinate to a standard normal by its ranks."""

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

# Distance of the quartiles of a standard normal.
QUARTILES = 1.349


def gaussianize_copula(samples: Float[Array, "n d"], noise: Float[Array, "n d"] | float = 0.0) -> Float[Array, "n d"]:
    """Map each coordinate to normal scores, z = Φ⁻¹((rank − ½) / n) with mean ranks for ties.

    Atoms do not change under invertible maps of single coordinates, so for data with a Gaussian copula this removes
    every marginal distortion. It cannot undo dependence that is not Gaussian.

    Args:
        samples: One row a sample.
        noise: How far the values of a column can be off: the rank of a value is the mean of the ranks within this
            distance of it.

    Returns:
        Normal scores; a constant column becomes zero.
    """
    return jax.vmap(_normal_scores, in_axes=1, out_axes=1)(samples, jnp.broadcast_to(noise, samples.shape))


def _normal_scores(column: Float[Array, "n"], noise: Float[Array, "n"]) -> Float[Array, "n"]:
    ordered = sort_finite(column)
    below = jnp.searchsorted(ordered, column - noise, side="left")
    up_to = jnp.searchsorted(ordered, column + noise, side="right")
    return ndtri((below + up_to).astype(column.dtype) / (2 * column.shape[0]))


def sort_finite(column: Float[Array, "n"]) -> Float[Array, "n"]:
    """Return finite numbers in ascending order.

    They are sorted by their bits: XLA's order of numbers, with its NaN, takes a CPU four times as long.
    """
    info = jnp.iinfo(jnp.int64 if column.dtype == jnp.float64 else jnp.int32)

    def in_order(bits: Array) -> Array:
        return bits ^ ((bits >> (info.bits - 1)) & info.max)  # negative numbers count backwards

    ordered = jnp.sort(in_order(lax.bitcast_convert_type(column, info.dtype)))
    return lax.bitcast_convert_type(in_order(ordered), column.dtype)
