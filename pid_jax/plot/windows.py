"""Where attention is cut, and what that does: a map of windows and layers, and effects window by window."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pid_jax.plot.effects import LARGEST_P, draw_effects, shown_effects
from pid_jax.plot.heat import add_color_bar_above, draw_heat, edges_around, name_rows
from pid_jax.plot.lines import mark_empty
from pid_jax.plot.quantities import PER_NAT, atom_labels, check_results, edge_labels, edge_sets, names_of, window_labels
from pid_jax.plot.style import (
    DIFFERENCE_MAP,
    FEWEST_LAYERS_WITHOUT_MARKERS,
    SMALL_TEXT_SIZE,
    TWO_COLUMN_INCHES,
    add_note,
    figure_style,
    panel_title,
    small_ticks,
    wrap,
)
from pid_jax.study.results import cut_names

_TESTED = ("difference", "difference_family_wise")
# Heights of a row of cells: comfortable, and the least that can be told apart; of a heat map and of a row of effects.
_CELL_INCHES, _LOWEST_CELL_INCHES, _MAP_INCHES = 0.17, 0.07, 2.0
_LOWEST_MAP_INCHES, _EFFECT_INCHES, _FRAME_INCHES = 0.75, 1.05, 1.9
_NARROWEST_INCHES, _LABEL_COLUMNS = 1.1, 0.6


def plot_windows(results: xr.Dataset, *, unit: str = "bits") -> Figure:
    """Map what every cut does to the first source's unique information: a map for every set of edges and task.

    Rows of a map are windows, columns are layers. The cells outlined are outputs of the blocks cut; a dot marks what
    is not significant after adjustment for all layers. Below stand the causal metrics, if the dataset holds them.

    Args:
        results: one model of the dataset made by `pid_jax.study`, with tested differences.
        unit: "bits" or "nats".

    Returns:
        A figure that is not registered anywhere.

    Raises:
        ValueError: there is no condition but the baseline; otherwise see `check_results`.
    """
    check_results(results, unit=unit, variables=_TESTED, dimensions=("task", "condition", "layer", "quantity"))
    if results.sizes["condition"] < 2:
        got = names_of(results, "condition")
        raise ValueError(f"results must hold a knockout besides the baseline, got {got}; add a cut or leave it out")
    sets, effects = edge_sets(results), shown_effects(results)
    places = [[c for c, name in enumerate(cut_names(results)) if name == edge] for edge in sets]
    change = results[list(_TESTED)].sel(quantity="unique_1").transpose("task", "condition", "layer")
    values = change["difference"].values[:, 1:] * PER_NAT[unit]
    reach = float(np.abs(values[np.isfinite(values)]).max(initial=0.0)) or 1.0
    heights = [_map_inches(len(rows)) for rows in places] + [_EFFECT_INCHES] * len(effects)
    with figure_style():
        columns = results.sizes["task"]
        width = max(TWO_COLUMN_INCHES, _NARROWEST_INCHES * columns)
        figure = Figure(figsize=(width, sum(heights) + _FRAME_INCHES), layout="constrained")
        panels = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights)
        for map_row, rows in enumerate(places):
            for column in range(columns):
                mesh = _draw_map(panels[map_row, column], change.isel(task=column, condition=rows), unit, reach)
            _label_maps(panels[map_row], results, rows, heights[map_row], edge_labels(results)[sets[map_row]])
        for axes in panels[len(sets) - 1]:
            axes.set_xlabel("layer")
        for column, task in enumerate(results["task"].values):
            panel_title(panels[0, column], columns + _LABEL_COLUMNS, str(task))
        label = f"change of {atom_labels(results)['unique_1']}, cut − baseline ({unit})"
        add_color_bar_above(figure, mesh, panels[: len(sets)], label, sum(heights[: len(sets)]))
        if effects:
            draw_effects(figure, panels[len(sets) :], results, unit)
        hollow = " and hollow marks" if effects else ""
        note = f"Outlined: outputs of the blocks cut. Dots{hollow}: not significant (adjusted p ≥ {LARGEST_P:g})."
        add_note(figure, note)
    return figure


def _map_inches(rows: int) -> float:
    """Choose the height of a heat map."""
    cell = max(_LOWEST_CELL_INCHES, min(_CELL_INCHES, _MAP_INCHES / rows))
    return max(_LOWEST_MAP_INCHES, rows * cell)


def _draw_map(axes: Axes, cells: xr.Dataset, unit: str, reach: float):
    """Draw one task's changes by window and layer."""
    values = cells["difference"].values * PER_NAT[unit]
    layers = cells["layer"].values
    mesh = draw_heat(axes, values, (-reach, reach), DIFFERENCE_MAP, layers)
    small_ticks(axes)
    axes.tick_params(left=False, labelleft=False)
    if not np.isfinite(values).any():
        mark_empty(axes)
    unclear = np.argwhere(np.isfinite(values) & ~(cells["difference_family_wise"].values < LARGEST_P))
    size = 1.6 if values.shape[1] < FEWEST_LAYERS_WITHOUT_MARKERS else 0.6
    axes.scatter(layers[unclear[:, 1]], unclear[:, 0], s=size, color="#4D4D4D", linewidths=0, gid="not significant")
    sides = edges_around(layers)
    for row in range(cells.sizes["condition"]):
        first, last = (int(cells[name].values[row]) for name in ("cut_first", "cut_last"))
        inside = np.flatnonzero((layers > first) & (layers <= last + 1))  # layer l is the output of block l - 1
        if first >= 0 and len(inside):
            left, right = float(sides[inside[0]]), float(sides[inside[-1] + 1])
            frame = Rectangle((left, row - 0.5), right - left, 1.0, fill=False, edgecolor="black", linewidth=0.7)
            axes.add_patch(frame)
    return mesh


def _label_maps(panels: np.ndarray, results: xr.Dataset, rows: list[int], inches: float, edges: str) -> None:
    """Name windows, edges and layers of a row of heat maps."""
    name_rows(panels[0], [window_labels(results)[place] for place in rows], inches)
    panels[0].tick_params(left=True, labelleft=True)
    panels[0].set_ylabel(wrap(f"{edges} in blocks", max(14, int(inches * 14))), fontsize=SMALL_TEXT_SIZE)
