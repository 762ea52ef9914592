"""Exact principal components of one variable."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Reduced:
    """One variable after its reduction.

    Attributes:
        scores: Coordinates of the samples; columns beyond the rank are exactly zero.
        explained_variance: Fraction of the total variance that the coordinates keep.
        rank: Number of coordinates that carry variance.
    """

    scores: Float[Array, "n d"]
    explained_variance: Float[Array, ""]
    rank: Int[Array, ""]


def reduce_pca(samples: Float[Array, "n p"], dim: int, rank_cut: float) -> Reduced:
    """Project samples on their leading principal components.

    By the eigendecomposition of the smaller of covariance (p x p) and Gram matrix (n x n). The largest loading of
    each component is positive, so that the result does not depend on the signs that LAPACK returns.

    Args:
        samples: One row a sample.
        dim: Components wanted, at most min(n, p).
        rank_cut: Components with at most this fraction of the leading variance are rounding noise and set to zero.

    Returns:
        The scores, in the units of the samples, with zero mean.
    """
    n, p = samples.shape
    centered = samples - samples.mean(axis=0)
    if p <= n:
        variances, axes = _leading(centered.T @ centered / (n - 1), dim)
    else:
        variances, rows = _leading(centered @ centered.T / (n - 1), dim)
        axes = centered.T @ rows
        axes = axes / jnp.maximum(jnp.linalg.norm(axes, axis=0), jnp.finfo(axes.dtype).tiny)
    largest = jnp.take_along_axis(axes, jnp.abs(axes).argmax(axis=0, keepdims=True), axis=0)
    keep = variances > rank_cut * jnp.maximum(variances[0], 0)
    total = (centered**2).sum() / (n - 1)
    return Reduced(
        scores=(centered @ (axes * jnp.sign(largest))) * keep,
        explained_variance=jnp.where(
            total > 0, jnp.where(keep, variances, 0).sum() / jnp.where(total > 0, total, 1), 0
        ),
        rank=keep.sum(),
    )


def keep_all(samples: Float[Array, "n d"]) -> Reduced:
    """Take every column as it is."""
    scores = samples - samples.mean(axis=0)
    return Reduced(
        scores=scores, explained_variance=jnp.ones((), scores.dtype), rank=(jnp.ptp(scores, axis=0) > 0).sum()
    )


def _leading(symmetric: Float[Array, "m m"], dim: int) -> tuple[Float[Array, "dim"], Float[Array, "m dim"]]:
    values, vectors = jnp.linalg.eigh(symmetric)
    return values[::-1][:dim], vectors[:, ::-1][:, :dim]
