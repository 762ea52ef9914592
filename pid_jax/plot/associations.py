"""Whether knockouts do more in some tasks: effects against properties of the tasks, with rank correlations."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pid_jax.plot.effects import effect_axis_label, effect_unit, shown_effects
from pid_jax.plot.lines import mark_empty
from pid_jax.plot.quantities import MOST_CUTS, check_results, condition_labels, left_out, names_of, shown_conditions
from pid_jax.plot.style import (
    SERIES_STYLES,
    TEXT_SIZE,
    add_legend,
    add_note,
    figure_style,
    new_panels,
    panel_title,
    series_style,
    wrap,
)
from pid_jax.study.metrics.association import PROPERTIES
from pid_jax.study.results import cut_names

_VARIABLES = ("effect", "effect_lower", "effect_upper", "association", "metric")
_DIMENSIONS = ("task", "condition", "effect_name", "property", "metric_name", "edges_name", "window_name")
_MOST_CHARACTERS = 26
IN_NUMBERS = "by their numbers in the results file"


def shown_properties(results: xr.Dataset) -> list[str]:
    """Name the properties of tasks that could be correlated with effects and that the dataset holds."""
    if not all(name in results for name in _VARIABLES) or results.sizes["condition"] < 2:
        return []
    if not np.isfinite(results["association"].values).any():  # too few tasks
        return []
    return list(property_labels(results))


def property_labels(results: xr.Dataset) -> dict[str, str]:
    """Return, for every property of tasks whose metric the dataset holds, what the metric is in words."""
    if "property" not in results.coords or "metric_name" not in results.coords:
        return {}
    words = results.coords.get("metric_label", results["metric_name"])
    labels = dict(zip(names_of(results, "metric_name"), (str(word) for word in words.values), strict=True))
    known = {name: PROPERTIES.get(name) for name in names_of(results, "property")}
    return {name: labels[metric] for name, metric in known.items() if metric in labels}


def plot_associations(results: xr.Dataset, *, unit: str = "bits") -> Figure:
    """Plot effects of cuts against properties of tasks: a row for every effect, a column for every cut and property.

    A point is a task. Titles hold Spearman's correlation over tasks. Cuts are chosen as in `plot_knockout`.

    Args:
        results: one model of the dataset made by `pid_jax.study`, with metrics and at least one knockout.
        unit: "bits" or "nats".

    Returns:
        A figure that is not registered anywhere.

    Raises:
        ValueError: no property of tasks is known; otherwise see `check_results`.
    """
    check_results(results, unit=unit, variables=_VARIABLES, dimensions=_DIMENSIONS)
    properties, effects = shown_properties(results), shown_effects(results)
    if not properties or not effects:
        raise ValueError(
            f"results must hold a knockout, an effect, and one of the metrics {sorted(PROPERTIES.values())}, "
            f"got conditions {names_of(results, 'condition')}, effects {names_of(results, 'effect_name')} and metrics "
            f"{names_of(results, 'metric_name')}; pass the dataset that pid_jax.study returns, or leave it out"
        )
    places = shown_conditions(results, most=1 + MOST_CUTS)
    columns = [(cut, name) for cut in places[1:] for name in properties]
    with figure_style():
        figure, panels = new_panels(len(effects), len(columns), row_inches=1.6)
        for row, effect in enumerate(effects):
            panels[row, 0].set_ylabel(effect_axis_label(results, effect, unit), fontsize=TEXT_SIZE)
            for column, (cut, name) in enumerate(columns):
                axes = panels[row, column]
                points = _draw_tasks(axes, results, effect, cut, name, unit)
                title = condition_labels(results)[cut] * (row == 0)
                panel_title(axes, len(columns), title, *_association_text(results, effect, cut, name))
        for axes in panels.flat:
            axes.margins(0.1)
        for axes, (_, name) in zip(panels[-1], columns, strict=True):
            label = f"{name.replace('_', ' ')}: {property_labels(results)[name]} (%)"
            axes.set_xlabel(wrap(label, _MOST_CHARACTERS), fontsize=TEXT_SIZE)
        add_legend(figure, points, names_of(results, "task"))
        add_note(figure, left_out(results, places, IN_NUMBERS))
    return figure


def _draw_tasks(axes: Axes, results: xr.Dataset, effect: str, cut: int, name: str, unit: str) -> list[Line2D]:
    """Draw a point for every task, with intervals in both directions where both are known."""
    factor, _ = effect_unit(results, effect, unit)
    y = _with_reach(results.isel(condition=cut).sel(effect_name=effect), "effect", factor)
    x = _with_reach(results.sel(metric_name=PROPERTIES[name]), "metric", 100.0)
    axes.axhline(0.0, color="black", linewidth=0.6)
    if not (np.isfinite(x[0]) & np.isfinite(y[0])).any():
        mark_empty(axes)
    points = []
    for task in range(results.sizes["task"]):
        style = series_style(task)
        x_reach, y_reach = x[1][:, task, None], y[1][:, task, None]
        look = {"fmt": "none", "ecolor": style["color"], "elinewidth": 0.8}
        axes.errorbar(x[0][task], y[0][task], xerr=x_reach, yerr=y_reach, **look)
        fill = style["color"] if task < len(SERIES_STYLES) else "white"  # a second turn of the styles is hollow
        look = {"color": style["color"], "marker": style["marker"], "markerfacecolor": fill, "markersize": 4.2}
        points += axes.plot(x[0][task], y[0][task], linestyle="", **look)
    return points


def _with_reach(cell: xr.Dataset, name: str, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Read values over tasks, and how far their intervals reach down and up."""
    value = cell[name].values * factor
    ends = [cell[f"{name}_{end}"].values * factor if f"{name}_{end}" in cell else value for end in ("lower", "upper")]
    return value, np.maximum(np.stack([value - ends[0], ends[1] - value]), 0.0)


def _association_text(results: xr.Dataset, effect: str, cut: int, name: str) -> tuple[str, ...]:
    """Write Spearman's correlation over tasks, with its interval and p-value."""
    edges, window = cut_names(results)[cut], str(results["window"].values[cut])
    if edges not in names_of(results, "edges_name") or window not in names_of(results, "window_name"):
        return ("ρ not available",)
    place = {
        "edges_name": names_of(results, "edges_name").index(edges),
        "window_name": names_of(results, "window_name").index(window),
        "effect_name": names_of(results, "effect_name").index(effect),
        "property": names_of(results, "property").index(name),
    }
    names = ("association", "association_lower", "association_upper", "association_p")
    value, lower, upper, p_value = (float(results[n].isel(place)) if n in results else np.nan for n in names)
    if not np.isfinite(value):
        return ("ρ not available",)
    ends = f" ({lower:.2f} to {upper:.2f})" if np.isfinite(lower) and np.isfinite(upper) else ""
    p_text = f"p = {p_value:.3f}" if np.isfinite(p_value) else ""
    return tuple(text.replace("-", "−") for text in (f"ρ = {value:.2f}{ends}", p_text) if text)
