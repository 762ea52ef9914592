"""Multivariate t distributions: Gaussians whose covariance uΣ has a random scale u that all variables share."""

import jax.numpy as jnp
from jax import lax
from jax.scipy.special import digamma, gammaln
from jaxtyping import Array, Float

from pid_jax.gaussian.information import Information
from pid_jax.gaussian.linalg import cholesky, solve_lower

# Steps of the EM algorithm for the scatter matrix, which is where chains start: any nearby matrix would do.
SCATTER_STEPS = 50


def tail_information(freedom: Float[Array, "..."], dims: tuple[int, int, int]) -> Information:
    """Compute what sources tell about the target of a t distribution through the common scale alone, in nats.

    I(X; Y) = I(X; Y | u) + c(ν; d_x, d_y): given the scale u the variables are Gaussian with covariance uΣ, whose
    information is that of Σ. With g(a) = log Γ(a/2) − (a/2) ψ(a/2),
    c = g(ν) + g(ν + d_x + d_y) − g(ν + d_x) − g(ν + d_y). It does not depend on Σ, is the whole information where Σ has
    none, and vanishes as ν grows.

    Args:
        freedom: Degrees of freedom ν.
        dims: (d1, d2, dt).

    Returns:
        c for source_1, for source_2, and for both together.

    Source: R. B. Arellano-Valle, J. E. Contreras-Reyes, M. G. Genton (2013), Scand. J. Stat. 40, 42; P. Czyż et al.
    (2023), Beyond normal: on the evaluation of mutual information estimators, NeurIPS 36.
    """
    d1, d2, dt = dims

    def g(a: Array) -> Array:
        return gammaln(a / 2) - a / 2 * digamma(a / 2)

    def tail(d: int) -> Array:
        return (g(freedom) - g(freedom + d)) - (g(freedom + dt) - g(freedom + d + dt))

    return Information(i_1=tail(d1), i_2=tail(d2), i_12=tail(d1 + d2))


def student_scatter(
    samples: Float[Array, "n D"], freedom: float | Float[Array, ""]
) -> tuple[Float[Array, "D"], Float[Array, "D D"]]:
    """Estimate location and scatter matrix of a t distribution by maximum likelihood, by the EM algorithm.

    Args:
        samples: One row a sample.
        freedom: Degrees of freedom ν.

    Returns:
        The location, and the lower Cholesky factor of the scatter matrix. The first weights come from medians, so that
        no single sample decides where the steps begin, however far out it is.

    Source: K. L. Lange, R. J. A. Little, J. M. G. Taylor (1989), J. Am. Stat. Assoc. 84, 881.

    Not guaranteed: the number of steps is fixed.
    """
    n, size = samples.shape

    def weighted(weights: Array) -> tuple[Array, Array]:
        location = weights @ samples / weights.sum()
        centered = samples - location
        return location, cholesky((centered * weights[:, None]).T @ centered / n)

    def step(_: int, found: tuple[Array, Array]) -> tuple[Array, Array]:
        location, factor = found
        square = (solve_lower(factor, (samples - location).T) ** 2).sum(axis=0)
        return weighted((freedom + size) / (freedom + square))

    center = jnp.median(samples, axis=0)
    far = jnp.abs(samples - center)
    spread, mean = jnp.median(far, axis=0), far.mean(axis=0)  # of values that are mostly equal the median is zero
    spread = jnp.where(spread > 0, spread, jnp.where(mean > 0, mean, 1))
    first = (freedom + size) / (freedom + ((far / spread) ** 2).sum(axis=1))
    return lax.fori_loop(0, SCATTER_STEPS, step, weighted(first))
