"""Intervals and p-values, from replicates and how many of them they take, or from standard errors."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr, ndtri

from pid_jax.runtime.checks import check_between, check_positive_int
from pid_jax.settings.inference import Basic, BCa, Percentile

# Replicates or draws that have to lie beyond either end of an interval.
FEWEST_BEYOND = 5
# Amounts of nats up to this are what is left where numbers in single precision are subtracted.
SINGLE_ROUNDING = 1e-6


def check_enough_draws(name: str, count: int, level: float) -> None:
    """Refuse an invalid level, and too few replicates or draws for it."""
    check_positive_int(name, count)
    check_between("level", level, 0, 1)
    needed = math.ceil(2 * FEWEST_BEYOND / (1 - level) - 1e-9)
    if count < needed:
        raise ValueError(
            f"{name}={count} are too few for level={level:g}: at least {FEWEST_BEYOND} have to lie beyond either end, "
            f"which takes {needed}."
        )


def interval_from(
    estimate: np.ndarray, errors: np.ndarray, level: float, kind: Percentile | Basic | BCa, acceleration: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the lower and upper ends of the intervals of estimates without bias (...).

    Errors (resamples, ...) are what replicates differ from the truth of their model; their mean is the bias. The
    acceleration, for BCa, is a sixth of the skewness of the influence of one sample over √n (...).
    """
    tail = (1 - level) / 2
    centered = errors - errors.mean(axis=0)
    if isinstance(kind, Basic):
        return estimate - np.quantile(centered, 1 - tail, axis=0), estimate - np.quantile(centered, tail, axis=0)
    if isinstance(kind, Percentile):
        return estimate + np.quantile(centered, tail, axis=0), estimate + np.quantile(centered, 1 - tail, axis=0)
    if not isinstance(kind, BCa):
        raise TypeError(f"interval needs Basic(), Percentile() or BCa() here, got {kind!r}.")
    below = (centered < 0).mean(axis=0)
    bias = ndtri(np.clip(below, 0.5 / len(errors), 1 - 0.5 / len(errors)))
    ends = []
    for probability in (tail, 1 - tail):
        moved = bias + ndtri(probability)
        adjusted = ndtr(bias + moved / (1 - acceleration * moved))
        ends.append(estimate + _quantile_of_each(centered, adjusted))
    return ends[0], ends[1]


def _quantile_of_each(values: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Compute quantiles along the first axis, another one for every column."""
    ordered = np.sort(values, axis=0).reshape(len(values), -1)
    places = np.clip(probability, 0, 1).ravel() * (len(values) - 1)
    index = np.arange(len(values))
    found = [np.interp(place, index, column) for place, column in zip(places, ordered.T, strict=True)]
    return np.asarray(found).reshape(probability.shape)


def error_or_size(error: np.ndarray, value: np.ndarray, rounding: float | np.ndarray = 0.0) -> np.ndarray:
    """Return standard errors; what never varies cannot be told from what corrections leave, and has its own size.

    Errors up to `rounding` are those of numbers that never vary.
    """
    return np.where(error <= rounding, np.abs(value), error)


def in_errors(value: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Measure the size of values in standard errors, zero where there is neither; NaN for infinite values."""
    return np.where(np.isinf(value), np.nan, np.abs(value)) / np.where(error > 0, error, 1)


def without_rounding(value: np.ndarray) -> np.ndarray:
    """Set to zero what is no larger than rounding to single precision."""
    return np.where(np.abs(value) <= SINGLE_ROUNDING, 0, value)


def deviations(drawn: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Subtract the mean over replicates, the first axis, which come from rows that were drawn again.

    An infinite value does not vary. Infinite replicates of a finite value come from too few different rows for a
    covariance of full rank: finite ones are repeated in their place, and the deviations are NaN if there are none.

    Args:
        drawn: Replicates (resamples, ...).
        value: What they are replicates of (...).
    """
    finite = repeat_finite(drawn)
    return np.where(np.isinf(value), 0, finite - finite.mean(axis=0))


def repeat_finite(drawn: np.ndarray) -> np.ndarray:
    """Repeat finite replicates, along the first axis, in place of the others; NaN where there are none."""
    finite = np.where(np.isfinite(drawn), drawn, np.nan)
    for place in np.argwhere(np.isnan(finite).any(axis=0)):
        replicates = finite[(slice(None), *place)]
        is_lost = np.isnan(replicates)
        if not is_lost.all():
            replicates[is_lost] = np.resize(replicates[~is_lost], len(replicates))[is_lost]
    return finite


def note_repeated(drawn: Sequence[np.ndarray], values: Sequence[np.ndarray]) -> tuple[str, ...]:
    """Return a note if finite replicates were repeated in place of others."""
    lost = [~np.isfinite(some) & np.isfinite(value) for some, value in zip(drawn, values, strict=True)]
    most = max(int(one.sum(axis=0).max(initial=0)) for one in lost)
    if not most:
        return ()
    return (
        f"up to {most} of {len(drawn[0])} replicates of a problem have too few different rows for its dimensions, and "
        "others were repeated in their place: add samples, or reduce further",
    )


def p_value_of(distance: np.ndarray) -> np.ndarray:
    """Compute the probability of values as many standard errors away from zero, of either sign."""
    return 2 * ndtr(-distance)


def reach_of(error: np.ndarray, level: float) -> np.ndarray:
    """Compute how far intervals that hold the truth with some probability go to either side."""
    return ndtri(0.5 + 0.5 * level) * error
