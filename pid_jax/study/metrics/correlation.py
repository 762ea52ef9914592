"""Correlations of trajectories over depth, between models and between tasks, without what noise takes from them."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from pid_jax.decompose.result import ATOMS
from pid_jax.inference.intervals import reach_of
from pid_jax.study.metrics.draws import ModelDraws, at_depth, complete_tasks
from pid_jax.study.metrics.intervals import noise_of, normal, with_ends
from pid_jax.study.results import LEVEL

# A curve of which noise makes more of the variation over depth has no correlation.
MOST_NOISE = 0.5
FEWEST_DEPTHS = 3
GROUPS = [*ATOMS, "all"]


def correlations(results: xr.Dataset, draws: Sequence[ModelDraws]) -> xr.Dataset:
    """Correlate the trajectories of the baseline: of two models in each task, of two models in all tasks, of two tasks.

    `all` takes all four atoms together: their products are summed, each around the mean of its own curve over depth, so
    that it owes nothing to one atom being larger than another.

    Args:
        results: A study.
        draws: What `read_models` reads of it.
    """
    models, tasks = len(draws), results.sizes["task"]
    between = np.full((3, models, models, tasks, len(GROUPS)), np.nan)
    overall = np.full((3, models, models, len(GROUPS)), np.nan)
    within = np.full((3, models, tasks, tasks, len(GROUPS)), np.nan)
    for one, other in np.ndindex(models, models):
        first, second = draws[one], draws[other]
        pair = on_common_depths(first.baseline, first.depth, second.baseline, second.depth)
        for task in range(tasks):
            between[:, one, other, task] = correlate_groups(*(curves[:, [task]] for curves in pair))
        both = complete_tasks(pair[0]) & complete_tasks(pair[1])
        overall[:, one, other] = correlate_groups(*(curves[:, both] for curves in pair))
    for model, one, other in np.ndindex(models, tasks, tasks):
        curves = draws[model].baseline
        within[:, model, one, other] = correlate_groups(curves[:, [one]], curves[:, [other]])
    data = with_ends("model_correlation", ("model", "model_2", "task", "atom"), between, "1")
    data |= with_ends("overall_model_correlation", ("model", "model_2", "atom"), overall, "1")
    data |= with_ends("task_correlation", ("model", "task", "task_2", "atom"), within, "1")
    names = {"model_2": results["model"].values, "task_2": results["task"].values, "atom": GROUPS}
    return xr.Dataset(data, coords=names)


def on_common_depths(
    one: np.ndarray, depth: np.ndarray, other: np.ndarray, other_depth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Bring curves (..., layer) of two models to the depths of the one with fewer layers; the other is interpolated."""
    common = depth if len(depth) <= len(other_depth) else other_depth
    return at_depth(one, depth, common), at_depth(other, other_depth, common)


def correlate_groups(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Correlate two sets of curves: those of every atom, and all together.

    Args:
        one: Estimate and replicates (draw, task, atom, layer).
        other: The same of the other one, at the same depths.

    Returns:
        Correlations and ends of their intervals (3, group); NaN with too few depths.
    """
    known = np.isfinite(one[0]).all(axis=(0, 1)) & np.isfinite(other[0]).all(axis=(0, 1))
    if known.sum() < FEWEST_DEPTHS or not one.shape[1]:
        return np.full((3, len(GROUPS)), np.nan)
    pair = [x[..., known] - x[..., known].mean(axis=-1, keepdims=True) for x in (one, other)]
    each = [[x[:, :, atom].reshape(len(x), -1) for x in pair] for atom in range(len(ATOMS))]
    each.append([x.reshape(len(x), -1) for x in pair])
    return np.stack([correlate(*group) for group in each], axis=-1)


def correlate(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Compute the Pearson correlation of two centered vectors without their noise.

    Noise adds to the squares, and where both share samples to the product: the mean of what it adds is taken off, twice
    from replicates, which have it twice.

    Args:
        one: Estimate and replicates (draw, number).
        other: The same.

    Returns:
        Correlation and ends of its interval, within -1 and 1; NaN where a vector is mostly noise.
    """
    noise = noise_of(one), noise_of(other)
    freedom = max(len(one) - 2, 1)
    sums, added = _products(one, other), _products(*noise).sum(axis=1, keepdims=True) / freedom
    times = np.where(np.arange(len(one)) > 0, 2, 1)
    left = sums - times * added
    if not (left[:2, 0] > (1 - MOST_NOISE) * sums[:2, 0]).all():
        return np.full(3, np.nan)
    scale = np.where((left[:2] > 0).all(axis=0), left[0] * left[1], np.nan)
    value, lower, upper = normal(left[2] / np.sqrt(scale))
    return np.clip([value, np.minimum(lower, _below_one(value, one, other)), upper], -1, 1)


def _below_one(value: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    """Find how low a correlation near one may be.

    It is 1 - D²/2 with the distance D between the vectors in units of their lengths. Where both are the same up to
    noise the noise of D decides, which a normal interval does not see if it happens to make D small.
    """
    apart = _unit(one) - _unit(other)
    off = noise_of(apart)
    if len(off) < 2:
        return np.nan
    moments = off @ off.T / (len(off) - 1)
    total = np.trace(moments)
    squares = max((moments**2).sum() - total**2 / len(off), 0.0)
    step = reach_of(np.sqrt(squares / total if total > 0 else 0.0), LEVEL)
    return float(1 - 0.5 * (np.sqrt(2 * max(1 - float(value), 0.0)) + step) ** 2)


def _products(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.stack([(a * b).sum(axis=-1) for a, b in ((one, one), (other, other), (one, other))])


def _unit(values: np.ndarray) -> np.ndarray:
    length = np.sqrt((values**2).sum(axis=-1, keepdims=True))
    return values / np.where(length > 0, length, 1)
