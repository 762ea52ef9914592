"""Covariance estimators."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def sample_covariance(samples: Float[Array, "n D"]) -> Float[Array, "D D"]:
    """Compute the unbiased sample covariance Σ (x − x̄)(x − x̄)ᵀ / (n − 1).

    Args:
        samples: One row a sample.

    Returns:
        The covariance, in the squared units of the samples.
    """
    centered = samples - samples.mean(axis=0)
    return centered.T @ centered / (samples.shape[0] - 1)


def ledoit_wolf(samples: Float[Array, "n D"]) -> tuple[Float[Array, "D D"], Float[Array, ""]]:
    """Shrink the sample covariance towards a multiple of the identity: (1 − s) S + s μ I with μ = tr S / D.

    S is the covariance with 1/n, s = min(b², d²) / d² with d² = ‖S − μ I‖² / D and b² = Σ_i ‖x_i x_iᵀ − S‖² / (n² D),
    both in squared Frobenius norms of centered samples x_i.

    Args:
        samples: One row a sample.

    Returns:
        The shrunk covariance, and the amount s of shrinkage.

    Source: Ledoit & Wolf (2004), J. Multivariate Anal. 88, 365.
    """
    cov, size, mean_variance = _moments(samples)
    n = samples.shape[0]
    squares = (samples - samples.mean(axis=0)) ** 2
    fourth = (squares.sum(axis=1) ** 2).sum() / n  # mean of ‖x xᵀ‖²
    noise = (fourth - (cov**2).sum()) / (n * size)
    distance = ((cov - mean_variance * jnp.eye(size, dtype=cov.dtype)) ** 2).sum() / size
    has_distance = distance > 0
    amount = jnp.where(has_distance, jnp.minimum(noise, distance) / jnp.where(has_distance, distance, 1), 0)
    return _shrink(cov, mean_variance, amount), amount


def oracle_approximating(samples: Float[Array, "n D"]) -> tuple[Float[Array, "D D"], Float[Array, ""]]:
    """Shrink the sample covariance as `ledoit_wolf` does, by the amount that is best for Gaussian samples.

    s = min(1, (tr S² / D² + μ²) / ((n + 1) (tr S² − D μ²) / D²)) with the covariance S of 1/n and μ = tr S / D.

    Args:
        samples: One row a sample.

    Returns:
        The shrunk covariance, and the amount s of shrinkage.

    Source: Chen, Wiesel, Eldar & Hero (2010), IEEE Trans. Signal Process. 58, 5016, in the form with terms of order
    1/D left out that scikit-learn uses.
    """
    cov, size, mean_variance = _moments(samples)
    mean_square = (cov**2).mean()
    spread = (samples.shape[0] + 1) * (mean_square - mean_variance**2 / size)
    has_spread = spread > 0
    amount = jnp.where(has_spread, (mean_square + mean_variance**2) / jnp.where(has_spread, spread, 1), 1)
    amount = jnp.minimum(amount, 1)
    return _shrink(cov, mean_variance, amount), amount


def _moments(samples: Float[Array, "n D"]) -> tuple[Float[Array, "D D"], int, Float[Array, ""]]:
    centered = samples - samples.mean(axis=0)
    cov = centered.T @ centered / samples.shape[0]
    return cov, cov.shape[0], jnp.trace(cov) / cov.shape[0]


def _shrink(cov: Float[Array, "D D"], mean_variance: Array, amount: Array) -> Float[Array, "D D"]:
    return (1 - amount) * cov + amount * mean_variance * jnp.eye(cov.shape[0], dtype=cov.dtype)
