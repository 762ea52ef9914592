"""Correlations of trajectories over depth, between models and between tasks, without what noise takes from them."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from pid_jax.metrics.draws import ModelDraws, at_depth, complete_tasks
from pid_jax.metrics.intervals import noise_of, normal
from pid_jax.metrics.labels import with_ends
from pid_jax.result import ATOMS

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
    models, tasks = results.sizes["model"], results.sizes["task"]
    between = np.full((3, models, models, tasks, len(GROUPS)), np.nan)
    overall = np.full((3, models, models, len(GROUPS)), np.nan)
    within = np.full((3, models, tasks, tasks, len(GROUPS)), np.nan)
    for one, other in np.ndindex(models, models):
        first, second = draws[one], draws[other]
        pair = on_common_depths(first.baseline, first.depth, second.baseline, second.depth)
        found = [products(pair[0][:, task], pair[1][:, task]) for task in range(tasks)]
        between[:, one, other] = np.stack([correlate(part) for part in found], axis=1)
        both = np.flatnonzero(complete_tasks(pair[0]) & complete_tasks(pair[1]))
        if both.size:
            overall[:, one, other] = correlate(np.sum([found[task] for task in both], axis=0))
    for model, one, other in np.ndindex(models, tasks, tasks):
        atoms = draws[model].baseline
        within[:, model, one, other] = correlate(products(atoms[:, one], atoms[:, other]))
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


def products(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Sum squares and products of two sets of curves over depth, each around its mean.

    Args:
        one: Estimate and replicates (draw, atom, layer).
        other: The same of the other one, at the same depths.

    Returns:
        Those of one, other and both (3, draw, group), and in a second half of draws those of the noise alone, which is
        replicates minus their mean. NaN with too few depths.
    """
    known = np.isfinite(one[0]).all(axis=0) & np.isfinite(other[0]).all(axis=0)
    if known.sum() < FEWEST_DEPTHS:
        return np.full((3, 2 * len(one) - 1, len(GROUPS)), np.nan)
    pair = [_centered(np.concatenate([x, noise_of(x)])[..., known]) for x in (one, other)]
    sums = np.stack([(a * b).sum(axis=-1) for a, b in ((pair[0],) * 2, (pair[1],) * 2, pair)])
    return np.concatenate([sums, sums.sum(axis=-1, keepdims=True)], axis=-1)


def correlate(sums: np.ndarray) -> np.ndarray:
    """Compute Pearson correlations from `products`, or sums of them over tasks.

    Noise adds to the squares, and where both share samples to the products: the mean of the noise alone is taken off,
    twice from replicates, which have it twice.

    Returns:
        Correlations and ends of their intervals (3, group), within -1 and 1; NaN where a curve is mostly noise.
    """
    draws = (sums.shape[1] + 1) // 2
    first, replicates, noise = sums[:, :1], sums[:, 1:draws], sums[:, draws:]
    added = noise.sum(axis=1, keepdims=True) / max(draws - 2, 1)
    left = np.concatenate([first - added, replicates - 2 * added], axis=1)
    scale = np.where((left[:2] > 0).all(axis=0), left[0] * left[1], np.nan)
    is_curve = (left[:2, 0] > (1 - MOST_NOISE) * sums[:2, 0]).all(axis=0)
    found = np.stack(normal(left[2] / np.sqrt(scale)))
    return np.where(is_curve, np.clip(found, -1, 1), np.nan)


def _centered(values: np.ndarray) -> np.ndarray:
    return values - values.mean(axis=-1, keepdims=True)
