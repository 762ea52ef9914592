"""Rank correlation, over tasks, of the effects of knockouts with properties of the tasks."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import permutations
from math import factorial

import numpy as np
import xarray as xr
from scipy.stats import rankdata

from pid_jax.study.metrics.causal import drawn_effects, effect_labels
from pid_jax.study.metrics.draws import ModelDraws
from pid_jax.study.metrics.intervals import noise_of, with_ends
from pid_jax.study.metrics.sources import Sources
from pid_jax.study.metrics.trajectory import METRICS, Metric
from pid_jax.study.results import LEVEL, cut_names

# The metric behind each property of a task; it changes smoothly with the atoms.
PROPERTIES = {"vision_dependence": "vision_share_early", "redundancy": "redundancy_share_last"}
FEWEST_TASKS = 3
# Up to so many orders of tasks are all gone through, and as many are drawn of more.
MOST_ORDERS = 10_000
SIMULATED = 4000
GRID = np.linspace(-1, 1, 81)
# Normal variables with correlation r have ranks with correlation 6/π arcsin(r/2).
RANKS = 6 / np.pi
_SEED = 0


def associations(results: xr.Dataset, models: Sequence[ModelDraws]) -> xr.Dataset:
    """Correlate every effect of every knockout with every property over the tasks of a model.

    Args:
        results: A study.
        models: What `read_models` reads of it.
    """
    names, every = cut_names(results), [str(window) for window in results["window"].values]
    edges = list(dict.fromkeys(name for name in names if name))
    windows = list(dict.fromkeys(window for name, window in zip(names, every, strict=True) if name))
    sources = Sources.of(results)
    properties = known_properties(sources)
    shape = (len(models), len(edges), len(windows), len(effect_labels(sources)), len(properties))
    found = np.full((4, *shape), np.nan)
    for model, draws in enumerate(models):
        effects, of_tasks = drawn_effects(draws, results["cut_last"].values[model]), _drawn_properties(draws)
        for condition, (edge, window) in enumerate(zip(names, every, strict=True)):
            if edge:
                place = (model, edges.index(edge), windows.index(window))
                for pair in np.ndindex(shape[3:]):
                    found[(slice(None), *place, *pair)] = associate(
                        effects[:, :, condition, pair[0]], of_tasks[:, :, pair[1]]
                    )
    dims = ("model", "edges_name", "window_name", "effect_name", "property")
    data = with_ends("association", dims, found[:3], "1") | {"association_p": (dims, found[3], {"units": "1"})}
    return xr.Dataset(data, coords={"edges_name": edges, "window_name": windows, "property": list(properties)})


def known_properties(sources: Sources) -> dict[str, Metric]:
    """List the properties that tasks have, with the metric behind each.

    Raises:
        TypeError: If a property has a metric that does not change smoothly.
    """
    metrics = {name: METRICS[metric] for name, metric in PROPERTIES.items()}
    if rough := [name for name, metric in metrics.items() if metric.of is None]:
        raise TypeError(f"PROPERTIES needs metrics that change smoothly with the atoms, got others for {rough}.")
    return sources.known(metrics)


def _drawn_properties(model: ModelDraws) -> np.ndarray:
    """Compute the properties of all tasks in one model, estimate and replicates (draw, task, property)."""
    atoms = model.arranged.baseline
    return np.stack([m.of(atoms, model.layers) for m in known_properties(model.sources).values() if m.of], axis=-1)


def associate(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Compute Spearman's correlation over tasks, its interval and the p-value of its permutations.

    The interval is about tasks like these: those at hand count as drawn from a population in which both numbers are
    jointly normal up to monotone maps, and hold the noise that replicates show. It has every correlation in the
    population under which the observed one is not too extreme.

    Args:
        one: Estimate and replicates (draw, task).
        other: The same.

    Returns:
        Value, lower and upper end, and two-sided p-value; NaN with too few tasks.
    """
    known = np.isfinite(one[0]) & np.isfinite(other[0])
    tasks = int(known.sum())
    if tasks < FEWEST_TASKS:
        return np.full(4, np.nan)
    pair = one[:, known], other[:, known]
    ranks = [rankdata(x[0]) for x in pair]
    if min(np.ptp(rank) for rank in ranks) == 0:
        return np.full(4, np.nan)
    value = float(_pearson(*ranks))
    orders = _orders(tasks)
    under_null = _pearson(ranks[0], ranks[1][orders])
    p_value = (np.abs(under_null) >= abs(value) - 1e-9).mean()
    lower, upper = _without_noise(_compatible(value, tasks), *pair)
    return np.array([value, np.minimum(lower, value), np.maximum(upper, value), p_value])


def _without_noise(ends: tuple[float, float], one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Turn correlations of observed numbers into those of the numbers without their noise, and then of ranks.

    Args:
        ends: Correlations.
        one: Estimate and replicates (draw, task).
        other: The same.

    Returns:
        The correlations; -1 and 1 if the numbers differ over tasks by no more than their noise.
    """
    if len(one) < 3:
        return np.full(2, np.nan)
    off = [noise_of(x) for x in (one, other)]
    freedom = (len(one) - 2) * one.shape[1]
    noise = [(x**2).sum() / freedom for x in off]
    seen = [x[0].var(ddof=1) for x in (one, other)]
    true = [s - n for s, n in zip(seen, noise, strict=True)]
    if not min(true) > 0:
        return np.array([np.nan, np.nan] if np.isnan(true).any() else [-1.0, 1.0])
    shared = (off[0] * off[1]).sum() / freedom
    correlation = (np.array(ends) * np.sqrt(seen[0] * seen[1]) - shared) / np.sqrt(true[0] * true[1])
    return RANKS * np.arcsin(0.5 * np.clip(correlation, -1, 1))


@lru_cache(maxsize=1024)
def _compatible(value: float, tasks: int) -> tuple[float, float]:
    """Find the correlations of normal variables under which so few tasks may well show this correlation of ranks."""
    side = 0.5 * (1 - LEVEL)
    simulated = _simulated(tasks)
    as_high = (simulated >= value - 1e-9).mean(axis=1)
    as_low = (simulated <= value + 1e-9).mean(axis=1)
    lower, upper = GRID[as_high > side], GRID[as_low > side]
    return float(lower.min()), float(upper.max())


@lru_cache(maxsize=32)
def _simulated(tasks: int) -> np.ndarray:
    """Simulate correlations of ranks of so many tasks, for every correlation of the grid (grid, draw)."""
    generator = np.random.default_rng(_SEED)
    one, noise = generator.standard_normal((2, SIMULATED, tasks))
    return np.stack([_pearson(_ranks(one), _ranks(r * one + np.sqrt(1 - r**2) * noise)) for r in GRID])


@lru_cache(maxsize=32)
def _orders(tasks: int) -> np.ndarray:
    """All orders of so many tasks, or random ones with the given one if they are too many."""
    if factorial(tasks) <= MOST_ORDERS:
        return np.array(list(permutations(range(tasks))))
    generator = np.random.default_rng(_SEED)
    drawn = generator.permuted(np.tile(np.arange(tasks), (MOST_ORDERS - 1, 1)), axis=1)
    return np.concatenate([np.arange(tasks)[None], drawn])


def _ranks(values: np.ndarray) -> np.ndarray:
    return values.argsort(axis=-1).argsort(axis=-1).astype(float)


def _pearson(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    one = one - one.mean(axis=-1, keepdims=True)
    other = other - other.mean(axis=-1, keepdims=True)
    return (one * other).sum(axis=-1) / np.sqrt((one**2).sum(axis=-1) * (other**2).sum(axis=-1))
