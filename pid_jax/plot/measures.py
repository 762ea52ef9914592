"""BROJA beside MMI: what the choice of the measure does to the same estimates."""

import xarray as xr
from matplotlib.figure import Figure

from pid_jax.plot.lines import draw_atoms, value_limits
from pid_jax.plot.quantities import ATOMS, MEASURE_NAMES, atom_labels, check_model, measure_name
from pid_jax.plot.style import (
    add_legend,
    figure_style,
    label_row,
    new_panels,
    panel_title,
    set_layer_limits,
    with_margins,
)


def plot_measures(results: xr.Dataset, *, unit: str = "bits") -> Figure:
    """Plot the baseline's atoms under both measures: a row for every task, a column for every measure.

    MMI sets redundancy to the smaller of I_1 and I_2, and so one of the unique atoms to zero at every layer; BROJA
    lets both be positive.

    Args:
        results: one model of the dataset made by `pid_jax.study`, with the measures "broja" and "mmi".
        unit: "bits" or "nats".

    Returns:
        A figure that is not registered anywhere.

    Raises:
        ValueError: one of the measures was not computed; otherwise see `check_model`.
    """
    for measure in MEASURE_NAMES:
        check_model(results, measure=measure, unit=unit)
    baseline = results.isel(condition=0).sel(measure=list(MEASURE_NAMES))
    with figure_style():
        figure, panels = new_panels(results.sizes["task"], len(MEASURE_NAMES))
        set_layer_limits(panels, results["layer"].values)
        for row, task in enumerate(results["task"].values):
            limits = value_limits(baseline.isel(task=row), ATOMS, unit)
            panels[row, 0].set_ylim(*with_margins(*limits))
            label_row(panels[row, 0], task, f"information ({unit})")
            for column, measure in enumerate(MEASURE_NAMES):
                lines = draw_atoms(panels[row, column], baseline.isel(task=row).sel(measure=measure), unit)
                title = f"{measure_name(measure)}, baseline" if row == 0 else ""
                panel_title(panels[row, column], len(MEASURE_NAMES), title)
        add_legend(figure, lines, list(atom_labels(results).values()))
    return figure
