"""The four atoms layer by layer, for every task and condition."""

import xarray as xr
from matplotlib.figure import Figure

from pid_jax.plot.lines import accuracy_text, draw_atoms, shade_cut, value_limits
from pid_jax.plot.quantities import ATOMS, atom_labels, check_results, condition_labels, cut_window, default_measure
from pid_jax.plot.selection import left_out, shown_conditions
from pid_jax.plot.style import (
    add_legend,
    add_note,
    figure_style,
    label_row,
    new_panels,
    panel_title,
    set_layer_limits,
    with_margins,
)


def plot_trajectories(results: xr.Dataset, *, measure: str | None = None, unit: str = "bits") -> Figure:
    """Plot the atoms over the layers: a row for every task, a column for every condition.

    Intervals are drawn as bands if the dataset holds them. Missing values leave gaps. Where there are more conditions
    than fit side by side, the baseline and the widest cut of each set of edges are shown: choose others with
    `results.sel(condition=[...])`.

    Args:
        results: one model of the dataset made by `pid_jax.study`.
        measure: which measure to show; BROJA if it was computed, else the first.
        unit: "bits" or "nats".

    Returns:
        A figure that is not registered anywhere: save it with `figure.savefig`.

    Raises:
        ValueError: see `check_results`.
    """
    check_results(results, measure=measure, unit=unit, variables=(*ATOMS, "accuracy"))
    measure = default_measure(results) if measure is None else measure
    places = shown_conditions(results)
    shown = results.isel(condition=places).sel(measure=measure)
    conditions = condition_labels(shown)
    with figure_style():
        figure, panels = new_panels(results.sizes["task"], len(conditions))
        set_layer_limits(panels, results["layer"].values)
        for row, task in enumerate(results["task"].values):
            panels[row, 0].set_ylim(*with_margins(*value_limits(shown.isel(task=row), ATOMS, unit)))
            label_row(panels[row, 0], task, f"information ({unit})")
            for column, label in enumerate(conditions):
                axes = panels[row, column]
                shade_cut(axes, cut_window(shown, column))
                lines = draw_atoms(axes, shown.isel(task=row, condition=column), unit)
                panel_title(axes, len(conditions), label if row == 0 else "", accuracy_text(shown, row, column))
        add_legend(figure, lines, list(atom_labels(results).values()))
        add_note(figure, left_out(results, places))
    return figure
