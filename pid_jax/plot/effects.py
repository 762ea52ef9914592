"""Causal metrics window by window: dots with intervals, one row of panels for every effect."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pid_jax.plot.lines import mark_empty
from pid_jax.plot.quantities import edge_labels, in_unit, names_of, window_labels, with_unit
from pid_jax.plot.style import SMALL_TEXT_SIZE, add_legend, series_style, small_ticks, wrap
from pid_jax.study.results import cut_names

EFFECTS = ("trapped_vision", "compensatory_synergy", "information_cost", "accuracy_change")
LARGEST_P = 0.05
_POINTS = {"accuracy_change": "points"}
_CHARACTERS_OF_LABEL = 18
_MOST_NAMES = 10


def shown_effects(results: xr.Dataset) -> list[str]:
    """Name the effects of the dataset that the figure of windows shows."""
    return [name for name in EFFECTS if name in names_of(results, "effect_name")] if "effect" in results else []


def effect_unit(results: xr.Dataset, name: str, unit: str) -> tuple[float, str]:
    """Say what an effect is multiplied by, and its unit."""
    units = _POINTS.get(name, str(results["effect_unit"].sel(effect_name=name).item()))
    return in_unit(units, unit)


def effect_axis_label(results: xr.Dataset, name: str, unit: str) -> str:
    """Name an effect with its unit, broken to the height of its axis."""
    label = str(results["effect_label"].sel(effect_name=name).item())
    return wrap(with_unit(label, effect_unit(results, name, unit)[1]), _CHARACTERS_OF_LABEL)


def draw_effects(figure: Figure, panels: np.ndarray, results: xr.Dataset, unit: str) -> None:
    """Draw effects over windows: a row for every effect, a column for every task, a mark for every set of edges.

    Args:
        figure: for the legend of edges.
        panels: (effects, tasks).
        results: one model of the dataset made by `pid_jax.study`.
        unit: "bits" or "nats".
    """
    labels = edge_labels(results)
    sets, windows = list(labels), list(dict.fromkeys(window for window in window_labels(results) if window))
    for row, name in enumerate(shown_effects(results)):
        factor, _ = effect_unit(results, name, unit)
        for column in range(panels.shape[1]):
            axes = panels[row, column]
            if column:
                axes.sharey(panels[row, 0])
                axes.tick_params(labelleft=False)
            axes.axhline(0.0, color="black", linewidth=0.6)
            cells = results.isel(task=column).sel(effect_name=name)
            if not np.isfinite(cells["effect"].values).any():
                mark_empty(axes)
            handles = [_draw_set(axes, cells, edge, windows, factor, sets) for edge in sets]
            _name_windows(axes, windows, is_last=row == len(panels) - 1)
        panels[row, 0].set_ylabel(effect_axis_label(results, name, unit), fontsize=SMALL_TEXT_SIZE)
    if len(sets) > 1:
        add_legend(figure, handles, list(labels.values()))


def _draw_set(axes: Axes, cells: xr.Dataset, edge: str, windows: list[str], factor: float, sets: list[str]):
    """Draw one effect of all windows of one set of edges."""
    chosen = cells.isel(condition=[c for c, name in enumerate(cut_names(cells)) if name == edge])
    place = sets.index(edge)
    x = np.array([windows.index(window) for window in window_labels(chosen)])
    x = x + 0.5 * ((place + 0.5) / len(sets) - 0.5)
    value = chosen["effect"].values * factor
    ends = np.stack([value - chosen["effect_lower"].values * factor, chosen["effect_upper"].values * factor - value])
    style = series_style(place)
    is_clear = chosen["effect_family_wise"].values < LARGEST_P
    size = 3.0 if len(windows) <= _MOST_NAMES else 2.0
    axes.errorbar(x, value, yerr=np.maximum(ends, 0.0), fmt="none", ecolor=style["color"], elinewidth=0.9)
    look = {"color": style["color"], "marker": style["marker"], "linestyle": "", "markersize": size}
    axes.plot(x[~is_clear], value[~is_clear], **look, markerfacecolor="white", markeredgewidth=0.7)
    (dots,) = axes.plot(x[is_clear], value[is_clear], **look)
    return dots


def _name_windows(axes: Axes, windows: list[str], *, is_last: bool) -> None:
    """Name the windows below the last row, or as many of them as fit."""
    step = -(-len(windows) // _MOST_NAMES)
    axes.set_xlim(-0.6, len(windows) - 0.4)
    axes.set_xticks(range(0, len(windows), step), windows[::step] if is_last else [""] * len(windows[::step]))
    small_ticks(axes)
    if is_last:
        axes.tick_params(axis="x", rotation=90)
        axes.set_xlabel("blocks cut")
