"""Intervals and p-values of numbers that scatter normally, from their standard errors."""

import numpy as np
from scipy.special import ndtr, ndtri

# Amounts of nats up to this are what is left where numbers in single precision are subtracted.
SINGLE_ROUNDING = 1e-6


def error_or_size(error: np.ndarray, value: np.ndarray, rounding: float | np.ndarray = 0.0) -> np.ndarray:
    """Return standard errors; what never varies cannot be told from what corrections leave, and has its own size.

    Args:
        error: Standard errors.
        value: What they belong to.
        rounding: Errors up to this are those of numbers that never vary.
    """
    return np.where(error <= rounding, np.abs(value), error)


def in_errors(value: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Measure the size of values in standard errors, zero where there is neither; NaN for infinite values."""
    return np.where(np.isinf(value), np.nan, np.abs(value)) / np.where(error > 0, error, 1)


def without_rounding(value: np.ndarray, rounding: float = SINGLE_ROUNDING) -> np.ndarray:
    """Set to zero what is no larger than rounding."""
    return np.where(np.abs(value) <= rounding, 0, value)


def deviations(drawn: np.ndarray) -> np.ndarray:
    """Subtract the mean over replicates, the first axis; what is infinite in some of them does not vary."""
    finite = np.where(np.isinf(drawn).any(axis=0), 0, drawn)
    return finite - finite.mean(axis=0)


def p_value_of(distance: np.ndarray) -> np.ndarray:
    """Compute the probability of values as many standard errors away from zero, of either sign."""
    return 2 * ndtr(-distance)


def reach_of(error: np.ndarray, level: float) -> np.ndarray:
    """Compute how far intervals that hold the truth with some probability go to either side."""
    return ndtri(0.5 + 0.5 * level) * error
