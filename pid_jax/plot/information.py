"""How much both sources tell about the answer, layer by layer: the atoms stacked, in bits, under the entropy."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pid_jax.plot.lines import accuracy_text, draw_entropy, mark_empty
from pid_jax.plot.quantities import (
    ATOMS,
    PER_NAT,
    atom_labels,
    check_results,
    condition_labels,
    default_measure,
    entropy_of,
    information_label,
    left_out,
    shown_conditions,
)
from pid_jax.plot.shares import STACKING_ORDER, stack_atoms
from pid_jax.plot.style import (
    ENTROPY_LABEL,
    TOTAL_STYLE,
    add_legend,
    add_note,
    figure_style,
    label_row,
    marker_for,
    new_panels,
    panel_title,
    set_layer_limits,
)

_NEGATIVE = "Negative estimates are stacked below zero."
# Amounts of bits closer to zero than this are below the width of a line.
_VISIBLE = 0.02


def plot_information(results: xr.Dataset, *, measure: str | None = None, unit: str = "bits") -> Figure:
    """Plot the atoms stacked: a row for every task, a column for every condition.

    The sum of a stack is I_12, the solid line; the dashed line is the entropy of the answer. Conditions are chosen as
    in `plot_trajectories`.

    Args:
        results: one model of the dataset made by `pid_jax.study`.
        measure: which measure to show; the first if not given.
        unit: "bits" or "nats".

    Returns:
        A figure that is not registered anywhere.

    Raises:
        ValueError: see `check_results`.
    """
    check_results(results, measure=measure, unit=unit, variables=(*ATOMS, "i_12", "accuracy"))
    measure = default_measure(results) if measure is None else measure
    places = shown_conditions(results)
    shown = results.isel(condition=places).sel(measure=measure)
    conditions = condition_labels(shown)
    entropy = None
    with figure_style():
        figure, panels = new_panels(results.sizes["task"], len(conditions))
        set_layer_limits(panels, results["layer"].values, margin=0.6)
        for row, task in enumerate(results["task"].values):
            label_row(panels[row, 0], task, information_label(results, unit))
            panels[row, 0].set_ylim(*stack_limits(shown.isel(task=row), unit))
            for column, label in enumerate(conditions):
                axes, cell = panels[row, column], shown.isel(task=row, condition=column)
                bars = stack_atoms(axes, cell["layer"].values, _amounts(cell, unit))
                total = _draw_total(axes, cell, unit)
                entropy = draw_entropy(axes, cell, unit) or entropy
                panel_title(axes, len(conditions), label if row == 0 else "", accuracy_text(shown, row, column))
        labels = atom_labels(results)
        handles, names = [*bars, total], [*(labels[atom] for atom in STACKING_ORDER), "Total I₁₂"]
        if entropy is not None:
            handles, names = [*handles, entropy], [*names, ENTROPY_LABEL]
        add_legend(figure, handles, names)
        lowest = min(float(np.nanmin(shown[atom].values, initial=0.0)) for atom in ATOMS)
        is_below = lowest * PER_NAT[unit] < -_VISIBLE
        add_note(figure, " ".join(filter(None, (_NEGATIVE * is_below, left_out(results, places)))))
    return figure


def _amounts(cell: xr.Dataset, unit: str) -> dict[str, np.ndarray]:
    return {atom: cell[atom].values * PER_NAT[unit] for atom in ATOMS}


def stack_limits(row: xr.Dataset, unit: str) -> tuple[float, float]:
    """Find limits that hold the largest stacks of atoms above and below zero, and the entropy."""
    amounts = np.stack([*_amounts(row, unit).values()])
    above = np.nansum(np.maximum(amounts, 0.0), axis=0).max()
    below = np.nansum(np.minimum(amounts, 0.0), axis=0).min()
    top = np.nanmax([above, entropy_of(row, unit), 1e-3])
    return (1.05 * float(below) if below < -_VISIBLE else 0.0), 1.05 * float(top)


def _draw_total(axes: Axes, cell: xr.Dataset, unit: str) -> Line2D:
    if not np.isfinite(cell["i_12"].values).any():
        mark_empty(axes, cell)
    style = marker_for({**TOTAL_STYLE, "marker": "."}, cell.sizes["layer"])
    (line,) = axes.plot(cell["layer"].values, cell["i_12"].values * PER_NAT[unit], **style)
    return line
