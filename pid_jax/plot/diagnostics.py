"""What tells whether the numbers can be trusted: reduction, certificate, status, and samples against dimensions."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pid_jax.plot.heat import edges_around
from pid_jax.plot.lines import mark_empty
from pid_jax.plot.quantities import check_results, condition_labels, default_measure
from pid_jax.plot.style import (
    ATOM_STYLES,
    BAND_OPACITY,
    SMALL_TEXT_SIZE,
    add_legend,
    figure_style,
    label_row,
    marker_for,
    new_panels,
    panel_title,
    set_layer_limits,
)

_KEPT = {
    "explained_variance_1": ATOM_STYLES["unique_1"],
    "explained_variance_2": ATOM_STYLES["unique_2"],
    "explained_variance_target": {"color": "#000000", "linestyle": (0, (1, 1.2)), "marker": "v"},
}
# A certificate of exactly zero has no place on a logarithmic axis.
_SMALLEST_GAP = 1e-18
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_STATUS_COLORS = ("#FFFFFF", "#D9EAF5", "#D55E00")
_STATUS_WORDS = ("not there", "estimated", "failed")


def plot_diagnostics(results: xr.Dataset, *, measure: str | None = None) -> Figure:
    """Plot what estimates rest on: a row for every task.

    To the left what the reduction kept of the variance, as a line for the baseline and a band over all conditions; in
    the middle the largest certificate gap of all conditions; to the right which estimates are there. Titles hold the
    number of samples, and how many there are for every dimension where these are known.

    Args:
        results: one model of the dataset made by `pid_jax.study`.
        measure: whose certificates and status are shown; those of the first if not given.

    Returns:
        A figure that is not registered anywhere.

    Raises:
        ValueError: see `check_results`.
    """
    check_results(results, measure=measure, variables=("gap", "status", "n_samples"))
    measure = default_measure(results) if measure is None else measure
    shown = results.sel(measure=measure)
    with figure_style():
        figure, panels = new_panels(results.sizes["task"], 3, row_inches=1.5, groups=3)
        set_layer_limits(panels, results["layer"].values, margin=0.5)
        for row, task in enumerate(results["task"].values):
            cell = shown.isel(task=row)
            lines = _draw_kept(panels[row, 0], cell)
            _draw_gap(panels[row, 1], cell)
            _draw_status(panels[row, 2], cell)
            label_row(panels[row, 0], task, "variance kept (%)")
            panels[row, 1].set_ylabel("gap (nats)")
            panels[row, 2].set_ylabel("condition")
            panel_title(panels[row, 0], 3, samples_text(results, row))
        for axes, title in zip(panels[0, 1:], ("Largest certificate gap", "Status"), strict=True):
            panel_title(axes, 3, title)
        patches = [Patch(facecolor=c, edgecolor="#6E6E6E", linewidth=0.5) for c in _STATUS_COLORS]
        marked = np.unique(_states(shown)).tolist()
        words = [f"{'✖ ' if word == 'failed' else ''}{word}" for word in _STATUS_WORDS]
        add_legend(figure, [*lines, *(patches[i] for i in marked)], [*_names(results), *(words[i] for i in marked)])
    return figure


def _names(results: xr.Dataset) -> list[str]:
    """Name the variables whose kept variance is known."""
    sources = [str(results.attrs.get(f"source_{k}_label", f"source {k}")) for k in (1, 2)]
    return [label for name, label in zip(_KEPT, (*sources, "prediction"), strict=True) if name in results]


def samples_text(results: xr.Dataset, task: int) -> str:
    """Write the number of samples of a task, and how many there are for every dimension if those are known."""
    count = float(results["n_samples"].values[task])
    if not np.isfinite(count) or count <= 0:
        return "number of samples not available"
    text = f"n = {count:.0f}"
    if "universe_dims" not in results.coords:
        return text
    dims = [int(d) for d in str(results["universe_dims"].values[0]).split(",") if d.strip().isdigit()]
    return f"{text}, {count / sum(dims):.0f} per dimension" if dims else text


def _draw_kept(axes: Axes, cell: xr.Dataset) -> list[Line2D]:
    """Draw the share of variance that the reduction kept."""
    layers, lines = cell["layer"].values, []
    for name, style in ((name, style) for name, style in _KEPT.items() if name in cell):
        values = 100 * cell[name].transpose("condition", "layer").values
        # Layers without a value in any condition give no band; fmin and fmax then return NaN and do not warn.
        lower, upper = np.fmin.reduce(values), np.fmax.reduce(values)
        axes.fill_between(layers, lower, upper, color=style["color"], alpha=BAND_OPACITY, linewidth=0)
        lines += axes.plot(layers, values[0], **marker_for(style, len(layers)))
    if not any(np.isfinite(line.get_ydata()).any() for line in lines):
        mark_empty(axes, cell.isel(condition=0))
    axes.set_ylim(0.0, 104.0)
    return lines


def _draw_gap(axes: Axes, cell: xr.Dataset) -> None:
    """Draw the largest certificate gap of all conditions on a logarithmic axis."""
    largest = np.fmax.reduce(np.abs(cell["gap"].transpose("condition", "layer").values))
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"10{f'{np.log10(value):.0f}'.translate(_SUPERSCRIPTS)}")
    axes.tick_params(labelsize=SMALL_TEXT_SIZE, which="major", width=0.6, length=2.5)
    axes.tick_params(which="minor", left=False)
    if not np.isfinite(largest).any():
        mark_empty(axes)
        axes.set_ylim(_SMALLEST_GAP, 1.0)
        return
    shown = np.maximum(largest, _SMALLEST_GAP)
    axes.plot(cell["layer"].values, shown, color="black", **marker_for({"marker": "."}, len(shown)))
    axes.set_ylim(min(1e-16, 0.3 * float(np.nanmin(shown))), max(1e-8, 3 * float(np.nanmax(shown))))


def _states(cells: xr.Dataset) -> np.ndarray:
    """Say of every estimate whether it is not there, there, or failed: 0, 1 or 2."""
    status = cells["status"].values
    states = np.select([status < 0, status == 0], [0, 1], 2)
    if "cell" in cells:
        failed = cells["cell"].broadcast_like(cells["status"]).transpose(*cells["status"].dims).values == "failed"
        states = np.where(failed, 2, states)
    return states


def _draw_status(axes: Axes, cell: xr.Dataset) -> None:
    """Draw whether estimates are there, by condition and layer; failures carry a cross."""
    states = _states(cell.transpose("condition", "layer", ...))
    rows = len(states)
    norm = BoundaryNorm([-0.5, 0.5, 1.5, 2.5], 3)
    layers = cell["layer"].values
    colors = ListedColormap(_STATUS_COLORS)
    sides = edges_around(layers), edges_around(np.arange(rows))
    axes.pcolormesh(*sides, states, cmap=colors, norm=norm, edgecolors="white", linewidth=0.3)
    failed = np.argwhere(states == 2)
    axes.scatter(layers[failed[:, 1]], failed[:, 0], marker="x", s=6, color="black", linewidths=0.6)
    axes.set_ylim(rows - 0.5, -0.5)
    step = -(-rows // 5)
    names = ["baseline" if i == 0 else str(i) for i in range(len(condition_labels(cell)))]
    axes.set_yticks(range(0, rows, step), names[::step])
