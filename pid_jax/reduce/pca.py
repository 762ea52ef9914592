"""Principal components of one variable: fitted once, applied to any samples of the same features."""

from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pid_jax.reduce.discrete import DiscreteValues

# Columns are kept as they are unless their correlation matrix has a smaller eigenvalue: ranks of single columns, and
# flows, lose what tells columns apart that nearly repeat each other, while principal axes keep it.
APART = 0.01


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Basis:
    """Coordinates of one variable: its leading principal components, or its columns where none has to be left out.

    Attributes:
        mean: What is subtracted from samples: their mean, or zero where columns are kept as they are.
        scale: What every column counts in units of: one, or its standard deviation.
        axes: What samples are multiplied by then: orthonormal directions over the scale, the largest loading of each
            positive; columns beyond the rank are exactly zero.
        variances: Variance of the samples along each direction, zero beyond the rank.
        rank: Number of directions that carry variance.
        rank_cut: Fraction of the leading variance up to which a direction counts as rounding noise.
        angle: Bound on the largest angle to the exact subspace in radians, to first order; zero if it was computed
            exactly.
    """

    mean: Float[Array, "p"]
    scale: Float[Array, "p"]
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
        rounding: What rounding can have done to the coordinates of each sample, in their units; zero where they are
            columns of the samples themselves, which are exact.
        explained_variance: Fraction of the total variance that the coordinates keep.
        rank: Number of coordinates that carry variance.
        status: `Status` of each problem; where it is not `OK` scores are noise. None if all are.
        notes: What was left out, in plain words.
        discrete: How far the variable was discrete before its reduction; None where nobody looked.
    """

    scores: Float[Array, "n d"] | np.ndarray
    rounding: Float[Array, "n"] | np.ndarray
    explained_variance: Float[Array, ""] | np.ndarray
    rank: Int[Array, ""] | np.ndarray
    status: np.ndarray | None = None
    notes: tuple[str, ...] = field(default=(), metadata={"static": True})
    discrete: DiscreteValues | None = None


def fit_basis(
    samples: Float[Array, "n p"],
    dim: int,
    rank_cut: float,
    standardize: bool = False,
    variance: float | None = None,
) -> Basis:
    """Compute the leading principal components exactly.

    By the eigendecomposition of the smaller of covariance (p x p) and Gram matrix (n x n), in the precision of the
    samples. The largest loading of each component is positive, so that the result does not depend on the signs that
    LAPACK returns.

    Where as many components are wanted as there are columns, nothing has to be reduced, and columns are kept as they
    are, in their order and units: whatever their scales, none is lost, and ranks of them do not change under monotone
    maps of a column. Columns that nearly repeat others (`APART`) are rotated to their principal axes all the same, all
    in units of their standard deviations; what has at most `rank_cut` of the leading variance then is a repetition.
    With a fraction of the variance to keep, columns are rotated like any others.

    Args:
        samples: One row a sample.
        dim: Components wanted, at most min(n, p).
        rank_cut: Components with at most this fraction of the leading variance are rounding noise and set to zero.
        standardize: Whether columns count in units of their standard deviations.
        variance: Fraction of the variance beyond which no component is added; None adds all `dim`.

    Returns:
        The basis.
    """
    n, p = samples.shape
    mean = column_means(samples)
    centered = samples - mean
    if p <= n:
        return basis_of_covariance(mean, centered.T @ centered / _freedom(n), dim, rank_cut, standardize, variance)
    scale = column_scales(centered, standardize)
    centered = centered / scale
    variances, rows = _leading(centered @ centered.T / _freedom(n), dim)
    axes = centered.T @ rows
    axes = axes / jnp.maximum(jnp.linalg.norm(axes, axis=0), jnp.finfo(axes.dtype).tiny)
    rank = count_kept(variances, rank_cut, variance, total_variance(centered))
    return make_basis(mean, scale, axes, variances, rank_cut, rank, jnp.zeros((), samples.dtype))


def basis_of_covariance(
    mean: Float[Array, "p"],
    cov: Float[Array, "p p"],
    dim: int,
    rank_cut: float,
    standardize: bool = False,
    variance: float | None = None,
) -> Basis:
    """Compute the leading principal components of samples with this mean and sample covariance; see `fit_basis`."""
    variances = jnp.diagonal(cov)
    is_whole = dim == len(mean) and variance is None
    scale = _scale(variances, standardize or is_whole)
    # A column without variance has no correlation, and is a direction by itself.
    shape = cov / (scale[:, None] * scale) + jnp.diag(variances <= 0) * is_whole
    values, axes = _leading(shape, dim)
    rank = count_kept(values, rank_cut, variance, jnp.trace(shape))
    rotated = make_basis(mean, scale, axes, values, rank_cut, rank, jnp.zeros((), cov.dtype))
    if not is_whole:
        return rotated
    kept = Basis(
        mean=jnp.zeros_like(mean),
        scale=scale if standardize else jnp.ones_like(scale),
        axes=jnp.diag(1 / scale) if standardize else jnp.eye(dim, dtype=cov.dtype),
        variances=variances / scale**2 if standardize else variances,
        rank=(variances > 0).sum(),
        rank_cut=jnp.zeros_like(rotated.rank_cut),
        angle=rotated.angle,
    )
    return jax.tree.map(partial(jnp.where, values[-1] >= APART), kept, rotated)


def column_means(samples: Float[Array, "n p"]) -> Float[Array, "p"]:
    """Average every column; one of equal values has exactly that value, so that nothing is left of it."""
    is_constant = (samples == samples[0]).all(axis=0)
    return jnp.where(is_constant, samples[0], samples.mean(axis=0))


def column_scales(centered: Float[Array, "n p"], is_standardized: bool) -> Float[Array, "p"]:
    """Choose what centered columns count in units of: one, or their standard deviations."""
    variances = _squares(centered) / _freedom(centered.shape[0])
    return _scale(variances, is_standardized).astype(centered.dtype)


def count_kept(
    variances: Float[Array, "d"], rank_cut: float, variance: float | None, total: Float[Array, ""]
) -> Int[Array, ""]:
    """Count the leading components that carry more than rounding noise and are needed for a fraction of the variance.

    Args:
        variances: Variances of components in descending order.
        rank_cut: Fraction of the leading one up to which a component is rounding noise.
        variance: Fraction of the total to keep; None keeps all components that are no noise.
        total: Variance of all components, also those not found.
    """
    is_kept = variances > rank_cut * jnp.maximum(variances[0], 0)
    if variance is not None:
        is_kept &= jnp.cumsum(variances) - variances < variance * total
    return is_kept.sum()


def make_basis(
    mean: Float[Array, "p"],
    scale: Float[Array, "p"],
    axes: Float[Array, "p d"],
    variances: Float[Array, "d"],
    rank_cut: float,
    rank: Int[Array, ""],
    angle: Float[Array, ""],
) -> Basis:
    """Fix the signs of the axes and set those beyond the rank to zero."""
    keep = jnp.arange(len(variances)) < rank
    largest = jnp.take_along_axis(axes, jnp.abs(axes).argmax(axis=0, keepdims=True), axis=0)
    return Basis(
        mean=mean,
        scale=scale,
        axes=axes * jnp.sign(largest) * keep / scale[:, None],
        variances=jnp.where(keep, variances, 0),
        rank=rank,
        rank_cut=jnp.asarray(rank_cut, variances.dtype),
        angle=angle,
    )


def project(samples: Float[Array, "n p"], basis: Basis, unit: float | Float[Array, ""] | None = None) -> Reduced:
    """Project samples on a basis, which may come from other samples: the baseline's for a knockout.

    Args:
        samples: One row a sample.
        basis: Where to project.
        unit: Rounding unit of the samples, relative to their size; that of their type if not given. Samples may have
            been computed with fewer digits than they have now.

    Returns:
        The scores, relative to the mean of the basis; the fraction of the variance of *these* samples that they keep;
        and how many columns carry variance. A column with at most the basis's `rank_cut` of the largest variance is
        exactly zero here as well.
    """
    n = samples.shape[0]
    scale = basis.scale.astype(samples.dtype)
    scores = (samples - basis.mean.astype(samples.dtype)) @ basis.axes.astype(samples.dtype)
    variances = _squares(scores - column_means(scores)) / _freedom(n)
    keep = variances > basis.rank_cut * variances.max()
    centered = (samples - column_means(samples)) / scale
    total = total_variance(centered)
    kept = jnp.where(keep, variances, 0).sum()
    relative = float(jnp.finfo(samples.dtype).eps) if unit is None else unit
    is_rotated = basis.rank_cut > 0  # nothing is cut off columns that are kept, nor added up for them
    return Reduced(
        scores=jnp.where(keep, scores, 0),
        rounding=relative * jnp.linalg.norm(centered, axis=1) * is_rotated,
        explained_variance=jnp.where(total > 0, kept / jnp.where(total > 0, total, 1), 0),
        rank=keep.sum(),
    )


def keep_all(samples: Float[Array, "n d"]) -> Reduced:
    """Take every column as it is."""
    return Reduced(
        scores=samples,
        rounding=jnp.zeros(samples.shape[0], samples.dtype),
        explained_variance=jnp.ones((), samples.dtype),
        rank=(jnp.ptp(samples, axis=0) > 0).sum(),
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


def _scale(variances: Float[Array, "p"], is_standardized: bool) -> Float[Array, "p"]:
    """Choose the units of columns; one without variance keeps its own."""
    if not is_standardized:
        return jnp.ones_like(variances)
    return jnp.where(variances > 0, jnp.sqrt(jnp.where(variances > 0, variances, 1)), 1)


def _freedom(n: int) -> int:
    return max(n - 1, 1)


def _leading(symmetric: Float[Array, "m m"], dim: int) -> tuple[Float[Array, "dim"], Float[Array, "m dim"]]:
    values, vectors = jnp.linalg.eigh(symmetric)
    return values[::-1][:dim], vectors[:, ::-1][:, :dim]
