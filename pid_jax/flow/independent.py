"""Independent component analysis: the linear map behind which the coordinates are as independent as can be."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from pid_jax.gaussian.linalg import symmetric_eigen

# A search that has a solution ends after some ten iterations; without one it goes on for ever.
MOST_ITERATIONS = 60
# Largest 1 − |cos| between an axis and itself one iteration before at which the search has converged.
TOLERANCE = 1e-4
# Smallest variance of a direction over the largest, in single precision; below, components are rounding errors.
SMALLEST_VARIANCE = 1e-5


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Unmixing:
    """A linear map to independent components.

    Attributes:
        matrix: The components of samples x (n, d) are x @ matrix; they have unit variances and no correlations.
        has_converged: Whether the search came to an end. It does not where no direction is less normal than others.
    """

    matrix: Float[Array, "d d"]
    has_converged: Bool[Array, ""]


def independent_components(samples: Float[Array, "n d"]) -> Unmixing:
    """Find independent components by fixed-point iterations on all axes at once (symmetric FastICA, log cosh).

    The search starts at the coordinates themselves, whitened by the inverse square root of their covariance: components
    that are the coordinates already keep their order.

    Args:
        samples: Samples; their mean does not matter.

    Source: Hyvärinen (1999), IEEE Trans. Neural Netw. 10, 626.
    """
    count, dim = samples.shape
    centered = samples - samples.mean(axis=0)
    values, vectors = symmetric_eigen(centered.T @ centered / count)
    whitening = (vectors / jnp.sqrt(values)) @ vectors.T
    white = centered @ whitening

    def step(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        axes, _, done = carry
        bent = jnp.tanh(white @ axes)
        moved = _orthogonal(white.T @ bent / count - axes * (1 - bent**2).mean(axis=0))
        change = (1 - jnp.abs((moved * axes).sum(axis=0))).max()
        return moved, change, done + 1

    def goes_on(carry: tuple[Array, Array, Array]) -> Array:
        return (carry[1] > TOLERANCE) & (carry[2] < MOST_ITERATIONS)

    start = (jnp.eye(dim, dtype=samples.dtype), jnp.full((), jnp.inf, samples.dtype), jnp.zeros((), jnp.int32))
    axes, change, _ = lax.while_loop(goes_on, step, start)
    is_regular = values[0] > SMALLEST_VARIANCE * values[-1]
    return Unmixing(matrix=whitening @ axes, has_converged=(change <= TOLERANCE) & is_regular)


def _orthogonal(matrix: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """Find the nearest matrix with orthonormal columns."""
    values, vectors = symmetric_eigen(matrix.T @ matrix)
    return matrix @ (vectors / jnp.sqrt(jnp.maximum(values, jnp.finfo(matrix.dtype).tiny))) @ vectors.T
