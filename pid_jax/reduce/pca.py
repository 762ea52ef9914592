"""Principal components of one variable: fitted once, applied to any samples of the same features."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pid_jax.reduce.discrete import DiscreteValues


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Basis:
    """Leading principal components of the samples that they were fitted on.

    Attributes:
        mean: Mean of those samples.
        axes: Orthonormal directions, the largest loading of each positive; columns beyond the rank are exactly zero.
        variances: Variance of those samples along each direction, zero beyond the rank.
        rank: Number of directions that carry variance.
        rank_cut: Fraction of the leading variance up to which a direction counts as rounding noise.
        angle: Bound on the largest angle to the exact subspace in radians, to first order; zero if it was computed
            exactly.
    """

    mean: Float[Array, "p"]
    axes: Float[Array, "p d"]
    variances: Float[Array, "d"]
    rank: Int[Array, ""]
    rank_cut: Float[Array, ""]
    angle: Float[Array, ""]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Reduced:
    """One variable after its reduction.

    Attributes:
        scores: Coordinates of the samples; columns beyond the rank are exactly zero.
        explained_variance: Fraction of the total variance that the coordinates keep.
        rank: Number of coordinates that carry variance.
        discrete: How far the variable was discrete before its reduction; None where nobody looked.
    """

    scores: Float[Array, "n d"] | np.ndarray
    explained_variance: Float[Array, ""] | np.ndarray
    rank: Int[Array, ""] | np.ndarray
    discrete: DiscreteValues | None = None


def reduce_pca(samples: Float[Array, "n p"], dim: int, rank_cut: float) -> Reduced:
    """Project samples on their own leading principal components.

    Args:
        samples: One row a sample.
        dim: Components wanted, at most min(n, p).
        rank_cut: See `fit_basis`.

    Returns:
        The scores, in the units of the samples, with zero mean.
    """
    return project(samples, fit_basis(samples, dim, rank_cut))


def fit_basis(samples: Float[Array, "n p"], dim: int, rank_cut: float) -> Basis:
    """Compute the leading principal components exactly.

    By the eigendecomposition of the smaller of covariance (p x p) and Gram matrix (n x n), in the precision of the
    samples. The largest loading of each component is positive, so that the result does not depend on the signs that
    LAPACK returns.

    Args:
        samples: One row a sample.
        dim: Components wanted, at most min(n, p).
        rank_cut: Components with at most this fraction of the leading variance are rounding noise and set to zero.

    Returns:
        The basis, in the units of the samples.
    """
    n, p = samples.shape
    mean = samples.mean(axis=0)
    centered = samples - mean
    if p <= n:
        return basis_of_covariance(mean, centered.T @ centered / _freedom(n), dim, rank_cut)
    variances, rows = _leading(centered @ centered.T / _freedom(n), dim)
    axes = centered.T @ rows
    axes = axes / jnp.maximum(jnp.linalg.norm(axes, axis=0), jnp.finfo(axes.dtype).tiny)
    return make_basis(mean, axes, variances, rank_cut, jnp.zeros((), samples.dtype))


def basis_of_covariance(mean: Float[Array, "p"], cov: Float[Array, "p p"], dim: int, rank_cut: float) -> Basis:
    """Compute the leading principal components of samples with this mean and sample covariance; see `fit_basis`."""
    variances, axes = _leading(cov, dim)
    return make_basis(mean, axes, variances, rank_cut, jnp.zeros((), cov.dtype))


def make_basis(
    mean: Float[Array, "p"],
    axes: Float[Array, "p d"],
    variances: Float[Array, "d"],
    rank_cut: float,
    angle: Float[Array, ""],
) -> Basis:
    """Fix the signs of the axes and set those to zero that hold rounding noise only."""
    keep = variances > rank_cut * jnp.maximum(variances[0], 0)
    largest = jnp.take_along_axis(axes, jnp.abs(axes).argmax(axis=0, keepdims=True), axis=0)
    return Basis(
        mean=mean,
        axes=axes * jnp.sign(largest) * keep,
        variances=jnp.where(keep, variances, 0),
        rank=keep.sum(),
        rank_cut=jnp.asarray(rank_cut, variances.dtype),
        angle=angle,
    )


def project(samples: Float[Array, "n p"], basis: Basis) -> Reduced:
    """Project samples on a basis, which may come from other samples: the baseline's for a knockout.

    Args:
        samples: One row a sample.
        basis: Where to project.

    Returns:
        The scores, in the units of the samples, relative to the mean of the basis; the fraction of the variance of
        *these* samples that they keep; and how many columns carry variance. A column with at most the basis's
        `rank_cut` of the largest variance is exactly zero here as well.
    """
    n = samples.shape[0]
    shifted = samples - basis.mean.astype(samples.dtype)
    scores = shifted @ basis.axes.astype(samples.dtype)
    variances = _squares(scores - scores.mean(axis=0)) / _freedom(n)
    keep = variances > basis.rank_cut * variances.max()
    total = total_variance(samples - samples.mean(axis=0))
    kept = jnp.where(keep, variances, 0).sum()
    return Reduced(
        scores=jnp.where(keep, scores, 0),
        explained_variance=jnp.where(total > 0, kept / jnp.where(total > 0, total, 1), 0),
        rank=keep.sum(),
    )


def keep_all(samples: Float[Array, "n d"]) -> Reduced:
    """Take every column as it is."""
    scores = samples - samples.mean(axis=0)
    return Reduced(
        scores=scores, explained_variance=jnp.ones((), scores.dtype), rank=(jnp.ptp(scores, axis=0) > 0).sum()
    )


def total_variance(centered: Float[Array, "n p"]) -> Float[Array, ""]:
    """Sum the variances of all columns; the sum over the samples is taken in the widest precision enabled."""
    n = centered.shape[0]
    return jnp.einsum("np,np->n", centered, centered).sum(dtype=widest(centered.dtype)) / _freedom(n)


def widest(dtype: jnp.dtype) -> jnp.dtype:
    """Return float64, or float32 where JAX has float64 switched off."""
    return jnp.promote_types(dtype, jax.dtypes.canonicalize_dtype(jnp.float64))


def _squares(columns: Float[Array, "n d"]) -> Float[Array, "d"]:
    return (columns.astype(widest(columns.dtype)) ** 2).sum(axis=0)


def _freedom(n: int) -> int:
    return max(n - 1, 1)


def _leading(symmetric: Float[Array, "m m"], dim: int) -> tuple[Float[Array, "dim"], Float[Array, "m dim"]]:
    values, vectors = jnp.linalg.eigh(symmetric)
    return values[::-1][:dim], vectors[:, ::-1][:, :dim]
