"""What a fit maximizes, and how held-out samples are scored."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pid_jax.gaussian.linalg import cholesky, solve_lower

# Added to the variances of a batch, so that its covariance has a logarithm of the determinant in single precision.
RIDGE = 1e-5
# Weight of half the mean square of the latents, which the joint objective leaves free.
SCALE_PENALTY = 1e-3


def joint_loss(latents: Float[Array, "D n"], log_det: Float[Array, "n"]) -> Float[Array, ""]:
    """Compute ½ log |S| − mean log |det J|, with S the covariance of these very latents.

    Up to a constant it is the negative log-likelihood in nats a sample, under the Gaussian that fits best.
    """
    centered = latents - latents.mean(axis=1, keepdims=True)
    cov = centered @ centered.T / latents.shape[1] + RIDGE * jnp.eye(latents.shape[0], dtype=latents.dtype)
    half_log_det = jnp.log(jnp.diag(cholesky(cov))).sum()
    return half_log_det - log_det.mean() + 0.5 * SCALE_PENALTY * (latents**2).sum(axis=0).mean()


def marginal_loss(latents: Float[Array, "D n"], log_det: Float[Array, "n"]) -> Float[Array, ""]:
    """Compute the negative log-likelihood under a standard normal, up to a constant, in nats a sample."""
    return 0.5 * (latents**2).sum(axis=0).mean() - log_det.mean()


def moments(latents: Float[Array, "n D"]) -> tuple[Float[Array, "D"], Float[Array, "D D"]]:
    """Compute mean and covariance of the training latents."""
    mean = latents.mean(axis=0)
    centered = latents - mean
    cov = centered.T @ centered / (latents.shape[0] - 1)
    return mean, cov + RIDGE * jnp.eye(latents.shape[1], dtype=latents.dtype)


def standard_moments(latents: Float[Array, "n D"]) -> tuple[Float[Array, "D"], Float[Array, "D D"]]:
    """Return mean and covariance of a standard normal."""
    size = latents.shape[1]
    return jnp.zeros(size, latents.dtype), jnp.eye(size, dtype=latents.dtype)


def log_density(
    latents: Float[Array, "n D"], log_det: Float[Array, "n"], mean: Float[Array, "D"], cov: Float[Array, "D D"]
) -> Float[Array, "n"]:
    """Compute the log-density in nats of samples whose latents are Gaussian with this mean and covariance."""
    factor = cholesky(cov)
    white = solve_lower(factor, (latents - mean).T)
    constant = 0.5 * latents.shape[1] * np.log(2 * np.pi)
    return log_det - constant - jnp.log(jnp.diag(factor)).sum() - 0.5 * (white**2).sum(axis=0)
