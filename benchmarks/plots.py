"""Plots of the benchmark page, in the style of the other figures of pid_jax."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.peers import Results, peers_of
from pid_jax.plot.style import (
    BASELINE_STYLE,
    NOTE_COLOR,
    SMALL_TEXT_SIZE,
    TWO_COLUMN_INCHES,
    add_legend,
    figure_style,
    series_style,
    small_ticks,
)

GRID_LOOK = {"color": "#E3E3E3", "linewidth": 0.6, "zorder": 0}
ROW_INCHES, PANEL_INCHES = 0.185, 3.0
AXES_OF_SCALING = {"layers": "Layers", "samples": "Samples", "dims": "Dims"}
TICKS = {"layers": (1, 8, 64, 1024), "samples": (1_000, 10_000, 100_000, 1_000_000), "dims": (2, 8, 32, 128)}
FLOOR_STYLE: dict[str, Any] = {"color": NOTE_COLOR, "linestyle": (0, (2, 1.5)), "linewidth": 0.9}
AXIS_LABELS = {"layers": "layers", "samples": "samples", "dims": "dims of each variable"}
ESTIMATORS = ("raw", "copula", "flow", "KSG", "MINE", "InfoNCE")


def plot_peers(results: Results) -> Figure:
    """Show the CPU time of pid_jax as a multiple of that of every peer."""
    rows = [(peer.label, peer.times) for peer in peers_of(results)]
    figure = Figure(figsize=(TWO_COLUMN_INCHES, ROW_INCHES * len(rows) + 0.7), layout="constrained")
    axes = figure.subplots()
    style = series_style(0)
    for place, (_, times) in enumerate(rows):
        axes.plot([1, times], [place, place], color=style["color"], linewidth=1.2, alpha=0.35)
        axes.plot(times, place, color=style["color"], marker=style["marker"], markersize=4.5)
        is_right = times >= 1
        axes.annotate(
            f"{times:.2g}",
            (times, place),
            xytext=(5 if is_right else -5, 0),
            textcoords="offset points",
            ha="left" if is_right else "right",
            va="center",
            fontsize=SMALL_TEXT_SIZE,
        )
    axes.axvline(1, **{**BASELINE_STYLE, "linewidth": 0.9, "linestyle": "-"})
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.invert_yaxis()
    axes.set_xscale("log")
    low, high = min(times for _, times in rows), max(times for _, times in rows)
    axes.set_xlim(low / 4, max(high, 1) * 2.5)
    axes.set_xlabel("CPU time of pid_jax / that of the other")
    axes.spines["left"].set_visible(False)
    _log_axis(axes, "x")
    small_ticks(axes)
    axes.tick_params(axis="y", length=0)
    return figure


def plot_scaling(results: Results) -> Figure:
    """Show the cost over layers, samples and dims, and the least that it could be."""
    found = results["scaling"]
    figure = Figure(figsize=(TWO_COLUMN_INCHES, PANEL_INCHES), layout="constrained")
    panels = figure.subplots(1, len(AXES_OF_SCALING), sharey=True)
    tables = {axis: found.table(title) for axis, title in AXES_OF_SCALING.items()}
    ways = list(dict.fromkeys(row["way"] for rows in tables.values() for row in rows))
    handles: dict[str, Any] = {}
    for axes, (axis, rows) in zip(panels, tables.items(), strict=True):
        for place, way in enumerate(ways):
            own = [row for row in rows if row["way"] == way]
            if not own:
                continue
            style = {**series_style(place), "linestyle": "-"}
            x = [row[axis] for row in own]
            (handles[way],) = axes.plot(x, [row["CPU ms"] / 1e3 for row in own], **style)
            axes.plot(x, [row["floor ms"] / 1e3 for row in own], **{**FLOOR_STYLE, "color": style["color"]})
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(AXIS_LABELS[axis])
        axes.set_xticks(TICKS[axis], [f"{tick:,}" for tick in TICKS[axis]])
        axes.minorticks_off()
        _log_axis(axes, "y")
        small_ticks(axes)
    panels[0].set_ylabel("CPU seconds")
    handles["floor of each"] = Line2D([], [], **FLOOR_STYLE)
    names = [*ways, "floor of each"]
    add_legend(figure, [handles[name] for name in names], names)
    return figure


def plot_accuracy(results: Results) -> Figure:
    """Show the errors of estimators of mutual information, on tasks where it is known."""
    rows = results["known_information"].table("Mean absolute error")
    figure = Figure(figsize=(TWO_COLUMN_INCHES, PANEL_INCHES), layout="constrained")
    axes = figure.subplots()
    handles = []
    for place, name in enumerate(ESTIMATORS):
        # Beside each other, so that marks do not lie on one another.
        x = [at + 0.11 * (place - (len(ESTIMATORS) - 1) / 2) for at in range(len(rows))]
        style = {**series_style(place), "linestyle": "", "markersize": 4.5}
        handles += axes.plot(x, [row[name] for row in rows], **style)
    for edge in range(1, len(rows)):
        axes.axvline(edge - 0.5, **GRID_LOOK)
    axes.set_xticks(range(len(rows)), [f"{row['dims']}\n{row['tasks']} tasks" for row in rows])
    axes.set_yscale("log")
    axes.set_ylabel("mean absolute error in nats")
    _log_axis(axes, "y")
    small_ticks(axes)
    axes.tick_params(axis="x", length=0)
    add_legend(figure, handles, [_ESTIMATOR_NAMES.get(name, name) for name in ESTIMATORS])
    return figure


_ESTIMATOR_NAMES = {"raw": "pid_jax, raw", "copula": "pid_jax, copula", "flow": "pid_jax, flow"}
PLOTS: dict[str, Callable[[Results], Figure]] = {
    "peers": plot_peers,
    "scaling": plot_scaling,
    "accuracy": plot_accuracy,
}


def _log_axis(axes: Axes, which: str) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x" if which == "x" else "y", which="major", **GRID_LOOK)
    axes.set_axisbelow(True)


def digest(results: Results) -> str:
    """Tell results apart: an image carries this, so that it can be found out whether it is of these numbers."""
    peers = [(peer.label, peer.times) for peer in peers_of(results)]
    plotted = [peers, *(results[name].tables for name in ("scaling", "known_information"))]
    return hashlib.sha256(json.dumps(plotted, sort_keys=True).encode()).hexdigest()[:16]


def write_plots(results: Results, folder: Path) -> None:
    """Write all plots; the same numbers give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    described: dict[str, Any] = {"Date": None, "Creator": None, "Description": digest(results)}
    for name, plot in PLOTS.items():
        with figure_style(), rc_context({"svg.hashsalt": "pid_jax"}):
            plot(results).savefig(folder / f"{name}.svg", metadata=described, dpi=200)
