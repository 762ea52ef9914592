"""Two routes: what cutting both changes beyond the sum of what cutting each changes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from pid_jax.inference.intervals import p_value_of
from pid_jax.study.conditions import BASELINE
from pid_jax.study.metrics.causal import (
    UNITS,
    drawn_effects,
    effect_distances,
    effect_ends,
    effect_errors,
    effect_labels,
    mean_effects,
)
from pid_jax.study.metrics.draws import ModelDraws
from pid_jax.study.metrics.intervals import with_ends
from pid_jax.study.metrics.sources import Sources


@dataclass(frozen=True, kw_only=True)
class Design:
    """Two cuts and the one of both, by their places among the conditions of a study.

    Attributes:
        name: Such as "image-question x image-last@all".
        first: Cut of the first route.
        second: Cut of the second route.
        both: Cut of both at once.
    """

    name: str
    first: int
    second: int
    both: int


def find_designs(results: xr.Dataset) -> list[Design]:
    """Find pairs of knockouts whose edges a third one cuts together, in the same window (or the same heads).

    Args:
        results: A study; its coordinates `edges` and `window` say what every condition cuts.
    """
    if not all(name in results.coords for name in ("edges", "window")):
        return []
    cuts: dict[tuple[frozenset[str], str], int] = {}
    columns = (results[name].values for name in ("condition", "edges", "window"))
    for place, (condition, edges, window) in enumerate(zip(*columns, strict=True)):
        if str(condition) != BASELINE and window:
            text, heads, _ = str(edges).partition(" (heads)")
            cuts.setdefault((frozenset(text.split("+")), f"{window}{heads}"), place)
    designs = []
    for (edges, window), both in cuts.items():
        for (one, own_window), first in cuts.items():
            rest = edges - one
            second = cuts.get((rest, window))
            if own_window == window and one < edges and second is not None and first < second:
                routes = " x ".join(str(results["edges"].values[place]) for place in (first, second))
                name = f"{routes}@{results['window'].values[both]}"
                designs.append(Design(name=name, first=first, second=second, both=both))
    return sorted(designs, key=lambda design: (design.first, design.second, design.both))


def interactions(results: xr.Dataset, models: Sequence[ModelDraws]) -> xr.Dataset:
    """Compute the interaction of every two routes that were cut alone and together.

    The interaction is effect(both) - effect(first) - effect(second). It is zero where the routes add up. Where a model
    falls back on the other route, cutting one alone changes little and cutting both changes much, so that the
    interaction has the sign of the effect of both; it has the other sign where one cut leaves nothing for the other to
    change. All conditions have the same replicates, so that what they share cancels in its interval.

    Args:
        results: A study.
        models: What `read_models` reads of it.

    Returns:
        `interaction` with both ends of its interval and `interaction_p` by model, task, design and effect, and
        `overall_interaction`, the mean over tasks. `design_first`, `design_second` and `design_both` name the
        conditions. Empty for a study without such designs.
    """
    designs = find_designs(results)
    if not designs:
        return xr.Dataset()
    each, overall, p_values = [], [], []
    for model, last, samples in zip(models, results["cut_last"].values, results["n_samples"].values, strict=True):
        draws = interaction_of(drawn_effects(model, last), designs)
        errors = effect_errors(draws, samples)
        each.append(effect_ends(draws[0], errors))
        overall.append(effect_ends(*mean_effects(draws, errors)))
        p_values.append(p_value_of(effect_distances(draws, errors)))
    dims = ("model", "task", "design", "effect_name")
    data = with_ends("interaction", dims, np.stack(each, axis=1))
    data |= with_ends("overall_interaction", (dims[0], *dims[2:]), np.stack(overall, axis=1))
    data["interaction_p"] = (dims, np.stack(p_values), UNITS)
    conditions = [str(name) for name in results["condition"].values]
    parts = {
        f"design_{part}": ("design", [conditions[getattr(one, part)] for one in designs])
        for part in ("first", "second", "both")
    }
    names = {"design": [one.name for one in designs], "effect_name": list(effect_labels(Sources.of(results)))}
    return xr.Dataset(data, coords=names | parts)


def interaction_of(effects: np.ndarray, designs: Sequence[Design]) -> np.ndarray:
    """Compute effect(both) - effect(first) - effect(second).

    Args:
        effects: Estimate and replicates of effects (draw, task, condition, effect).
        designs: The conditions.

    Returns:
        Estimate and replicates (draw, task, design, effect).
    """
    first, second, both = ([getattr(one, part) for one in designs] for part in ("first", "second", "both"))
    return effects[:, :, both] - effects[:, :, first] - effects[:, :, second]
