"""Jointly Gaussian variables: their covariance, its blocks, and the same in units of standard deviations."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pid_jax.gaussian.status import Status


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

    def __post_init__(self) -> None:
        if isinstance(self.dims, list):
            object.__setattr__(self, "dims", tuple(self.dims))


def check_shape(joint: JointGaussian, sources: int | None) -> None:
    """Refuse a joint Gaussian whose dims do not fit; shapes are known under every transformation, values are not.

    Args:
        joint: One joint Gaussian.
        sources: How many sources there have to be; None for two or more.

    Raises:
        ValueError: If the number of variables or the shape of the covariance is another.
    """
    dims, shape = joint.dims, joint.cov.shape
    if len(dims) < 3 if sources is None else len(dims) != sources + 1:
        wanted = "(d1, d2, ..., dt)" if sources is None else "(d1, d2, dt); more sources are for union_information"
        raise ValueError(f"JointGaussian(dims=...) needs {wanted}, got {dims!r}.")
    if shape != (sum(dims),) * 2:
        raise ValueError(
            f"JointGaussian(cov=...) has shape {shape}, wanted {(sum(dims),) * 2} for dims {dims}: one covariance in "
            "the order of dims; for a batch use jax.vmap."
        )


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Correlation:
    """A covariance in units of standard deviations.

    Attributes:
        matrix: Correlation matrix; a coordinate without variance is a row and a column of zeros. The identity if an
            entry is not finite.
        scale: One over the standard deviation of every coordinate, zero where there is no variance.
        status: `NOT_FINITE` or `NOT_PSD` if that shows in single entries, else `OK`.
    """

    matrix: Float[Array, "D D"]
    scale: Float[Array, "D"]
    status: Int[Array, ""]


def block_slices(dims: tuple[int, ...]) -> tuple[slice, ...]:
    """Rows of every variable in the joint covariance, the target last."""
    ends = [sum(dims[: i + 1]) for i in range(len(dims))]
    return tuple(slice(end - d, end) for d, end in zip(dims, ends, strict=True))


def unit_scale(cov: Float[Array, "D D"]) -> Float[Array, "D"]:
    """Compute one over the standard deviation of every coordinate, zero where there is none."""
    variance = jnp.diag(cov)
    varies = variance > 0
    return jnp.where(varies, 1 / jnp.sqrt(jnp.where(varies, variance, 1)), 0)


def standardize(cov: Float[Array, "D D"]) -> Correlation:
    """Bring a covariance to unit variances, so that the units of single coordinates decide nothing later.

    Args:
        cov: A covariance.

    Returns:
        The correlation matrix, its scale and the status.
    """
    is_finite = jnp.isfinite(cov).all()
    cov = jnp.where(is_finite, cov, jnp.eye(cov.shape[0], dtype=cov.dtype))
    scale = unit_scale(cov)
    varies = scale > 0
    # A coordinate without variance has no covariance with anything, and none has a negative variance.
    is_covariance = (varies[:, None] | (cov == 0)).all()
    status = jnp.where(is_covariance, Status.OK, Status.NOT_PSD)
    return Correlation(
        matrix=cov * scale[:, None] * scale[None, :],
        scale=scale,
        status=jnp.where(is_finite, status, Status.NOT_FINITE).astype(jnp.int32),
    )
