"""Covariance estimators."""

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
