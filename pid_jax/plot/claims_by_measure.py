"""The claims under several measures of one covariance, as a table."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pid_jax.plot.quantities import check_results, in_unit, measure_name, names_of
from pid_jax.plot.style import (
    SMALL_TEXT_SIZE,
    TWO_COLUMN_INCHES,
    VERDICT_STYLES,
    WINDOW_COLOR,
    add_note,
    figure_style,
    wrap,
)
from pid_jax.study.metrics.by_measure import FAILS, HOLDS, UNKNOWN
from pid_jax.study.metrics.claims import CONTRADICTED, NOT_TESTABLE, SUPPORTED

VARIABLES = ("by_measure_value", "by_measure_holds", "by_measure_count", "by_measure_total")
_LOOKS = {HOLDS: SUPPORTED, FAILS: CONTRADICTED, UNKNOWN: NOT_TESTABLE}
_ROW_INCHES, _LINE_INCHES, _FRAME_INCHES = 0.2, 0.13, 0.9
# Part of the width that claims take, and their characters a line.
_CLAIM_PART, _CHARACTERS = 0.36, 40
_CHARACTERS_OF_MODEL = 24


def plot_claims_by_measure(results: xr.Dataset, *, unit: str = "bits") -> Figure:
    """Write the number of each claim under every compared measure, and under how many of them the claim holds.

    A row is a claim in a model. Numbers are point values from one covariance, without the correction of the bias, which
    only some measures have; color and symbol tell on which side of its criterion a claim lies.

    Args:
        results: the dataset made by `pid_jax.study`, with claims under several measures.
        unit: "bits" or "nats".

    Returns:
        A figure that is not registered anywhere.

    Raises:
        ValueError: see `check_results`.
    """
    check_results(results, unit=unit, variables=VARIABLES, dimensions=("model", "claim", "compared_measure"))
    models, measures = names_of(results, "model"), names_of(results, "compared_measure")
    texts = [wrap(str(text), _CHARACTERS) for text in results["claim_text"].values]
    heights = [max(_ROW_INCHES * len(models), _LINE_INCHES * (text.count("\n") + 1) + 0.08) for text in texts]
    with figure_style():
        figure = Figure(figsize=(TWO_COLUMN_INCHES, sum(heights) + _FRAME_INCHES), layout="constrained")
        axes = figure.subplots()
        axes.set_xlim(0, 1)
        axes.set_ylim(sum(heights), 0)
        axes.set_axis_off()
        extra = 0.12 if len(models) > 1 else 0.0
        columns = np.linspace(_CLAIM_PART + extra, 1, len(measures) + 2)[:-1]
        for x, name in zip(columns, [*map(measure_name, measures), "holds for"], strict=True):
            axes.text(x, -0.08, name, fontsize=SMALL_TEXT_SIZE, fontweight="bold", va="bottom")
        top = 0.0
        for claim, (text, height) in enumerate(zip(texts, heights, strict=True)):
            if claim % 2 == 0:
                axes.axhspan(top, top + height, color=WINDOW_COLOR, linewidth=0, alpha=0.6)
            axes.text(0, top + height / 2, text, fontsize=SMALL_TEXT_SIZE, va="center", linespacing=1.1)
            for m, model in enumerate(models):
                y = top + height * (m + 0.5) / len(models)
                if extra:
                    short = wrap(model, _CHARACTERS_OF_MODEL).split("\n")[0]
                    axes.text(_CLAIM_PART, y, short, fontsize=SMALL_TEXT_SIZE, va="center")
                _draw_row(axes, results.isel(claim=claim, model=m), columns, y, unit)
            top += height
        signs = [f"{VERDICT_STYLES[_LOOKS[side]]['symbol']} {word}" for side, word in _WORDS.items()]
        add_note(figure, f"{', '.join(signs)}. Point values without the correction of the bias.")
    return figure


_WORDS = {HOLDS: "the claim holds", FAILS: "it does not", UNKNOWN: "no number"}


def _draw_row(axes: Axes, cell: xr.Dataset, columns: np.ndarray, y: float, unit: str) -> None:
    """Write the numbers of one claim in one model."""
    factor, unit = in_unit(str(cell["claim_unit"].item()), unit)
    look = {"fontsize": SMALL_TEXT_SIZE, "va": "center"}
    sides, values = cell["by_measure_holds"].values, cell["by_measure_value"].values * factor
    for x, side, value in zip(columns[:-1], sides, values, strict=True):
        style = VERDICT_STYLES[_LOOKS[int(side)]]
        number = f" {value:.2f} {unit}".rstrip() if np.isfinite(value) else ""
        axes.text(x, y, f"{style['symbol']}{number}".replace("-", "−"), color=style["color"], **look)
    count, total = int(cell["by_measure_count"]), int(cell["by_measure_total"])
    axes.text(columns[-1], y, f"{count} of {total}" if total else "–", **look)
