"""One look for every figure: colors, line styles, sizes, and the grid of panels."""

import textwrap
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pid_jax.study.metrics.claims import CONTRADICTED, NOT_TESTABLE, SUPPORTED

# Okabe and Ito (2008), "Color Universal Design": distinct under the common forms of color blindness.
# Line style and marker repeat the distinction for black-and-white print.
ATOM_STYLES = {
    "redundancy": {"color": "#009E73", "linestyle": (0, (5, 1.5, 1, 1.5)), "marker": "^"},
    "unique_1": {"color": "#0072B2", "linestyle": "-", "marker": "o"},
    "unique_2": {"color": "#D55E00", "linestyle": (0, (4, 1.5)), "marker": "s"},
    "synergy": {"color": "#CC79A7", "linestyle": (0, (1, 1.2)), "marker": "D"},
}
TOTAL_STYLE = {"color": "#000000", "linestyle": "-", "linewidth": 0.9, "marker": ""}
ENTROPY_STYLE: dict[str, Any] = {"color": "#000000", "linestyle": (0, (6, 2)), "linewidth": 1.0}
ENTROPY_LABEL = "H(answer)"
BASELINE_STYLE = {"color": "#6E6E6E", "linestyle": (0, (4, 1.5)), "marker": ""}
# Models, tasks and sets of edges, in the order of the dataset: dark and light take turns, and no color is an atom's.
SERIES_STYLES = (
    {"color": "#332288", "linestyle": "-", "marker": "o"},
    {"color": "#E69F00", "linestyle": (0, (4, 1.5)), "marker": "s"},
    {"color": "#882255", "linestyle": (0, (1, 1.2)), "marker": "^"},
    {"color": "#56B4E9", "linestyle": (0, (5, 1.5, 1, 1.5)), "marker": "D"},
    {"color": "#117733", "linestyle": (0, (7, 2)), "marker": "v"},
    {"color": "#999933", "linestyle": (0, (3, 1, 1, 1, 1, 1)), "marker": "P"},
)
# Symbol and word repeat the distinction that the color makes.
VERDICT_STYLES = {
    SUPPORTED: {"color": "#0072B2", "marker": "o", "symbol": "●"},
    CONTRADICTED: {"color": "#D55E00", "marker": "X", "symbol": "✖"},
    NOT_TESTABLE: {"color": "#6E6E6E", "marker": "D", "symbol": "◇"},
}
# Even in lightness, and told apart by color-blind readers: amounts, and differences around zero.
AMOUNT_MAP = "cividis"
DIFFERENCE_MAP = "RdBu_r"
MISSING_LOOK = {"facecolor": "#F4F4F4", "edgecolor": "#BDBDBD", "hatch": "////"}
WINDOW_COLOR = "#EBEBEB"
NOTE_COLOR = "#555555"
BAND_OPACITY = 0.2

TEXT_SIZE = 8.0
SMALL_TEXT_SIZE = 7.0
TINY_TEXT_SIZE = 5.5
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": TEXT_SIZE,
    "axes.titlesize": TEXT_SIZE,
    "axes.labelsize": TEXT_SIZE,
    "xtick.labelsize": SMALL_TEXT_SIZE,
    "ytick.labelsize": SMALL_TEXT_SIZE,
    "legend.fontsize": TEXT_SIZE,
    "legend.frameon": False,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.5,
    "lines.markersize": 3.6,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "text.color": "black",
    "text.usetex": False,
    "text.parse_math": False,  # labels come from users: a dollar sign is a dollar sign
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,  # editable text
}

ONE_COLUMN_INCHES = 3.5
ONE_AND_A_HALF_COLUMN_INCHES = 5.4
TWO_COLUMN_INCHES = 7.2
# Of one panel and of two; more are as wide as a page, or as they need.
_WIDTHS = {1: ONE_COLUMN_INCHES, 2: ONE_AND_A_HALF_COLUMN_INCHES}
NARROWEST_PANEL_INCHES = 1.8
# A printed page, with room for a caption; rows get lower before a figure gets higher.
TALLEST_INCHES = 8.8
LOWEST_ROW_INCHES = 1.1
# Legend, titles and the label of the layer axis, beside the rows.
_FRAME_INCHES = 1.0
FEWEST_LAYERS_WITHOUT_MARKERS = 21
# Measured on legends of this font at TEXT_SIZE: mean width of a character, and of a handle with its gaps.
_INCHES_A_CHARACTER = 0.058
_INCHES_A_HANDLE = 0.55
# Part of a column of panels that a title may fill; the rest is the gap to the next one.
_TITLE_WIDTH = 0.85


def figure_style():
    """Apply the style while figures are built or written; matplotlib's settings are as before afterwards."""
    return matplotlib.rc_context(STYLE)


def new_panels(rows: int, columns: int, *, row_inches: float = 1.65, groups: int = 1) -> tuple[Figure, np.ndarray]:
    """Make a grid of panels that share the layer axis within each column, and the vertical axis within each row.

    Args:
        rows: number of rows.
        columns: number of columns.
        row_inches: height of a row; less where the figure would be higher than a page.
        groups: number of parts of a row, side by side, that have a vertical axis each.

    Returns:
        The figure and its axes, always as an array of shape (rows, columns).
    """
    row_inches = min(row_inches, max(LOWEST_ROW_INCHES, (TALLEST_INCHES - _FRAME_INCHES) / rows))
    width = _WIDTHS.get(columns, max(TWO_COLUMN_INCHES, NARROWEST_PANEL_INCHES * columns))
    size = (width, rows * row_inches + _FRAME_INCHES)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, sharex="col", squeeze=False)
    for axes in panels.flat:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
        small_ticks(axes)
    for first, *others in (part for row in panels for part in np.split(row, groups)):
        for axes in others:
            axes.sharey(first)
            axes.tick_params(labelleft=False)
    for axes in panels[-1]:
        axes.set_xlabel("layer (0 = embeddings)")
    return figure, panels


def small_ticks(axes: Axes) -> None:
    """Give an axis the ticks that all figures have."""
    axes.tick_params(labelsize=SMALL_TEXT_SIZE, width=0.6, length=2.5)


def figure_of(axes: Axes) -> Figure:
    """Find the figure that panels are in."""
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("axes must be part of a figure, got removed ones; make them with new_panels")
    return figure


def set_layer_limits(panels: np.ndarray, layers: np.ndarray, margin: float = 0.3) -> None:
    """Let the layer axis end just outside the first and the last layer."""
    for axes in panels.flat:
        axes.set_xlim(float(layers.min()) - margin, float(layers.max()) + margin)


def with_margins(low: float, high: float) -> tuple[float, float]:
    """Widen data limits, more above than below: the name of a cut stands at the upper edge."""
    span = (high - low) or 1.0
    return low - 0.05 * span, high + 0.16 * span


def wrap(text: str, width: int) -> str:
    """Break a label into lines that fit a panel."""
    return "\n".join(textwrap.wrap(text, width)) or " "


def label_row(axes: Axes, name: object, quantity: str) -> None:
    """Write what a row shows, and the quantity on its vertical axis, as high as the row allows."""
    subplot = axes.get_subplotspec()
    rows = 1 if subplot is None else subplot.get_gridspec().nrows
    row_inches = (figure_of(axes).get_figheight() - _FRAME_INCHES) / rows
    characters = int(_TITLE_WIDTH * row_inches / _INCHES_A_CHARACTER)
    axes.set_ylabel(f"{wrap(str(name), characters)}\n{quantity}")


def series_style(place: int) -> dict:
    """Choose the look of the model, task or set of edges at a place in the dataset."""
    return SERIES_STYLES[place % len(SERIES_STYLES)]


def marker_for(style: dict, layer_count: int) -> dict:
    """Drop the markers of a line when there are so many layers that they would touch."""
    return style if layer_count < FEWEST_LAYERS_WITHOUT_MARKERS else {**style, "marker": ""}


def add_legend(figure: Figure, handles: list, labels: list[str]) -> None:
    """Put one legend above all panels, in as few rows as the width allows."""
    rows = next(rows for rows in range(1, len(labels) + 1) if rows == len(labels) or _fits(figure, labels, rows))
    columns = -(-len(labels) // rows)
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, handlelength=2.6, columnspacing=1.4)


def _fits(figure: Figure, labels: list[str], rows: int) -> bool:
    """Estimate whether a legend, filled column by column, is narrower than the figure."""
    longest = [max(map(len, labels[start : start + rows])) for start in range(0, len(labels), rows)]
    return sum(count * _INCHES_A_CHARACTER + _INCHES_A_HANDLE for count in longest) < figure.get_figwidth()


def add_note(figure: Figure, text: str) -> None:
    """Put a remark below all panels, if there is one."""
    if not text:
        return
    characters = int(figure.get_figwidth() * 17)
    figure.supxlabel(wrap(text, characters), fontsize=SMALL_TEXT_SIZE, color=NOTE_COLOR)


def panel_title(axes: Axes, columns: float, *lines: str) -> None:
    """Write the title of one of several panels in a row, each entry broken to its width; empty entries are left out."""
    width = figure_of(axes).get_figwidth() / columns
    characters = int(_TITLE_WIDTH * width / _INCHES_A_CHARACTER)
    axes.set_title("\n".join(wrap(line, characters) for line in lines if line), fontsize=TEXT_SIZE)
