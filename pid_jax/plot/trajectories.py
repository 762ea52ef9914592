"""The four atoms layer by layer, for every task and condition."""

import xarray as xr
from matplotlib.figure import Figure

from pid_jax.plot.lines import accuracy_text, draw_atoms, row_label, shade_cut, value_limits
from pid_jax.plot.quantities import ATOMS, atom_labels, check_results, condition_labels, cut_window
from pid_jax.plot.style import add_legend, figure_style, new_panels, panel_title, set_layer_limits, with_margins


def plot_trajectories(results: xr.Dataset, *, measure: str = "broja", unit: str = "bits") -> Figure:
    """Plot the atoms over the layers: a row for every task, a column for every condition.

    Intervals are drawn as bands if the dataset holds them. Missing values leave gaps.

    Args:
        results: the dataset made by `pid_jax.study`.
        measure: which measure to show.
        unit: "bits" or "nats".

    Returns:
        A figure that is not registered anywhere: save it with `figure.savefig`.

    Raises:
        ValueError: see `check_results`.
    """
    check_results(results, measure=measure, unit=unit, variables=(*ATOMS, "accuracy"))
    shown = results.sel(measure=measure)
    conditions = condition_labels(results)
    with figure_style():
        figure, panels = new_panels(results.sizes["task"], len(conditions))
        set_layer_limits(panels, results["layer"].values)
        for row, task in enumerate(results["task"].values):
            panels[row, 0].set_ylim(*with_margins(*value_limits(shown.isel(task=row), ATOMS, unit)))
            panels[row, 0].set_ylabel(row_label(task, f"information ({unit})"))
            for column, label in enumerate(conditions):
                axes = panels[row, column]
                shade_cut(axes, cut_window(results, column))
                lines = draw_atoms(axes, shown.isel(task=row, condition=column), unit)
                panel_title(axes, len(conditions), label if row == 0 else "", accuracy_text(results, row, column))
        add_legend(figure, lines, list(atom_labels(results).values()))
    return figure
