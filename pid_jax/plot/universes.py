"""The claims under other choices of the analysis: a multiverse, a row for every universe."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pid_jax.estimate.gaussianize import label_of
from pid_jax.plot.lines import mark_empty
from pid_jax.plot.quantities import check_results, in_unit, measure_name, names_of, with_unit
from pid_jax.plot.style import (
    SMALL_TEXT_SIZE,
    TEXT_SIZE,
    TWO_COLUMN_INCHES,
    VERDICT_STYLES,
    WINDOW_COLOR,
    add_legend,
    add_note,
    figure_style,
    small_ticks,
    wrap,
)
from pid_jax.study.metrics.claims import NOT_TESTABLE

VARIABLES = ("universe_value", "universe_lower", "universe_upper", "universe_verdict")
CHOICES = ("universe_target", "universe_dims", "universe_gaussianizer", "universe_measure")
SAME_AGAIN = "the same again"
_ROW_INCHES, _TALLEST_BLOCK_INCHES = 0.24, 3.6
_LINE_INCHES, _LINE_GAP_INCHES = 0.11, 0.04
_BLOCK_INCHES, _FRAME_INCHES = 0.35, 1.05
OWN_UNIVERSE = "this study"
_CHARACTERS_OF_NAME = 24
_CHARACTERS_OF_CLAIM = 17
_MOST_CLAIMS = 5


def plot_universes(results: xr.Dataset, *, unit: str = "bits") -> Figure:
    """Plot what decides each claim under every choice: a block for every model, a panel for every claim.

    Rows are universes: the first is the study itself, the others are named by what they change. Marks carry intervals;
    color and symbol tell the verdict.

    Args:
        results: the dataset made by `pid_jax.study`, with verdicts of several universes.
        unit: "bits" or "nats".

    Returns:
        A figure that is not registered anywhere.

    Raises:
        ValueError: see `check_results`.
    """
    check_results(results, unit=unit, variables=VARIABLES, dimensions=("model", "claim", "universe"))
    models, claims = names_of(results, "model"), names_of(results, "claim")
    names = universe_names(results)
    lines = max(name.count("\n") for name in names) + 1
    row_inches = max(min(_ROW_INCHES, _TALLEST_BLOCK_INCHES / len(names)), _LINE_INCHES * lines + _LINE_GAP_INCHES)
    block = row_inches * len(names) + _BLOCK_INCHES
    groups = [range(first, min(first + _MOST_CLAIMS, len(claims))) for first in range(0, len(claims), _MOST_CLAIMS)]
    with figure_style():
        size = (TWO_COLUMN_INCHES, len(groups) * len(models) * block + len(groups) * _FRAME_INCHES)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(groups) * len(models), len(groups[0]), squeeze=False)
        for number, group in enumerate(groups):
            rows = panels[number * len(models) : (number + 1) * len(models)]
            _draw_claims(rows, results.isel(claim=list(group)), unit)
            for row, model in zip(rows, models, strict=True):
                row[0].set_yticks(range(len(names)), names, fontsize=SMALL_TEXT_SIZE)
                if len(models) > 1:
                    row[0].set_ylabel(wrap(model, int(block * 14)), fontsize=TEXT_SIZE)
        handles = [Line2D([], [], **_look(verdict)) for verdict in VERDICT_STYLES]
        add_legend(figure, handles, list(VERDICT_STYLES))
        add_note(figure, f"{OWN_UNIVERSE.capitalize()}: {study_choices(results)}.")
    return figure


def universe_names(results: xr.Dataset) -> list[str]:
    """Name universes: the first is the study, the others are what they change."""
    changed = [", ".join(row.values()) or SAME_AGAIN for row in changed_choices(results)]
    return [OWN_UNIVERSE, *(wrap(name, _CHARACTERS_OF_NAME) for name in changed)]


def study_choices(results: xr.Dataset) -> str:
    """Write the choices of the study itself."""
    return ", ".join(universe_choices(results)[0].values())


def _look(verdict: str) -> dict:
    """Choose the mark of a verdict; the one of a claim that was not tested is hollow."""
    style = VERDICT_STYLES[verdict]
    fill = "white" if verdict == NOT_TESTABLE else style["color"]
    return {
        "color": style["color"],
        "marker": style["marker"],
        "markerfacecolor": fill,
        "markersize": 4.2,
        "linestyle": "",
        "markeredgewidth": 0.8,
    }


def _draw_claims(panels: np.ndarray, results: xr.Dataset, unit: str) -> None:
    """Draw some claims, a column each, in a row for every model; columns that are left over stay empty."""
    for column, claim in enumerate(names_of(results, "claim")):
        for row, axes in enumerate(panels[:, column]):
            if row < len(panels) - 1:
                axes.sharex(panels[-1, column])
            _draw_claim(axes, results.isel(model=row, claim=column), unit)
            axes.tick_params(labelbottom=row == len(panels) - 1)
        title = wrap(claim.replace("_", " "), _CHARACTERS_OF_CLAIM)
        panels[0, column].set_title(title, fontsize=TEXT_SIZE)
        factor_unit = in_unit(str(results["claim_unit"].values[column]), unit)[1]
        panels[-1, column].set_xlabel(with_unit("value", factor_unit or "1"))
        if not np.isfinite(results["universe_value"].isel(claim=column).values).any():
            panels[-1, column].set_xticks([])
    for axes in panels[:, results.sizes["claim"] :].flat:
        axes.set_axis_off()


def _draw_claim(axes: Axes, claim: xr.Dataset, unit: str) -> None:
    """Draw the values of one claim in one model under every choice."""
    factor, _ = in_unit(str(claim["claim_unit"].item()), unit)
    value, lower, upper = (claim[name].values * factor for name in VARIABLES[:3])
    verdicts = claim["universe_verdict"].values.astype(str)
    rows = np.arange(len(value))
    axes.axhspan(-0.5, 0.5, color=WINDOW_COLOR, zorder=0, linewidth=0)
    for verdict in VERDICT_STYLES:
        own = verdicts == verdict
        look = _look(verdict)
        reach = np.maximum([value[own] - lower[own], upper[own] - value[own]], 0.0)
        axes.errorbar(value[own], rows[own], xerr=reach, fmt="none", ecolor=look["color"], elinewidth=1.0)
        axes.plot(value[own], rows[own], **look)
    for row in rows[~np.isfinite(value)]:
        place = {"ha": "center", "va": "center", "fontsize": SMALL_TEXT_SIZE}
        word = str(verdicts[row]) if verdicts[row] in VERDICT_STYLES else "not available"
        color = VERDICT_STYLES.get(word, VERDICT_STYLES[NOT_TESTABLE])["color"]
        axes.text(0.5, row, word, transform=axes.get_yaxis_transform(), color=color, **place)
    axes.set_ylim(len(value) - 0.5, -0.5)
    axes.set_yticks(rows, [""] * len(rows))
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
    small_ticks(axes)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.4)
    axes.set_axisbelow(True)
    if not len(value):
        mark_empty(axes)


def universe_choices(results: xr.Dataset) -> list[dict[str, str]]:
    """Write the choices of every universe.

    Args:
        results: the dataset made by `pid_jax.study`, with verdicts of several universes.

    Returns:
        The words of each choice by its coordinate, for every universe; the first is the study itself.
    """
    names = [name for name in CHOICES if name in results.coords]
    count = results.sizes["universe"]
    return [{name: _choice(name, str(results[name].values[place])) for name in names} for place in range(count)]


def changed_choices(results: xr.Dataset) -> list[dict[str, str]]:
    """Keep the choices of the other universes that differ from those of the study.

    Args:
        results: the dataset made by `pid_jax.study`, with verdicts of several universes.
    """
    first, *others = universe_choices(results)
    return [{name: own for name, own in row.items() if own != first[name]} for row in others]


def _choice(kind: str, value: str) -> str:
    """Write one choice as readers know it."""
    if kind == "universe_dims":
        return f"dims {value.replace(',', '+').replace(' ', '')}"
    if kind == "universe_measure":
        return measure_name(value)
    return label_of(value)
