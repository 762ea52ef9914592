"""Features of a source for classifiers: whitened principal components of the samples that are not held out."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float

from pid_jax.runtime.devices import over_devices
from pid_jax.settings.categorical import Classifier, NetworkClassifier, ProductClassifier

# Arrays as large as the features that exist at a time while a classifier is fitted.
_COPIES = 12
# Directions with a smaller fraction of the leading variance are rounding noise.
_RANK_CUT = 1e-10


@partial(jax.jit, static_argnames=("dim", "mesh"))
def whiten_folds(
    scores: Float[Array, "B n p"], training: Float[Array, "B F n"], *, dim: int, mesh: Mesh | None
) -> Float[Array, "B F n d"]:
    """Compute the leading components of the training samples of each fold, for all samples, in float32.

    Args:
        scores: Coordinates of one source, in float64.
        training: 1 where a sample is in the training part of a fold, else 0.
        dim: Components.
        mesh: Devices, see `over_devices`.

    Returns:
        Components with mean 0 and variance 1 on the training samples; 0 beyond the rank.
    """

    def one(x: Float[Array, "n p"], weights: Float[Array, "n"]) -> Float[Array, "n d"]:
        count = weights.sum()
        centered = x - weights @ x / count
        values, axes = jnp.linalg.eigh((centered * weights[:, None]).T @ centered / count)
        values, axes = values[::-1][:dim], axes[:, ::-1][:, :dim]
        is_kept = values > _RANK_CUT * jnp.maximum(values[0], jnp.finfo(x.dtype).tiny)
        kept = jnp.asarray(jnp.where(is_kept, values, 1))
        factors = jnp.where(is_kept, 1 / jnp.sqrt(kept), 0)
        return (centered @ (axes * factors)).astype(jnp.float32)

    each = jax.vmap(jax.vmap(one, in_axes=(None, 0)))
    return over_devices(each, mesh)(scores, training)


def side_by_side(sources: tuple[Float[Array, "... d"], ...]) -> Float[Array, "... p"]:
    """Join the components of the sources."""
    return jnp.concatenate(sources, axis=-1)


def with_products(sources: tuple[Float[Array, "... d"], ...], leading: int) -> Float[Array, "... p"]:
    """Join components and products of two of them.

    Args:
        sources: Components of one source or of two.
        leading: Components of each source whose products are taken.

    Returns:
        Components; for one source the products of all pairs and squares; for two the squares of each, and the products
        of a component of one with a component of the other.
    """
    heads = [source[..., :leading] for source in sources]
    if len(heads) == 1:
        rows, columns = jnp.triu_indices(heads[0].shape[-1])
        products = [heads[0][..., rows] * heads[0][..., columns]]
    else:
        first, second = heads
        cross = first[..., :, None] * second[..., None, :]
        products = [first**2, second**2, cross.reshape(*cross.shape[:-2], -1)]
    return jnp.concatenate([*sources, *products], axis=-1)


def features_of(candidate: Classifier, sources: tuple[Float[Array, "... d"], ...]) -> Float[Array, "... p"]:
    """Return what a classifier sees of the components of one source or of two."""
    if isinstance(candidate, ProductClassifier):
        return with_products(sources, candidate.leading)
    return side_by_side(sources)


def count_features(candidate: Classifier, dims: Sequence[int]) -> int:
    """Count what a classifier sees of sources with so many components; see `features_of`."""
    if not isinstance(candidate, ProductClassifier):
        return sum(dims)
    heads = [min(dim, candidate.leading) for dim in dims]
    products = heads[0] * (heads[0] + 1) // 2 if len(heads) == 1 else sum(heads) + heads[0] * heads[1]
    return sum(dims) + products


def bytes_of_fit(candidate: Classifier, dims: Sequence[int], classes: int, weights: int) -> int:
    """Return the memory that a classifier of one problem takes, given the number of weights of its samples in folds."""
    width = count_features(candidate, dims) + classes
    if isinstance(candidate, NetworkClassifier):
        width += candidate.members * (candidate.hidden + classes)
    return 4 * _COPIES * weights * width
