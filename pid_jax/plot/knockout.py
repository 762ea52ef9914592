"""What a cut of attention does to the atoms: knockout against baseline, and the differences."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pid_jax.plot.lines import accuracy_text, draw_atom, mark_empty, row_label, shade_cut, value_limits
from pid_jax.plot.quantities import (
    ATOMS,
    PER_NAT,
    atom_labels,
    check_results,
    condition_labels,
    cut_window,
    tested_changes,
)
from pid_jax.plot.style import (
    ATOM_STYLES,
    BASELINE_STYLE,
    TOTAL_STYLE,
    add_legend,
    figure_style,
    new_panels,
    panel_title,
    set_layer_limits,
    with_margins,
)

_CHANGING = (*ATOMS, "i_12")


def plot_knockout(results: xr.Dataset, *, measure: str = "broja", unit: str = "bits") -> Figure:
    """Compare every cut with the baseline: two rows for every task, a column for every cut.

    The upper row shows the information unique to the first source, with the area between knockout and baseline filled;
    the lower row shows knockout minus baseline for the four atoms and I_12, with intervals as bands where the dataset
    holds tested differences.

    Args:
        results: the dataset made by `pid_jax.study`, with at least one condition after the baseline.
        measure: which measure to show.
        unit: "bits" or "nats".

    Returns:
        A figure that is not registered anywhere.

    Raises:
        ValueError: there is no condition but the baseline; otherwise see `check_results`.
    """
    check_results(results, measure=measure, unit=unit, variables=(*_CHANGING, "accuracy"))
    if results.sizes["condition"] < 2:
        got = [str(name) for name in results["condition"].values]
        raise ValueError(f"results must hold a knockout besides the baseline, got {got}; add a cut or leave it out")
    shown = results.sel(measure=measure)
    tested = tested_changes(results, measure)
    changes = shown[list(_CHANGING)] - shown[list(_CHANGING)].isel(condition=0) if tested is None else tested
    cuts, titles = range(1, results.sizes["condition"]), condition_labels(results)
    with figure_style():
        figure, panels = new_panels(2 * results.sizes["task"], len(cuts), row_inches=1.5)
        set_layer_limits(panels, results["layer"].values)
        for row in range(results.sizes["task"]):
            _label_rows(panels[2 * row : 2 * row + 2], shown.isel(task=row), changes.isel(task=row), unit)
            for column, condition in enumerate(cuts):
                upper, lower = panels[2 * row : 2 * row + 2, column]
                for axes in (upper, lower):
                    shade_cut(axes, cut_window(results, condition))
                pair = shown.isel(task=row, condition=[0, condition])
                before = _draw_pair(upper, pair, unit)
                lines = _draw_changes(lower, changes.isel(task=row, condition=condition), unit)
                panel_title(upper, len(cuts), titles[condition] * (row == 0), _accuracy_change(results, row, condition))
        names = atom_labels(results)
        add_legend(figure, [*lines, before], [*names.values(), "Total I₁₂", f"{names['unique_1']}, baseline"])
    return figure


def _accuracy_change(results: xr.Dataset, task: int, condition: int) -> str:
    """Write the accuracy without and with the cut."""
    before = accuracy_text(results, task, 0)
    return f"{before} → {accuracy_text(results, task, condition).removeprefix('accuracy ')}"


def _label_rows(pair: np.ndarray, task: xr.Dataset, changes: xr.Dataset, unit: str) -> None:
    """Set limits and axis labels of the two rows of a task."""
    upper, lower = pair[:, 0]
    upper.set_ylim(*with_margins(*value_limits(task, ("unique_1",), unit)))
    upper.set_ylabel(row_label(task["task"].item(), f"{atom_labels(task)['unique_1']}\n({unit})"))
    lower.set_ylim(*with_margins(*value_limits(changes, _CHANGING, unit)))
    behind = f", {changes.attrs['behind']}" if "behind" in changes.attrs else ""
    lower.set_ylabel(row_label(task["task"].item(), f"cut − baseline\n({unit}{behind})"))


def _draw_pair(axes: Axes, pair: xr.Dataset, unit: str) -> Line2D:
    """Draw the first source's unique information with and without the cut, and fill what lies between."""
    baseline, cut = pair.isel(condition=0), pair.isel(condition=1)
    values = [one["unique_1"].values * PER_NAT[unit] for one in (baseline, cut)]
    if not np.isfinite(values[1]).any():
        mark_empty(axes)
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
