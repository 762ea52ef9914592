"""Which directions of the target each source alone, or both, tell about."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from pid_jax.gaussian.joint import JointGaussian
from pid_jax.gaussian.linalg import symmetric_eigen, symmetrize
from pid_jax.gaussian.whiten import whiten
from pid_jax.gaussian.whitened import WhitenedGaussian
from pid_jax.pid.conditional import absolute_root, conditional_contrast


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Directions:
    """Read-outs vᵀ target of unit variance, one a row, and their best linear predictions from each source.

    Attributes:
        readouts: v_i. Rows beyond the rank of the target are zero.
        predictors: For each source k, the weights w_i with w_iᵀ source_k = E[v_iᵀ target | source_k], up to the mean.
    """

    readouts: Float[Array, "... dt dt"]
    predictors: tuple[Float[Array, "... dt dk"], ...]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """The atoms of BROJA, direction by direction, in nats.

    Attributes:
        unique: Directions that compare the sources, from what source_1 knows most ahead of source_2 to what source_2
            knows most ahead of source_1. They diagonalize both conditional covariances, and need not be uncorrelated.
        unique_1: What source_1 tells about each of them more than source_2, U_1 in total.
        unique_2: What source_2 tells about each of them more than source_1, U_2 in total.
        shared: Directions of the redundancy, uncorrelated, from most to least.
        redundancy: What each of them adds to R. Single values can be negative.
        status: `Status`. Every number is NaN where the matrix is no covariance, or where one source alone has infinite
            information.
    """

    unique: Directions
    unique_1: Float[Array, "... dt"]
    unique_2: Float[Array, "... dt"]
    shared: Directions
    redundancy: Float[Array, "... dt"]
    status: Int[Array, "..."]


def broja_spectrum(joint: JointGaussian, rank_cut: float = 1e-13) -> Spectrum:
    """Resolve BROJA's atoms into directions of the target.

    With the contrast δ_i and its congruence T (see `conditional_contrast`), read-out i is the row i of T⁻¹. About it
    the sources differ by |artanh δ_i|, which is all unique to one of them:

        U_1 = Σ max(0, artanh(−δ_i)),   U_2 = Σ max(0, artanh δ_i).

    T diag((1 + |δ|)/2) Tᵀ is the error covariance of a target known only as well as the worse source knows each
    direction. Its eigenvalues μ_j in the whitened target give R = −½ Σ log μ_j.

    Args:
        joint: One joint Gaussian with two sources; vmap for more problems.
        rank_cut: Directions with less than this fraction of a variable's largest variance are dropped.

    Returns:
        The spectrum. Directions with equal values are defined up to rotation among them.
    """
    return spectrum_of(whiten(joint, rank_cut))


def spectrum_of(whitened: WhitenedGaussian) -> Spectrum:
    """Resolve the atoms of whitened variables, see `broja_spectrum`."""
    cross_1, cross_2 = whitened.cross
    contrast = conditional_contrast(cross_1, cross_2)
    half_log_ratio = jnp.arctanh(contrast.contrast)
    inverse_rows = lax.linalg.triangular_solve(
        contrast.factor, contrast.axes, left_side=True, lower=True, transpose_a=True
    ).T
    spread = absolute_root(contrast)
    known_by_both = 0.5 * (cross_1 @ cross_1.T + cross_2 @ cross_2.T - spread @ spread.T)
    fraction, axes = symmetric_eigen(symmetrize(known_by_both))
    numbers = (
        _directions(inverse_rows, whitened),
        jnp.maximum(-half_log_ratio, 0),
        jnp.maximum(half_log_ratio, 0),
        _directions(axes.T[::-1], whitened),
        -0.5 * jnp.log1p(-fraction[::-1]),
    )
    numbers = jax.tree.map(lambda x: jnp.where(whitened.has_union, x, jnp.nan), numbers)
    unique, unique_1, unique_2, shared, redundancy = numbers
    return Spectrum(
        unique=unique,
        unique_1=unique_1,
        unique_2=unique_2,
        shared=shared,
        redundancy=redundancy,
        status=whitened.status,
    )


def _directions(rows: Float[Array, "dt dt"], whitened: WhitenedGaussian) -> Directions:
    """Bring rows in coordinates of the whitened target to unit variance and to the units of the data."""
    has_variance = (whitened.target_map != 0).any(axis=1)
    rows = jnp.where(has_variance, rows, 0)
    length = jnp.sqrt((rows**2).sum(axis=1, keepdims=True))
    rows = rows / jnp.where(length > 0, length, 1)
    readouts = rows @ whitened.target_map
    largest = jnp.take_along_axis(readouts, jnp.abs(readouts).argmax(axis=1, keepdims=True), axis=1)
    sign = jnp.where(largest < 0, -1.0, 1.0)  # so that LAPACK's choice does not show
    predictors = tuple(
        sign * (rows @ cross @ source_map)
        for cross, source_map in zip(whitened.cross, whitened.source_maps, strict=True)
    )
    return Directions(readouts=sign * readouts, predictors=predictors)
