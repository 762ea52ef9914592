"""The atoms behind several maps to latents, side by side: what the choice of the map does."""

import xarray as xr
from matplotlib.figure import Figure

from pid_jax.plot.lines import draw_atoms, value_limits
from pid_jax.plot.quantities import ATOMS, MAP_NAMES, atom_labels, check_model, compared_atoms, names_of
from pid_jax.plot.style import (
    add_legend,
    figure_style,
    label_row,
    new_panels,
    panel_title,
    set_layer_limits,
    with_margins,
)


def plot_gaussianizers(results: xr.Dataset, *, unit: str = "bits") -> Figure:
    """Plot the baseline's atoms behind every map that was compared: a row for every task, a column for every map.

    Args:
        results: one model of the dataset made by `pid_jax.study`, with several maps.
        unit: "bits" or "nats".

    Returns:
        A figure that is not registered anywhere.

    Raises:
        ValueError: no maps were compared; otherwise see `check_model`.
    """
    check_model(results, unit=unit, variables=[f"compared_{atom}" for atom in ATOMS])
    baseline = compared_atoms(results).isel(condition=0)
    names = names_of(results, "gaussianizer")
    with figure_style():
        figure, panels = new_panels(results.sizes["task"], len(names))
        set_layer_limits(panels, results["layer"].values)
        for row, task in enumerate(results["task"].values):
            limits = value_limits(baseline.isel(task=row), ATOMS, unit)
            panels[row, 0].set_ylim(*with_margins(*limits))
            label_row(panels[row, 0], task, f"information ({unit})")
            for column, name in enumerate(names):
                lines = draw_atoms(panels[row, column], baseline.isel(task=row, gaussianizer=column), unit)
                panel_title(panels[row, column], len(names), MAP_NAMES.get(name, name) if row == 0 else "")
        add_legend(figure, lines, list(atom_labels(results).values()))
    return figure
