"""The same atoms in all models, over depth: whether variants agree."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from pid_jax.plot.lines import draw_line, mark_empty, value_limits
from pid_jax.plot.quantities import (
    ATOMS,
    CELLS,
    PER_NAT,
    atom_labels,
    check_results,
    default_measure,
    has_intervals,
    information_label,
    names_of,
)
from pid_jax.plot.style import (
    add_legend,
    add_note,
    figure_style,
    label_row,
    new_panels,
    panel_title,
    series_style,
    with_margins,
)


def plot_models(results: xr.Dataset, *, measure: str | None = None, unit: str = "bits") -> Figure:
    """Lay the models' baselines over each other: a row for every task, a column for every atom.

    Bands are the intervals of the estimates, where there are any. Titles hold the correlation of trajectories over
    depth, with more than two models the least of a pair.

    Args:
        results: the dataset made by `pid_jax.study`, with several models.
        measure: which measure to show; the first if not given.
        unit: "bits" or "nats".

    Returns:
        A figure that is not registered anywhere.

    Raises:
        ValueError: there is one model only; otherwise see `check_results`.
    """
    check_results(results, measure=measure, unit=unit, dimensions=("model", *CELLS))
    measure = default_measure(results) if measure is None else measure
    models = names_of(results, "model")
    if len(models) < 2:
        raise ValueError(f"results must hold several models, got {models}; plot one with plot_trajectories")
    shown = results.isel(condition=0).sel(measure=measure)
    with figure_style():
        figure, panels = new_panels(results.sizes["task"], len(ATOMS), row_inches=1.5)
        for row, task in enumerate(results["task"].values):
            panels[row, 0].set_ylim(*with_margins(*value_limits(shown.isel(task=row), ATOMS, unit)))
            label_row(panels[row, 0], task, information_label(results, unit))
            for column, (atom, label) in enumerate(atom_labels(results).items()):
                axes = panels[row, column]
                lines = [_draw_model(axes, shown.isel(task=row, model=m), atom, unit, m) for m in range(len(models))]
                if not any(np.isfinite(line.get_ydata()).any() for line in lines):
                    mark_empty(axes)
                panel_title(axes, len(ATOMS), label * (row == 0), correlation_text(results, row, atom))
        for axes in panels.flat:
            axes.set_xlim(-0.04, 1.04)
            axes.xaxis.set_major_locator(FixedLocator([0.0, 0.25, 0.5, 0.75, 1.0]))
            axes.xaxis.set_major_formatter("{x:g}")
        for axes in panels[-1]:
            axes.set_xlabel("depth (layer / last)")
        add_legend(figure, lines, models)
        level = 100 * float(results.attrs.get("interval_level", "nan"))
        add_note(figure, f"Bands: {level:g} % intervals of each layer." if has_intervals(results) else "")
    return figure


def _draw_model(axes: Axes, cell: xr.Dataset, atom: str, unit: str, place: int) -> Line2D:
    """Draw one atom of one model over depth."""
    inside = cell.isel(layer=np.flatnonzero(np.isfinite(cell["depth"].values)))
    return draw_line(axes, inside["depth"].values, inside, atom, PER_NAT[unit], series_style(place))


def correlation_text(results: xr.Dataset, task: int, atom: str) -> str:
    """Write the correlation between models for an atom, of the pair that agrees least."""
    if "model_correlation" not in results:
        return ""
    cell = results[["model_correlation", "model_correlation_lower", "model_correlation_upper"]].isel(task=task)
    cell = cell.sel(atom=atom)
    pairs = np.triu_indices(results.sizes["model"], 1)
    value, lower, upper = (cell[name].transpose("model", "model_2").values[pairs] for name in cell)
    if not np.isfinite(value).any():
        return "r not available"
    least = np.nanargmin(value)
    sign = "=" if len(value) == 1 else "≥"
    return f"r {sign} {value[least]:.2f} ({lower[least]:.2f} to {upper[least]:.2f})".replace("-", "−")
