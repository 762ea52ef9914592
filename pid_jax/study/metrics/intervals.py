"""Intervals from replicates: of smooth numbers, of numbers at a peak whose place is uncertain, and of crossings."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import ndtri

from pid_jax.inference.intervals import reach_of
from pid_jax.study.results import LEVEL

# The peak is among its candidates with this probability; what is computed at each has a level that makes up for it.
PEAK_LEVEL = 0.99
AT_PEAK_LEVEL = LEVEL + 1 - PEAK_LEVEL
# A number that does not exist in more than this part of the replicates has no interval.
MOST_MISSING = 0.05
# Bias of corrected atoms in standard deviations of one task: less in nearly all systems of benchmarks/coverage.py.
SHARED_BIAS = 0.35
Summary = tuple[np.ndarray, np.ndarray, np.ndarray]
ENDS = ("", "_lower", "_upper")


def spread(draws: np.ndarray) -> np.ndarray:
    """Standard deviation of the replicates among draws (draw, ...); NaN where too few exist."""
    replicates = draws[1:]
    if len(replicates) < 2:
        return np.full(draws.shape[1:], np.nan)
    is_there = np.isfinite(replicates)
    count = is_there.sum(axis=0)
    safe = np.where(is_there, replicates, 0)
    mean = safe.sum(axis=0) / np.maximum(count, 1)
    squares = np.where(is_there, (safe - mean) ** 2, 0).sum(axis=0)
    is_enough = (count >= (1 - MOST_MISSING) * len(replicates)) & (count > 1)
    return np.where(is_enough, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)


def shared_bias(tasks: np.ndarray) -> np.ndarray:
    """By how much a mean over tasks is less certain than independent errors make it.

    The correction of bias may leave as much in all tasks alike.
    """
    return np.sqrt(1 + SHARED_BIAS**2 * tasks)


def noise_of(draws: np.ndarray) -> np.ndarray:
    """Replicates among draws (draw, ...) minus their mean."""
    replicates = draws[1:]
    return replicates - replicates.mean(axis=0) if len(replicates) else replicates


def reach(draws: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """How far a normal interval goes to either side."""
    return reach_of(spread(draws), level)


def normal(draws: np.ndarray, level: float = LEVEL) -> Summary:
    """Summarize a smooth number: estimate, and both ends of its interval.

    Args:
        draws: Estimate and replicates (draw, ...).
        level: Probability that the interval is to hold the truth.
    """
    far = reach(draws, level)
    return draws[0], draws[0] - far, draws[0] + far


def peak_candidates(curve: np.ndarray, level: float = PEAK_LEVEL) -> np.ndarray:
    """Find the layers that may hold the largest value of a curve.

    A layer is none if some other one is above it by more than the largest difference of all others to it can come to by
    chance, in standard errors, with the given probability.

    Args:
        curve: Estimate and replicates (draw, ..., layer).
        level: Probability that the true peak is among them.

    Returns:
        Whether a layer may be the peak (..., layer). Without replicates it is that of the estimate alone.
    """
    is_known = np.isfinite(curve[0])
    if len(curve) < 3:
        return np.arange(curve.shape[-1]) == peak_of(curve[0])[..., None]
    ahead = curve[..., None, :] - curve[..., :, None]  # by how much the last layer axis is above the one before
    error = spread(ahead)
    stands = np.where(error > 0, error, 1)
    off = noise_of(ahead) / stands
    chance = np.where(error > 0, off, 0)
    by_layer = np.quantile(np.where(np.isfinite(chance), chance, 0).max(axis=-1), level, axis=0, method="higher")
    distance = np.where(error > 0, ahead[0] / stands, np.where(ahead[0] > 0, np.inf, 0))
    return is_known & (np.where(np.isfinite(ahead[0]), distance, 0).max(axis=-1) <= by_layer)


def peak_of(curve: np.ndarray) -> np.ndarray:
    """Place of the largest value (..., layer); the first one if nothing is known."""
    return np.argmax(np.where(np.isfinite(curve), curve, -np.inf), axis=-1)


def at_peak(curve: np.ndarray, values: np.ndarray) -> Summary:
    """Summarize a number that is read off at the peak of a curve.

    The interval is the union of those at every layer that may be the peak.

    Args:
        curve: What peaks (draw, ..., layer).
        values: The number, if the peak were at that layer (draw, ..., layer).
    """
    far = reach(values, AT_PEAK_LEVEL)
    ends = values[0] - far, values[0] + far
    return (_pick(values[0], curve[0]), *_union(peak_candidates(curve), *ends))


def largest(curve: np.ndarray) -> Summary:
    """Summarize the largest value of a curve.

    The largest of several noisy values reads high. So every layer that may hold it counts only as far as it is above
    what the largest of their errors comes to: half of the time for the value, and nearly always for the lower end. The
    upper end is that of the layer with the highest one.

    Args:
        curve: Estimate and replicates (draw, ..., layer).

    Source: Chernozhukov, Lee & Rosen (2013), Econometrica 81, 667.
    """
    top = np.where(np.isfinite(curve[0]).any(axis=-1), _pick(curve[0], curve[0]), np.nan)
    if len(curve) < 3:
        return top, np.full_like(top, np.nan), np.full_like(top, np.nan)
    is_candidate, error = peak_candidates(curve), spread(curve)
    off = noise_of(curve)
    errors = np.where(is_candidate & (error > 0), off / np.where(error > 0, error, 1), -np.inf).max(axis=-1)
    errors = np.where(np.isfinite(errors), errors, 0)
    side = 0.5 * (1 - AT_PEAK_LEVEL)

    def raised(steps: np.ndarray) -> np.ndarray:
        return np.where(is_candidate, curve[0] - steps[..., None] * error, -np.inf).max(axis=-1)

    value, lower = (raised(np.quantile(errors, part, axis=0)) for part in (0.5, 1 - side))
    upper = raised(np.full_like(top, ndtri(side)))
    is_known = is_candidate.any(axis=-1)
    value, lower, upper = (np.where(is_known, x, np.nan) for x in (value, lower, upper))
    return np.where(is_known, value, top), lower, upper


def at_crossing(curve: np.ndarray, excess: np.ndarray) -> Summary:
    """Summarize where a curve first crosses a level that is set by its value at the peak, behind the peak.

    The ends are where both limits of a confidence band cross. The true excess is zero at the true place, so the lower
    limit is above zero there with half of the chance of a miss, and the upper limit below it with the other half.

    Args:
        curve: What peaks (draw, ..., layer).
        excess: How far the curve is from being across (draw, ..., peak, layer): positive before, negative behind.

    Returns:
        Places in layers; NaN where nothing crosses. An upper end at the last layer also stands for never.
    """
    last = curve.shape[-1] - 1
    far = reach(excess, AT_PEAK_LEVEL)
    lower, upper = first_below(excess[0] - far), first_below(excess[0] + far)
    upper = np.where(np.isnan(upper) & np.isfinite(far).all(axis=-1), last, upper)
    lower = np.where(np.isnan(lower) & np.isfinite(far).all(axis=-1), last, lower)
    return (_pick(first_below(excess[0]), curve[0]), *_union(peak_candidates(curve), lower, upper))


def first_below(excess: np.ndarray) -> np.ndarray:
    """Find where excess (..., start, layer) first falls below zero at or behind each start, between layers."""
    layers = np.arange(excess.shape[-1])
    is_below = (excess < 0) & (layers >= layers[:, None])
    first = is_below.argmax(axis=-1)
    here = np.take_along_axis(excess, first[..., None], axis=-1)[..., 0]
    before = np.take_along_axis(excess, np.maximum(first - 1, 0)[..., None], axis=-1)[..., 0]
    drop = before - here
    part = np.where(drop > 0, before / np.where(drop > 0, drop, 1), 0)
    place = np.where(first > layers, first - 1 + np.clip(part, 0, 1), first)
    return np.where(is_below.any(axis=-1), place, np.nan)


def _pick(values: np.ndarray, curve: np.ndarray) -> np.ndarray:
    found = np.take_along_axis(values, peak_of(curve)[..., None], axis=-1)[..., 0]
    return np.where(np.isfinite(curve).any(axis=-1), found, np.nan)


def _union(is_candidate: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    is_known = is_candidate.any(axis=-1)
    low = np.where(is_candidate, lower, np.inf).min(axis=-1)
    high = np.where(is_candidate, upper, -np.inf).max(axis=-1)
    return np.where(is_known, low, np.nan), np.where(is_known, high, np.nan)


def with_ends(name: str, dims: Sequence[str], values: np.ndarray, units: str = "") -> dict[str, Any]:
    """Make the variables NAME, NAME_lower and NAME_upper.

    Args:
        name: NAME.
        dims: Dimensions of each.
        values: Value and ends (3, ...).
        units: Unit of all, if they have the same.
    """
    attributes = {"units": units} if units else {}
    return {f"{name}{end}": (tuple(dims), one, attributes) for end, one in zip(ENDS, values, strict=True)}
