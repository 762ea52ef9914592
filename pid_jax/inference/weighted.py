"""Covariances of rows with weights, for many weightings of the same rows."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from pid_jax.runtime.devices import map_problems, one_each, over_devices
from pid_jax.runtime.precision import double_precision

# Products of pairs of coordinates that exist at a time: 20 MB.
PRODUCTS = 2_500_000
# For fewer weightings, a product for each takes less time than those of all pairs.
FEW = 32


def weighted_covariances(
    centered: Float[np.ndarray, "problems n D"], weights: Float[np.ndarray, "replicates n"]
) -> Float[np.ndarray, "problems replicates D D"]:
    """Compute the covariance of all rows of every problem under each weighting.

    Many weightings share the products of pairs of coordinates, so that one product of large matrices gives all
    covariances of a problem. The mean of rows without weights is zero, and weights sum to n.
    """
    with double_precision():
        if len(weights) < FEW:
            program = partial(_one_by_one, weights=jnp.asarray(weights))
        else:
            program = partial(_from_pairs, weights=jnp.asarray(_in_blocks(weights, centered.shape[-1])))
        return map_problems(program, centered, is_one_each=True)


def _in_blocks(weights: np.ndarray, size: int) -> Float[np.ndarray, "blocks replicates rows"]:
    """Divide the rows so that the products of a block are few enough; the last is filled up with weights of zero."""
    replicates, samples = weights.shape
    rows = max(1, min(samples, PRODUCTS // (size * (size + 1) // 2)))
    missing = -samples % rows
    filled = np.pad(weights, ((0, 0), (0, missing))) if missing else weights
    return filled.reshape(replicates, -1, rows).swapaxes(0, 1)


@partial(jax.jit, static_argnames="mesh")
def _one_by_one(
    centered: Float[Array, "1 n D"], *, weights: Float[Array, "replicates n"], mesh: Mesh | None
) -> Float[Array, "1 replicates D D"]:
    def one(centered: Float[Array, "n D"]) -> Float[Array, "replicates D D"]:
        return jax.lax.map(partial(_plain, centered), weights)

    return over_devices(one_each(one), mesh)(centered)


@partial(jax.jit, static_argnames="mesh")
def _from_pairs(
    centered: Float[Array, "1 n D"], *, weights: Float[Array, "blocks replicates rows"], mesh: Mesh | None
) -> Float[Array, "1 replicates D D"]:
    return over_devices(one_each(partial(_add_up, weights=weights)), mesh)(centered)


def _add_up(
    centered: Float[Array, "n D"], weights: Float[Array, "blocks replicates rows"]
) -> Float[Array, "replicates D D"]:
    (samples, size), (blocks, replicates, rows) = centered.shape, weights.shape
    first, second = np.triu_indices(size)
    filled = jnp.pad(centered, ((0, blocks * rows - samples), (0, 0))).reshape(blocks, rows, size)

    def add(sums: tuple[Array, Array], block: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        x, times = block
        return (sums[0] + times @ x, sums[1] + times @ (x[:, first] * x[:, second])), None

    nothing = jnp.zeros((replicates, size)), jnp.zeros((replicates, len(first)))
    (total, products), _ = jax.lax.scan(add, nothing, (filled, weights))
    of_pairs = (products - total[:, first] * total[:, second] / samples) / (samples - 1)
    cov = jnp.zeros((replicates, size, size)).at[:, first, second].set(of_pairs)
    return cov.at[:, second, first].set(of_pairs)


def _plain(centered: Float[Array, "n D"], times: Float[Array, "n"]) -> Float[Array, "D D"]:
    samples = centered.shape[0]
    total = times @ centered
    return (centered.T @ (centered * times[:, None]) - jnp.outer(total, total) / samples) / (samples - 1)
