"""Shares of the atoms at a few depths as a fingerprint of task and model, and how far fingerprints lie apart."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from pid_jax.plot.chance import CHANCE_NOTE, chance_at_points, has_chance
from pid_jax.plot.heat import add_color_bar, draw_heat
from pid_jax.plot.lines import mark_empty
from pid_jax.plot.quantities import atom_labels, check_results, names_of
from pid_jax.plot.style import (
    AMOUNT_MAP,
    ATOM_STYLES,
    BAND_OPACITY,
    TEXT_SIZE,
    TINY_TEXT_SIZE,
    TWO_COLUMN_INCHES,
    WINDOW_COLOR,
    add_legend,
    add_note,
    figure_style,
    small_ticks,
)

VARIABLES = ("fingerprint", "fingerprint_lower", "fingerprint_upper", "fingerprint_distance")
_ROW_INCHES, _FRAME_INCHES, _LOWEST_INCHES = 0.27, 1.25, 3.0
_CHARACTERS_OF_NAME = 26
_MATRIX_WIDTH = 4.2
_NAME_SIZE = 6.0
# More cells than that are too small for a number.
_MOST_WITH_NUMBERS = 16


def plot_fingerprints(results: xr.Dataset) -> Figure:
    """Plot fingerprints beside the matrix of their distances: a row for every task and model in both.

    Rows are ordered so that similar ones stand together: average linkage, leaves as near to their neighbors as the tree
    allows. Those without a fingerprint come last. Light bands are the range of 90 % of random systems of the same size,
    spectra and information, where the dataset has it.

    Args:
        results: the dataset made by `pid_jax.study`, with metrics.

    Returns:
        A figure that is not registered anywhere.

    Raises:
        ValueError: see `check_results`.
    """
    check_results(results, variables=VARIABLES, dimensions=("model", "task", "point", "share", "profile"))
    distances = 100 * results["fingerprint_distance"].transpose("profile", "profile_2").values
    order = cluster_order(distances)
    points = names_of(results, "point")
    count = len(order)
    with figure_style():
        height = max(_LOWEST_INCHES, count * _ROW_INCHES + _FRAME_INCHES)
        figure = Figure(figsize=(TWO_COLUMN_INCHES, height), layout="constrained")
        panels = figure.subplots(1, len(points) + 1, width_ratios=[1.0] * len(points) + [_MATRIX_WIDTH])
        for column in range(len(points)):
            if column:
                panels[column].sharex(panels[0])
            lines = _draw_point(panels[column], results, order, column)
            panels[column].tick_params(labelleft=column == 0)
        labels = [_name(results, place, number) for number, place in enumerate(order, 1)]
        panels[0].set_yticks(range(count), labels, fontsize=_NAME_SIZE, linespacing=0.95)
        panels[len(points) // 2].set_xlabel("share of I₁₂ (%)", fontsize=TEXT_SIZE)
        mesh = _draw_distances(panels[-1], distances[np.ix_(order, order)])
        if count > _MOST_WITH_NUMBERS:
            add_color_bar(figure, mesh, panels[-1:], "percentage points")
        add_legend(figure, lines, list(atom_labels(results).values()))
        add_note(figure, f"Light bands: shares of {CHANCE_NOTE}." if has_chance(results) else "")
    return figure


def cluster_order(distances: np.ndarray) -> list[int]:
    """Order rows so that near ones stand together; those without distances stay behind, as they are."""
    known = np.flatnonzero(np.isfinite(distances).sum(axis=1) > 1)
    known = [int(i) for i in known if np.isfinite(distances[i, known]).all()]
    others = [i for i in range(len(distances)) if i not in known]
    if len(known) < 3:
        return [*known, *others]
    between = distances[np.ix_(known, known)]
    condensed = squareform((between + between.T) / 2 * (1 - np.eye(len(known))), checks=False)
    leaves = leaves_list(optimal_leaf_ordering(linkage(condensed, "average"), condensed))
    return [*(known[i] for i in leaves), *others]


def _name(results: xr.Dataset, place: int, number: int) -> str:
    """Number a row and name its task and model; the task alone where there is one model."""
    task, model = (_shorten(str(results[f"profile_{kind}"].values[place])) for kind in ("task", "model"))
    return f"{number}  {task}" if results.sizes["model"] == 1 else f"{number}  {task}\n{model}"


def _shorten(name: str) -> str:
    """Leave out the middle of a name that is too long."""
    if len(name) <= _CHARACTERS_OF_NAME:
        return name
    half = (_CHARACTERS_OF_NAME - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def _draw_point(axes: Axes, results: xr.Dataset, order: list[int], point: int) -> list:
    """Draw the shares of all rows at one depth."""
    tasks, models = names_of(results, "task"), names_of(results, "model")
    rows = [
        (models.index(str(results["profile_model"].values[p])), tasks.index(str(results["profile_task"].values[p])))
        for p in order
    ]
    lines = []
    for place, (atom, style) in enumerate(ATOM_STYLES.items()):
        cell = results[list(VARIABLES[:3])].isel(point=point).sel(share=atom).transpose("model", "task", ...)
        value, lower, upper = (np.array([cell[name].values[row] for row in rows]) * 100 for name in VARIABLES[:3])
        y = np.arange(len(rows)) + 0.16 * (place - 1.5)
        reach = np.maximum([value - lower, upper - value], 0.0)
        chance = chance_at_points(results, atom, point)
        if chance is not None:
            low, high = (100 * np.array([end[row] for row in rows]) for end in chance)
            axes.hlines(y, low, high, color=style["color"], linewidth=3.2, alpha=BAND_OPACITY)
        axes.errorbar(value, y, xerr=reach, fmt="none", ecolor=style["color"], elinewidth=0.9)
        (line,) = axes.plot(value, y, color=style["color"], marker=style["marker"], linestyle="", markersize=2.6)
        lines.append(line)
    for row in range(0, len(rows), 2):
        axes.axhspan(row - 0.5, row + 0.5, color=WINDOW_COLOR, zorder=0, linewidth=0, alpha=0.6)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.margins(x=0.06)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
    axes.axvline(0.0, color="black", linewidth=0.6)
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)
    small_ticks(axes)
    depth = float(results["point_depth"].values[point])
    axes.set_title(f"depth {depth:g}", fontsize=TEXT_SIZE)
    return lines


def _draw_distances(axes: Axes, distances: np.ndarray):
    """Draw the matrix with its numbers; rows and columns are numbered as the fingerprints are."""
    finite = distances[np.isfinite(distances)]
    top = float(finite.max(initial=0.0)) or 1.0
    mesh = draw_heat(axes, distances, (0.0, top), AMOUNT_MAP)
    count = len(distances)
    if not len(finite):
        mark_empty(axes)
    for (row, column), value in np.ndenumerate(distances):
        if count <= _MOST_WITH_NUMBERS and np.isfinite(value):
            color = "black" if value > 0.55 * top else "white"
            text = {"ha": "center", "va": "center", "fontsize": TINY_TEXT_SIZE, "color": color}
            axes.text(column, row, f"{value:.0f}", **text)
    for axis in (axes.xaxis, axes.yaxis):
        places = range(0, count, -(-count // _MOST_WITH_NUMBERS))
        axis.set_ticks(places, [str(place + 1) for place in places])
    axes.set_title("distance between fingerprints\n(percentage points)", fontsize=TEXT_SIZE)
    small_ticks(axes)
    return mesh
