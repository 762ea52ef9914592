"""Whether rows depend on the rows before them."""

import math

import numpy as np
from jaxtyping import Float

# Standard errors 1/√n by which no column of independent rows is correlated with the row before: chance is 4e-6 for a
# hundred columns.
CHANCE = 5.5


def correlation_with_neighbors(latents: Float[np.ndarray, "problems n D"]) -> float:
    """Find the largest correlation of a column with itself one row before, or 0 if chance explains it."""
    centered = latents - latents.mean(axis=1, keepdims=True)
    square = (centered**2).sum(axis=1)
    lag = (centered[:, 1:] * centered[:, :-1]).sum(axis=1) / np.where(square > 0, square, 1)
    largest = float(np.abs(lag).max())
    return largest if largest > CHANCE / math.sqrt(latents.shape[1]) else 0.0
