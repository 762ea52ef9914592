"""The atoms of one condition estimated in several ways, side by side."""

from collections.abc import Mapping

import xarray as xr
from matplotlib.figure import Figure

from pid_jax.plot.lines import draw_atoms, value_limits
from pid_jax.plot.quantities import ATOMS, atom_labels
from pid_jax.plot.style import (
    add_legend,
    figure_style,
    label_row,
    new_panels,
    panel_title,
    set_layer_limits,
    with_margins,
)


def plot_columns(columns: Mapping[str, xr.Dataset], unit: str) -> Figure:
    """Plot atoms over the layers: a row for every task, a column for every way.

    Args:
        columns: atoms over task and layer, by the titles of the columns.
        unit: "bits" or "nats".
    """
    first = next(iter(columns.values()))
    with figure_style():
        figure, panels = new_panels(first.sizes["task"], len(columns))
        set_layer_limits(panels, first["layer"].values)
        for row, task in enumerate(first["task"].values):
            ends = [value_limits(one.isel(task=row), ATOMS, unit) for one in columns.values()]
            panels[row, 0].set_ylim(*with_margins(min(low for low, _ in ends), max(high for _, high in ends)))
            label_row(panels[row, 0], task, f"information ({unit})")
            for column, (title, one) in enumerate(columns.items()):
                lines = draw_atoms(panels[row, column], one.isel(task=row), unit)
                panel_title(panels[row, column], len(columns), title if row == 0 else "")
        add_legend(figure, lines, list(atom_labels(first).values()))
    return figure
