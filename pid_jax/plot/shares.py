"""How the total information divides among the four atoms, layer by layer."""

from collections.abc import Mapping

import matplotlib.patheffects as effects
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pid_jax.pid.atoms import LEAST_INFORMATION
from pid_jax.plot.chance import CHANCE_NOTE, draw_chance_in_stack, has_chance
from pid_jax.plot.lines import accuracy_text, mark_empty, value_limits
from pid_jax.plot.quantities import (
    ATOMS,
    PER_NAT,
    atom_labels,
    check_results,
    condition_labels,
    default_measure,
    left_out,
    shares_of_total,
    shown_conditions,
)
from pid_jax.plot.style import (
    ATOM_STYLES,
    FEWEST_LAYERS_WITHOUT_MARKERS,
    SMALL_TEXT_SIZE,
    TOTAL_STYLE,
    add_legend,
    add_note,
    figure_style,
    label_row,
    marker_for,
    new_panels,
    panel_title,
    set_layer_limits,
)

# The atom at the bottom of a stack is the easiest to compare over layers: that is the first source's own information.
STACKING_ORDER = ("unique_1", "redundancy", "unique_2", "synergy")
# Shares closer to zero than this are below the width of a line and get no remark.
_VISIBLE_SHARE = 0.1


def plot_shares(results: xr.Dataset, *, measure: str | None = None) -> Figure:
    """Plot the atoms as percentages of I_12, stacked: a row for every task, a column for every condition.

    Estimates may be negative. They are stacked downward from zero, so that the bar above zero then exceeds 100 % by as
    much; nothing is clipped, and a remark says so. A layer without estimates, or with an I_12 too small to be divided
    by, has no bar. The line is I_12 itself, on the axis to the right. Conditions are chosen as in `plot_trajectories`.

    By the measure that is tested, triangles in the bars of the baseline mark parts that are larger (upward) or smaller
    (downward) than in the middle 90 % of random systems of the same size, spectra and information.

    Args:
        results: one model of the dataset made by `pid_jax.study`.
        measure: which measure to show; the first if not given.

    Returns:
        A figure that is not registered anywhere.

    Raises:
        ValueError: see `check_results`.
    """
    check_results(results, measure=measure, variables=(*ATOMS, "i_12", "accuracy"))
    measure = default_measure(results) if measure is None else measure
    places = shown_conditions(results)
    shown = results.isel(condition=places).sel(measure=measure)
    conditions = condition_labels(shown)
    with figure_style():
        figure, panels = new_panels(results.sizes["task"], len(conditions))
        set_layer_limits(panels, results["layer"].values, margin=0.6)
        for row, task in enumerate(results["task"].values):
            label_row(panels[row, 0], task, "share of I₁₂ (%)")
            limits = _share_limits(shown.isel(task=row))
            panels[row, 0].set_ylim(*limits)
            _, largest_total = value_limits(shown.isel(task=row), ("i_12",), "bits")
            for column, label in enumerate(conditions):
                axes = panels[row, column]
                cell = shown.isel(task=row, condition=column)
                handles, parts = _draw_stack(axes, cell)
                if places[column] == 0 and _is_marked(results, measure):
                    draw_chance_in_stack(axes, cell, parts)
                total = _draw_total(axes, cell, 1.1 * largest_total or 1.0, limits, column == len(conditions) - 1)
                panel_title(axes, len(conditions), label if row == 0 else "", accuracy_text(shown, row, column))
        labels = atom_labels(results)
        add_legend(figure, [*handles, total], [*(labels[atom] for atom in STACKING_ORDER), "Total I₁₂ (right axis)"])
        marks = ""
        if _is_marked(results, measure):
            marks = f"△ larger, ▽ smaller than in the middle {CHANCE_NOTE} (baseline)."
        add_note(figure, " ".join(filter(None, (_remark(shown), left_out(results, places), marks))))
    return figure


def _is_marked(results: xr.Dataset, measure: str) -> bool:
    """Return whether shares by this measure were compared with chance."""
    return has_chance(results) and str(results.attrs.get("tested_measure", measure)) == measure


def _share_limits(row: xr.Dataset) -> tuple[float, float]:
    """Find limits that hold the largest stack above and below zero."""
    shares = np.stack([*shares_of_total(row).values()])
    above = np.nansum(np.maximum(shares, 0.0), axis=0).max()
    below = np.nansum(np.minimum(shares, 0.0), axis=0).min()
    return (1.05 * float(below) if below < -_VISIBLE_SHARE else 0.0), max(100.0, 1.02 * float(above))


def _draw_stack(axes: Axes, cell: xr.Dataset) -> tuple[list[BarContainer], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Stack shares, and return the bars, and lower ends and heights of the parts, NaN where there is none."""
    shares = shares_of_total(cell)
    tops = np.cumsum([np.maximum(np.nan_to_num(shares[atom]), 0) for atom in STACKING_ORDER], axis=0)
    bottoms = [np.zeros_like(tops[0]), *tops[:-1]]
    parts = {atom: (bottom, shares[atom]) for atom, bottom in zip(STACKING_ORDER, bottoms, strict=True)}
    bars = stack_atoms(axes, cell["layer"].values, shares)
    if not np.isfinite(np.stack([*shares.values()])).any():
        mark_empty(axes, cell)
    return bars, parts


def stack_atoms(axes: Axes, layers: np.ndarray, values: Mapping[str, np.ndarray]) -> list[BarContainer]:
    """Stack positive values upward and negative ones downward from zero.

    Args:
        axes: where to draw.
        layers: places of the bars.
        values: heights by atom; NaN leaves a gap.

    Returns:
        The bars by atom, for the legend, in the order `STACKING_ORDER`.
    """
    above, below = np.zeros(len(layers)), np.zeros(len(layers))
    is_dense = len(layers) >= FEWEST_LAYERS_WITHOUT_MARKERS  # bars without gaps, and without seams between them
    look = {"width": 1.0 if is_dense else 0.86, "antialiased": not is_dense, "linewidth": 0}
    bars = []
    for atom in STACKING_ORDER:
        value = np.nan_to_num(values[atom])
        bottom = np.where(value >= 0.0, above, below)
        bars.append(axes.bar(layers, value, bottom=bottom, color=ATOM_STYLES[atom]["color"], **look))
        above += np.maximum(value, 0.0)
        below += np.minimum(value, 0.0)
    axes.axhline(0.0, color="black", linewidth=0.6)
    return bars


def _draw_total(axes: Axes, cell: xr.Dataset, top: float, share_limits: tuple[float, float], is_last: bool) -> Line2D:
    """Draw I_12 on a second axis whose zero lies level with the zero of the shares."""
    twin = axes.twinx()
    twin.set_ylim(top * share_limits[0] / share_limits[1], top)
    twin.spines["right"].set_visible(is_last)
    twin.tick_params(right=is_last, labelright=is_last, labelsize=SMALL_TEXT_SIZE, width=0.6, length=2.5)
    twin.set_ylabel("total I₁₂ (bits)" if is_last else "")
    outline = [effects.Stroke(linewidth=2.6, foreground="white"), effects.Normal()]
    style = marker_for({**TOTAL_STYLE, "marker": "."}, cell.sizes["layer"])
    (line,) = twin.plot(cell["layer"].values, cell["i_12"].values * PER_NAT["bits"], path_effects=outline, **style)
    return line


def _remark(shown: xr.Dataset) -> str:
    """Say what the bars of this dataset cannot show by themselves."""
    shares = np.stack([*shares_of_total(shown).values()])
    remarks = []
    if np.nanmin(shares, initial=0.0) < -_VISIBLE_SHARE:
        remarks.append("Negative estimates are stacked below zero; the bar above zero exceeds 100 % by as much.")
    if not np.isfinite(shares).all():
        remarks.append(f"No bar: atoms not available, or I₁₂ below {LEAST_INFORMATION:g} nats.")
    return " ".join(remarks)
