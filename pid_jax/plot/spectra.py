"""How many directions of the target carry what only one source tells, layer by layer."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pid_jax.plot.heat import add_color_bar, draw_heat
from pid_jax.plot.lines import mark_empty
from pid_jax.plot.quantities import PER_NAT, atom_labels, check_results
from pid_jax.plot.style import AMOUNT_MAP, figure_style, label_row, new_panels, panel_title

SPECTRA = {"spectrum_1": "unique_1", "spectrum_2": "unique_2"}


def plot_spectra(results: xr.Dataset, *, unit: str = "bits") -> Figure:
    """Plot the spectra of the baseline's unique information: a row for every task, a column for every source.

    Directions are ordered by what they carry at each layer, so that a number is not the same direction at all layers.

    Args:
        results: one model of the dataset made by `pid_jax.study`.
        unit: "bits" or "nats".

    Returns:
        A figure that is not registered anywhere.

    Raises:
        ValueError: see `check_results`.
    """
    shown = [name for name in SPECTRA if name in results] or SPECTRA
    check_results(results, unit=unit, variables=shown, dimensions=("task", "condition", "layer"))
    values = {
        name: results[name].isel(condition=0).transpose("task", "direction", "layer").values * PER_NAT[unit]
        for name in shown
    }
    every = np.concatenate([one.ravel() for one in values.values()])
    top = float(every[np.isfinite(every)].max(initial=0.0)) or 1.0
    labels = atom_labels(results)
    with figure_style():
        figure, panels = new_panels(results.sizes["task"], len(shown), row_inches=1.2)
        for row, task in enumerate(results["task"].values):
            label_row(panels[row, 0], task, "direction (rank)")
            for column, name in enumerate(shown):
                axes = panels[row, column]
                mesh = draw_heat(axes, values[name][row], (0.0, top), AMOUNT_MAP, results["layer"].values)
                axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, min_n_ticks=1))
                axes.yaxis.set_major_formatter(lambda place, _: f"{place + 1:.0f}")
                if not np.isfinite(values[name][row]).any():
                    mark_empty(axes, results.isel(task=row, condition=0))
                panel_title(axes, len(shown), labels[SPECTRA[name]] if row == 0 else "")
        add_color_bar(figure, mesh, panels, f"information of a direction ({unit})")
    return figure
