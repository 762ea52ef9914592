"""Marks that several figures draw: one atom over the layers, the window of a cut, an empty panel."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pid_jax.plot.quantities import ATOMS, PER_NAT, entropy_of
from pid_jax.plot.style import (
    ATOM_STYLES,
    BAND_OPACITY,
    ENTROPY_STYLE,
    NOTE_COLOR,
    SMALL_TEXT_SIZE,
    WINDOW_COLOR,
    marker_for,
)

# Between a number and its unit, where no line is broken.
NO_BREAK = "\N{NO-BREAK SPACE}"


def draw_line(axes: Axes, x: np.ndarray, cell: xr.Dataset, name: str, factor: float, style: dict) -> Line2D:
    """Draw one variable over layers or depths, with its interval as a band if there is one.

    Args:
        axes: where to draw.
        x: places of the values.
        cell: values over one dimension.
        name: name of the variable.
        factor: what values are multiplied by.
        style: line style.

    Returns:
        The line, for the legend.
    """
    chosen = marker_for(style, len(x))
    if f"{name}_lower" in cell and f"{name}_upper" in cell:
        lower, upper = (cell[f"{name}_{end}"].values * factor for end in ("lower", "upper"))
        axes.fill_between(x, lower, upper, color=chosen["color"], alpha=BAND_OPACITY, linewidth=0)
    (line,) = axes.plot(x, cell[name].values * factor, **chosen)
    return line


def draw_atom(axes: Axes, cell: xr.Dataset, atom: str, unit: str, style: dict | None = None) -> Line2D:
    """Draw one atom of one task, condition and measure over the layers, in its own style if none is given."""
    return draw_line(axes, cell["layer"].values, cell, atom, PER_NAT[unit], style or ATOM_STYLES[atom])


def draw_atoms(axes: Axes, cell: xr.Dataset, unit: str) -> list[Line2D]:
    """Draw the four atoms, or say that the panel is empty."""
    if not any(np.isfinite(cell[atom].values).any() for atom in ATOMS):
        mark_empty(axes, cell)
    return [draw_atom(axes, cell, atom, unit) for atom in ATOMS]


def draw_entropy(axes: Axes, cell: xr.Dataset, unit: str) -> Line2D | None:
    """Draw the entropy of the answer, which information about it cannot exceed; None where the target is a state."""
    value = entropy_of(cell, unit)
    return axes.axhline(value, **ENTROPY_STYLE) if np.isfinite(value) else None


def value_limits(results: xr.Dataset, names: tuple[str, ...], unit: str) -> tuple[float, float]:
    """Find the span of several variables and their intervals, zero included."""
    candidates = [name + end for name in names for end in ("", "_lower", "_upper") if name + end in results]
    values = np.concatenate([results[name].values.ravel() for name in candidates]) * PER_NAT[unit]
    finite = values[np.isfinite(values)]
    return float(min(finite.min(initial=0.0), 0.0)), float(max(finite.max(initial=0.0), 0.0))


def shade_cut(axes: Axes, window: tuple[int, int] | None) -> None:
    """Shade the span of the layer axis in which attention is cut, and name its decoder blocks."""
    if window is None:
        return
    start, end = window
    axes.axvspan(start, end, color=WINDOW_COLOR, zorder=0, linewidth=0)
    blocks = f"block {start}" if end - start == 1 else f"blocks {start}–{end - 1}"
    low, high = axes.get_xlim()
    place = ((start + end) / 2 - low) / (high - low)
    anchor, alignment = ((start + end) / 2, "center")
    if place < 0.25:
        anchor, alignment = start, "left"
    elif place > 0.75:
        anchor, alignment = min(end, high), "right"
    axes.annotate(
        f"cut in {blocks}",
        (anchor, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, -2),
        textcoords="offset points",
        ha=alignment,
        va="top",
        fontsize=SMALL_TEXT_SIZE,
        color=NOTE_COLOR,
    )


def mark_empty(axes: Axes, cell: xr.Dataset | None = None) -> None:
    """Say in the panel that there is nothing to draw, and why if the cell knows."""
    state = str(cell["cell"].item()) if cell is not None and "cell" in cell and cell["cell"].ndim == 0 else ""
    text = state if state in ("absent", "failed") else "not available"
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=NOTE_COLOR)


def accuracy_text(results: xr.Dataset, task: int, condition: int) -> str:
    """Write the accuracy of a task under a condition."""
    accuracy = float(results["accuracy"].isel(task=task, condition=condition))
    return f"accuracy {100 * accuracy:.1f}{NO_BREAK}%" if np.isfinite(accuracy) else "accuracy not available"
