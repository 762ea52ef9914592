"""Intervals and p-values of numbers that scatter normally, from their standard errors."""

import numpy as np
from scipy.special import ndtr, ndtri


def error_or_size(error: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return standard errors; what never varies cannot be told from what corrections leave, and has its own size."""
    return np.where(error > 0, error, np.abs(value))


def in_errors(value: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Measure the size of values in standard errors, zero where there is neither."""
    return np.abs(value) / np.where(error > 0, error, 1)


def p_value_of(distance: np.ndarray) -> np.ndarray:
    """Compute the probability of values as many standard errors away from zero, of either sign."""
    return 2 * ndtr(-distance)


def reach_of(error: np.ndarray, level: float) -> np.ndarray:
    """Compute how far intervals that hold the truth with some probability go to either side."""
    return ndtri(0.5 + 0.5 * level) * error
