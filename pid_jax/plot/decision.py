"""What the models themselves decide: the atoms of every task stacked, in bits, under the entropy of the answer."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pid_jax.decompose.result import ATOMS
from pid_jax.plot.information import stack_limits
from pid_jax.plot.lines import mark_empty
from pid_jax.plot.quantities import PER_NAT, atom_labels, check_results, names_of
from pid_jax.plot.shares import STACKING_ORDER, stack_atoms
from pid_jax.plot.style import (
    ENTROPY_LABEL,
    ENTROPY_STYLE,
    TOTAL_STYLE,
    add_legend,
    figure_style,
    label_row,
    new_panels,
    panel_title,
    wrap,
)
from pid_jax.store.targets import Answer

ANSWER_LABELS = {name: f"the {Answer(of=name).label}" for name in ("model", "gold")}
_HALF_BAR = 0.43
_TASK_CHARACTERS = 11
_MOST_UPRIGHT = 3  # names of tasks; more are slanted


def plot_decision(decision: xr.Dataset, *, unit: str = "bits") -> Figure:
    """Plot the atoms stacked for every task: a row for every model, a column for each answer.

    The point is I_12 with its interval; the dashed line is the entropy of the answer.

    Args:
        decision: the dataset of `decision.nc`.
        unit: "bits" or "nats".

    Returns:
        A figure that is not registered anywhere.

    Raises:
        ValueError: see `check_results`.
    """
    shown = (*ATOMS, "i_12", "target_entropy")
    check_results(decision, unit=unit, variables=shown, dimensions=("model", "task", "answer"))
    decision = decision.transpose("model", ...)
    tasks = names_of(decision, "task")
    with figure_style():
        figure, panels = new_panels(decision.sizes["model"], decision.sizes["answer"])
        for row, model in enumerate(names_of(decision, "model")):
            label_row(panels[row, 0], model, f"information in\nthe decision ({unit})")
            for column, answer in enumerate(names_of(decision, "answer")):
                axes = panels[row, column]
                handles = _draw(axes, decision.isel(model=row, answer=column), PER_NAT[unit])
                panel_title(axes, panels.shape[1], f"about {ANSWER_LABELS[answer]}" if row == 0 else "")
            panels[row, 0].set_ylim(bottom=stack_limits(decision.isel(model=row), unit)[0])
        slant = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if len(tasks) > _MOST_UPRIGHT else {}
        for axes in panels[-1]:
            axes.set_xlabel("")
            axes.set_xticks(np.arange(len(tasks)), [wrap(task, _TASK_CHARACTERS) for task in tasks], **slant)
        labels = atom_labels(decision)
        add_legend(figure, handles, [*(labels[atom] for atom in STACKING_ORDER), "Total I₁₂", ENTROPY_LABEL])
    return figure


def _draw(axes: Axes, cell: xr.Dataset, per_nat: float) -> list:
    """Draw all tasks, and return what the legend shows."""
    tasks = np.arange(cell.sizes["task"])
    bars = stack_atoms(axes, tasks, {atom: cell[atom].values * per_nat for atom in ATOMS})
    total, low, high = (cell[f"i_12{end}"].values * per_nat for end in ("", "_lower", "_upper"))
    if not np.isfinite(total).any():
        mark_empty(axes)
    look = {"color": TOTAL_STYLE["color"], "elinewidth": TOTAL_STYLE["linewidth"]}
    points = axes.errorbar(tasks, total, yerr=(total - low, high - total), fmt=".", capsize=2, **look)
    entropy = axes.hlines(
        cell["target_entropy"].values * per_nat,
        tasks - _HALF_BAR,
        tasks + _HALF_BAR,
        colors=ENTROPY_STYLE["color"],
        linestyles=ENTROPY_STYLE["linestyle"],
        linewidths=ENTROPY_STYLE["linewidth"],
    )
    return [*bars, points, entropy]
