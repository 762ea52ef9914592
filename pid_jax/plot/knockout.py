"""What a cut of attention does to the atoms: knockout against baseline, and the differences."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pid_jax.plot.lines import NO_BREAK, accuracy_text, draw_atom, mark_empty, shade_cut, value_limits
from pid_jax.plot.quantities import (
    ATOMS,
    MOST_CUTS,
    PER_NAT,
    atom_labels,
    check_results,
    condition_labels,
    cut_window,
    default_measure,
    left_out,
    names_of,
    shown_conditions,
    tested_changes,
)
from pid_jax.plot.style import (
    ATOM_STYLES,
    BASELINE_STYLE,
    TOTAL_STYLE,
    add_legend,
    add_note,
    figure_style,
    label_row,
    new_panels,
    panel_title,
    set_layer_limits,
    with_margins,
)

_CHANGING = (*ATOMS, "i_12")
# Two vertical axes in a row take the width of more than half a panel.
_LABEL_COLUMNS = 0.6


def plot_knockout(results: xr.Dataset, *, measure: str | None = None, unit: str = "bits") -> Figure:
    """Compare cuts with the baseline: a row for every task, and two panels for every cut.

    The panels to the left show the information unique to the first source, with the area between knockout and baseline
    filled; those to the right show knockout minus baseline for the four atoms and I_12, with intervals as bands where
    the dataset holds tested differences. Two cuts fit side by side; where there are more, they are chosen as in
    `plot_trajectories`.

    Args:
        results: one model of the dataset made by `pid_jax.study`, with at least one condition after the baseline.
        measure: which measure to show; the first if not given.
        unit: "bits" or "nats".

    Returns:
        A figure that is not registered anywhere.

    Raises:
        ValueError: there is no condition but the baseline; otherwise see `check_results`.
    """
    check_results(results, measure=measure, unit=unit, variables=(*_CHANGING, "accuracy"))
    measure = default_measure(results) if measure is None else measure
    if results.sizes["condition"] < 2:
        got = names_of(results, "condition")
        raise ValueError(f"results must hold a knockout besides the baseline, got {got}; add a cut or leave it out")
    places = shown_conditions(results, most=1 + MOST_CUTS)
    shown = results.isel(condition=places).sel(measure=measure)
    tested = tested_changes(results.isel(condition=places), measure)
    changes = shown[list(_CHANGING)] - shown[list(_CHANGING)].isel(condition=0) if tested is None else tested
    cuts = len(places) - 1
    with figure_style():
        figure, panels = new_panels(results.sizes["task"], 2 * cuts, groups=2)
        set_layer_limits(panels, results["layer"].values)
        for row in range(results.sizes["task"]):
            _label_row(panels[row, 0], panels[row, cuts], shown.isel(task=row), changes.isel(task=row), unit)
            for cut in range(1, cuts + 1):
                left, right = panels[row, cut - 1], panels[row, cuts + cut - 1]
                for axes in (left, right):
                    shade_cut(axes, cut_window(shown, cut))
                before = _draw_pair(left, shown.isel(task=row, condition=[0, cut]), unit)
                lines = _draw_changes(right, changes.isel(task=row, condition=cut), unit)
                title = condition_labels(shown)[cut] * (row == 0)
                panel_title(left, 2 * cuts + _LABEL_COLUMNS, title, _accuracy_change(shown, row, cut))
                panel_title(right, 2 * cuts + _LABEL_COLUMNS, title)
        names = atom_labels(results)
        add_legend(figure, [*lines, before], [*names.values(), "Total I₁₂", f"{names['unique_1']}, baseline"])
        add_note(figure, left_out(results, places))
    return figure


def _accuracy_change(shown: xr.Dataset, task: int, condition: int) -> str:
    """Write the accuracy without and with the cut."""
    before = accuracy_text(shown, task, 0).removesuffix(NO_BREAK + "%")
    return f"{before} → {accuracy_text(shown, task, condition).removeprefix('accuracy ')}"


def _label_row(left: Axes, right: Axes, task: xr.Dataset, changes: xr.Dataset, unit: str) -> None:
    """Set limits and labels of the two vertical axes of a task."""
    left.set_ylim(*with_margins(*value_limits(task, ("unique_1",), unit)))
    label_row(left, task["task"].item(), f"{atom_labels(task)['unique_1']} ({unit})")
    right.set_ylim(*with_margins(*value_limits(changes, _CHANGING, unit)))
    label_row(right, "cut − baseline", f"({unit})")


def _draw_pair(axes: Axes, pair: xr.Dataset, unit: str) -> Line2D:
    """Draw the first source's unique information with and without the cut, and fill what lies between."""
    baseline, cut = pair.isel(condition=0), pair.isel(condition=1)
    values = [one["unique_1"].values * PER_NAT[unit] for one in (baseline, cut)]
    if not np.isfinite(values[1]).any():
        mark_empty(axes, cut)
    color = ATOM_STYLES["unique_1"]["color"]
    axes.fill_between(cut["layer"].values, values[0], values[1], color=color, alpha=0.12, linewidth=0)
    before = draw_atom(axes, baseline, "unique_1", unit, BASELINE_STYLE)
    draw_atom(axes, cut, "unique_1", unit)
    return before


def _draw_changes(axes: Axes, changes: xr.Dataset, unit: str) -> list[Line2D]:
    """Draw knockout minus baseline for the atoms and their total."""
    axes.axhline(0.0, color="black", linewidth=0.6)
    lines = [draw_atom(axes, changes, name, unit, ATOM_STYLES.get(name, TOTAL_STYLE)) for name in _CHANGING]
    if not any(np.isfinite(line.get_ydata()).any() for line in lines):
        mark_empty(axes)
    return lines
