"""Cells of posteriors: clusters of samples about which a source says nearly the same."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

_ROUNDS = 20  # of assigning samples to cells and averaging
_BLEND = 1e-3  # of the mean of all samples in each center, so that no divergence is infinite
_TINY = 1e-300


def find_cells(posteriors: Float[Array, "n K"], cells: int, key: jax.Array) -> Int[Array, "n"]:
    """Cluster posteriors by the Kullback-Leibler divergence from the mean of their cluster.

    The sum of these divergences is the information about the class that is lost when posteriors are replaced by cells.
    Where there are at least as many cells as classes, the first centers are those of the samples with the same most
    probable class: random ones miss some of many classes.

    Args:
        posteriors: Class probabilities of each sample.
        cells: Number of cells; some may stay empty.
        key: A JAX random key.

    Returns:
        Cell of each sample.

    Source: Dhillon, Mallela & Kumar (2003), J. Mach. Learn. Res. 3, 1265, for the clustering; Arthur & Vassilvitskii
    (2007), SODA, 1027, for the first centers.
    """
    mean = posteriors.mean(axis=0)
    negentropy = jnp.sum(jnp.where(posteriors > 0, posteriors * jnp.log(jnp.maximum(posteriors, _TINY)), 0), axis=1)

    def scores(centers: Float[Array, "M K"]) -> Float[Array, "n M"]:
        blended = (1 - _BLEND) * centers + _BLEND * mean
        return posteriors @ jnp.log(jnp.maximum(blended, _TINY)).T

    def add_center(nearest: Array, key: Array) -> tuple[Array, Array]:
        chosen = jax.random.categorical(key, jnp.log(jnp.maximum(nearest, _TINY)))
        center = posteriors[chosen]
        return jnp.minimum(nearest, negentropy - scores(center[None])[:, 0]), center

    def means_of(label: Int[Array, "n"], absent: Float[Array, "M K"]) -> Float[Array, "M K"]:
        members = jax.nn.one_hot(label, len(absent), dtype=posteriors.dtype)
        count = members.sum(axis=0)[:, None]
        return jnp.where(count > 0, members.T @ posteriors / jnp.maximum(count, 1), absent)

    classes = posteriors.shape[1]
    given = 1 if cells < classes else classes
    label = posteriors.argmax(axis=1) if given > 1 else jnp.zeros(len(posteriors), int)
    given_centers = means_of(label, jnp.broadcast_to(mean, (given, classes)))
    nearest = (negentropy[:, None] - scores(given_centers)).min(axis=1)
    added = lax.scan(add_center, nearest, jax.random.split(key, cells - given))[1]

    def improve(centers: Float[Array, "M K"], _: None) -> tuple[Float[Array, "M K"], None]:
        return means_of(scores(centers).argmax(axis=1), centers), None

    centers = lax.scan(improve, jnp.concatenate([given_centers, added]), None, length=_ROUNDS)[0]
    return scores(centers).argmax(axis=1)


def table_of(posteriors: Float[Array, "n K"], cell: Int[Array, "n"], cells: int) -> Float[Array, "M K"]:
    """Return the mean posterior in each cell times its share of the samples: the joint table of cell and class."""
    members = jax.nn.one_hot(cell, cells, dtype=posteriors.dtype)
    return members.T @ posteriors / len(posteriors)
