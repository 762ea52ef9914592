"""Jointly Gaussian variables: their covariance, its blocks, and the same in units of standard deviations."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pid_jax.status import Status


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class JointGaussian:
    """Covariance of jointly Gaussian variables in the block order source_1, source_2, ..., target.

    Attributes:
        cov: Joint covariance of one problem, symmetric. Batches are vmapped by the caller.
        dims: (d1, d2, ..., dt), static.
    """

    cov: Float[Array, "D D"]
    dims: tuple[int, ...] = field(metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Correlation:
    """A covariance, and the same in units of standard deviations.

    Attributes:
        cov: The covariance; the identity if an entry is not finite.
        matrix: Correlation matrix; a coordinate without variance is a row and a column of zeros.
        scale: One over the standard deviation of every coordinate, zero where there is no variance.
        status: `NOT_FINITE` or `NOT_PSD` if that shows in single entries, else `OK`.
    """

    cov: Float[Array, "D D"]
    matrix: Float[Array, "D D"]
    scale: Float[Array, "D"]
    status: Int[Array, ""]


def block_slices(dims: tuple[int, ...]) -> tuple[slice, ...]:
    """Rows of every variable in the joint covariance, the target last."""
    ends = [sum(dims[: i + 1]) for i in range(len(dims))]
    return tuple(slice(end - d, end) for d, end in zip(dims, ends, strict=True))


def standardize(cov: Float[Array, "D D"]) -> Correlation:
    """Bring a covariance to unit variances, so that the units of single coordinates decide nothing later.

    Args:
        cov: A covariance.

    Returns:
        The correlation matrix, its scale and the status.
    """
    is_finite = jnp.isfinite(cov).all()
    cov = jnp.where(is_finite, cov, jnp.eye(cov.shape[0], dtype=cov.dtype))
    variance = jnp.diag(cov)
    varies = variance > 0
    scale = jnp.where(varies, 1 / jnp.sqrt(jnp.where(varies, variance, 1)), 0)
    # A coordinate without variance has no covariance with anything, and none has a negative variance.
    is_covariance = (varies[:, None] | (cov == 0)).all()
    status = jnp.where(is_covariance, Status.OK, Status.NOT_PSD)
    return Correlation(
        cov=cov,
        matrix=cov * scale[:, None] * scale[None, :],
        scale=scale,
        status=jnp.where(is_finite, status, Status.NOT_FINITE).astype(jnp.int32),
    )
