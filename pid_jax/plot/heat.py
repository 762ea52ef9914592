"""Heat maps: cells around the numbers of their rows and columns, the first row on top, and a color bar with a unit."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pid_jax.plot.style import MISSING_LOOK, SMALL_TEXT_SIZE, TEXT_SIZE, small_ticks

# Rows of a heat map with a name each need this much.
_NAME_INCHES = 0.11
# A color bar above panels: how thick it is, how many times that long, and how far from their titles.
_BAR_INCHES, _BAR_ASPECT, _GAP_INCHES = 0.09, 36, 0.1


def edges_around(places: np.ndarray) -> np.ndarray:
    """Return the edges of cells around rising numbers, (n + 1,): halfway between them, and half a unit outside."""
    places = np.asarray(places, dtype=float)
    return np.concatenate([[places[0] - 0.5], (places[:-1] + places[1:]) / 2, [places[-1] + 0.5]])


def draw_heat(
    axes: Axes, values: np.ndarray, limits: tuple[float, float], color_map: str, at: np.ndarray | None = None
) -> QuadMesh:
    """Draw a matrix; cells without a value show the hatching behind them.

    Args:
        axes: where to draw.
        values: rows and columns.
        limits: values at the two ends of the color map.
        color_map: its name.
        at: rising numbers of the columns, such as layers; 0, 1, ... if not given.

    Returns:
        The mesh, for the color bar.
    """
    rows, columns = values.shape
    edges = edges_around(np.arange(columns) if at is None else at)
    axes.patch.set(**MISSING_LOOK, linewidth=0)
    mesh = axes.pcolormesh(
        edges,
        np.arange(rows + 1) - 0.5,
        np.ma.masked_invalid(values),
        vmin=limits[0],
        vmax=limits[1],
        cmap=color_map,
        edgecolors="face",  # no seams between cells
        linewidth=0.1,
    )
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(rows - 0.5, -0.5)
    return mesh


def name_rows(axes: Axes, names: list[str], inches: float) -> None:
    """Name the rows of a heat map, or as many of them as its height allows."""
    step = max(1, int(np.ceil(len(names) * _NAME_INCHES / inches)))
    axes.set_yticks(range(0, len(names), step), names[::step])
    small_ticks(axes)


def add_color_bar(figure: Figure, mesh: ScalarMappable, panels: np.ndarray, label: str) -> None:
    """Put a color bar to the right of some panels."""
    _finish(figure.colorbar(mesh, ax=list(panels.flat), fraction=0.05, aspect=40, pad=0.03), label)


def add_color_bar_above(figure: Figure, mesh: ScalarMappable, panels: np.ndarray, label: str, inches: float) -> None:
    """Put a color bar above some panels, which have titles and are so many inches high in all."""
    size = {"fraction": _BAR_INCHES / inches, "aspect": _BAR_ASPECT, "pad": _GAP_INCHES / inches}
    _finish(figure.colorbar(mesh, ax=list(panels.flat), location="top", **size), label)


def _finish(bar: Colorbar, label: str) -> None:
    bar.set_label(label, fontsize=TEXT_SIZE)
    bar.ax.tick_params(labelsize=SMALL_TEXT_SIZE, width=0.6, length=2.5)
    bar.outline.set_linewidth(0.5)
