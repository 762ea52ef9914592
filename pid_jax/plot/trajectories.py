"""The four atoms layer by layer: under every condition, by every measure, and with every Gaussianizer."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from pid_jax.estimate.gaussianize import label_of
from pid_jax.plot.lines import accuracy_text, draw_atoms, draw_entropy, shade_cut, value_limits
from pid_jax.plot.quantities import (
    ATOMS,
    atom_labels,
    check_results,
    condition_labels,
    cut_window,
    default_measure,
    entropy_of,
    information_label,
    left_out,
    measure_name,
    names_of,
    shown_conditions,
)
from pid_jax.plot.style import (
    ENTROPY_LABEL,
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
        measure: which measure to show; the first if not given.
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
    columns = [(label, shown.isel(condition=[c])) for c, label in enumerate(condition_labels(shown))]
    return _plot_columns(columns, unit, has_accuracy=True, note=left_out(results, places))


def plot_measures(results: xr.Dataset, *, unit: str = "bits") -> Figure:
    """Plot the baseline's atoms under every measure: a row for every task, a column for every measure.

    MMI sets redundancy to the smaller of I_1 and I_2, and so one of the unique atoms to zero at every layer; BROJA
    lets both be positive.

    Args:
        results: one model of the dataset made by `pid_jax.study`, with several measures.
        unit: "bits" or "nats".

    Returns:
        A figure that is not registered anywhere.

    Raises:
        ValueError: there is one measure only; otherwise see `check_results`.
    """
    check_results(results, unit=unit)
    measures = names_of(results, "measure")
    if len(measures) < 2:
        raise ValueError(f"results must hold several measures, got {measures}; plot one with plot_trajectories")
    baseline = results.isel(condition=[0])
    return _plot_columns([(f"{measure_name(m)}, baseline", baseline.sel(measure=m)) for m in measures], unit)


def plot_gaussianizers(results: xr.Dataset, *, unit: str = "bits") -> Figure:
    """Plot the baseline's atoms with every Gaussianizer that was compared: a row for every task, a column for each.

    Args:
        results: one model of the dataset made by `pid_jax.study`, with several Gaussianizers.
        unit: "bits" or "nats".

    Returns:
        A figure that is not registered anywhere.

    Raises:
        ValueError: no Gaussianizers were compared; otherwise see `check_results`.
    """
    check_results(results, unit=unit, variables=[f"compared_{atom}" for atom in ATOMS])
    baseline = results[[f"compared_{atom}" for atom in ATOMS]].rename({f"compared_{atom}": atom for atom in ATOMS})
    names = names_of(results, "gaussianizer")
    columns = [(label_of(n), baseline.isel(gaussianizer=i, condition=[0])) for i, n in enumerate(names)]
    return _plot_columns(columns, unit)


def _plot_columns(
    columns: Sequence[tuple[str, xr.Dataset]], unit: str, *, has_accuracy: bool = False, note: str = ""
) -> Figure:
    """Plot atoms over the layers, a row for every task, in columns with titles that hold one condition each."""
    _, first = columns[0]
    with figure_style():
        figure, panels = new_panels(first.sizes["task"], len(columns))
        set_layer_limits(panels, first["layer"].values)
        entropy = None
        for row, task in enumerate(first["task"].values):
            ends = [value_limits(one.isel(task=row), ATOMS, unit) for _, one in columns]
            highest = np.nanmax(
                [*(high for _, high in ends), *(entropy_of(one.isel(task=row), unit) for _, one in columns)]
            )
            panels[row, 0].set_ylim(*with_margins(min(low for low, _ in ends), float(highest)))
            label_row(panels[row, 0], task, information_label(first, unit))
            for axes, (title, one) in zip(panels[row], columns, strict=True):
                accuracy = accuracy_text(one, row, 0) if has_accuracy else ""
                shade_cut(axes, cut_window(one, 0))
                lines = draw_atoms(axes, one.isel(task=row, condition=0), unit)
                entropy = draw_entropy(axes, one.isel(task=row, condition=0), unit) or entropy
                panel_title(axes, len(columns), title if row == 0 else "", accuracy)
        handles, names = lines, list(atom_labels(first).values())
        if entropy is not None:
            handles, names = [*lines, entropy], [*names, ENTROPY_LABEL]
        add_legend(figure, handles, names)
        add_note(figure, note)
    return figure
