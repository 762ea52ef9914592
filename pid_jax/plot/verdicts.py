"""The verdicts on the claims of the paper, as a table."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pid_jax.plot.quantities import check_results, in_unit, names_of
from pid_jax.plot.style import SMALL_TEXT_SIZE, TEXT_SIZE, TWO_COLUMN_INCHES, VERDICT_STYLES, figure_style, wrap
from pid_jax.study.results import about

VARIABLES = ("claim_value", "claim_lower", "claim_upper", "verdict")
_CLAIM_PART = 0.34
# Of a claim or the name of a model, and of a cell.
_CHARACTERS_AN_INCH, _CELL_CHARACTERS_AN_INCH = 15, 18
_LINE_INCHES, _GAP_INCHES = 0.145, 0.16
_MOST_MODELS = 4
# Below this, two decimals say too little.
_SMALL = 0.1


def plot_verdicts(results: xr.Dataset, *, unit: str = "bits") -> Figure:
    """Write the verdicts on all claims: a row for every claim, a column for every model.

    Args:
        results: the dataset made by `pid_jax.study`, with verdicts.
        unit: "bits" or "nats".

    Returns:
        A figure that is not registered anywhere.

    Raises:
        ValueError: see `check_results`.
    """
    check_results(results, unit=unit, variables=VARIABLES, dimensions=("model", "claim"))
    models = names_of(results, "model")
    width = TWO_COLUMN_INCHES * max(1.0, len(models) / _MOST_MODELS)
    claim_inches = _CLAIM_PART * TWO_COLUMN_INCHES
    column_inches = (width - claim_inches) / len(models)
    characters = int(_CELL_CHARACTERS_AN_INCH * 0.92 * column_inches)
    title = f"Claim, by information about {about(results)}" if "target" in results.attrs else "Claim"
    title = wrap(title, int(_CHARACTERS_AN_INCH * 0.9 * claim_inches))
    rows = [(title, [wrap(model, int(_CHARACTERS_AN_INCH * 0.92 * column_inches)) for model in models])]
    for place, text in enumerate(results["claim_text"].values):
        cells = [_cell(results.isel(model=m, claim=place), unit, characters) for m in range(len(models))]
        rows.append((wrap(str(text), int(_CHARACTERS_AN_INCH * 0.95 * claim_inches)), cells))
    lines = [max(text.count("\n") + 1 for text in (left, *cells)) for left, cells in rows]
    heights = np.array(lines) * _LINE_INCHES + _GAP_INCHES
    with figure_style():
        figure = Figure(figsize=(width, float(heights.sum())))
        top = 1.0
        for number, ((left, cells), height) in enumerate(zip(rows, heights / heights.sum(), strict=True)):
            middle = top - height / 2
            weight = "bold" if number == 0 else "normal"
            look = {"va": "center", "fontweight": weight, "linespacing": 1.15}
            figure.text(0.01, middle, left, ha="left", fontsize=TEXT_SIZE, **look)
            for m, cell in enumerate(cells):
                color = "black" if number == 0 else _color(results, m, number - 1)
                x = (claim_inches + (m + 0.04) * column_inches) / width
                figure.text(
                    x, middle, cell, ha="left", fontsize=SMALL_TEXT_SIZE if number else TEXT_SIZE, color=color, **look
                )
            top -= height
            if number < len(rows) - 1:
                _draw_rule(figure, top, thick=number == 0)
    return figure


def _draw_rule(figure: Figure, height: float, *, thick: bool) -> None:
    """Draw a line between two rows."""
    color, width = ("black", 0.8) if thick else ("#B0B0B0", 0.5)
    figure.add_artist(Line2D((0.005, 0.995), (height, height), color=color, linewidth=width))


def _color(results: xr.Dataset, model: int, claim: int) -> str:
    """Choose the color of a verdict."""
    verdict = str(results["verdict"].isel(model=model, claim=claim).item())
    return VERDICT_STYLES.get(verdict, {"color": "black"})["color"]


def _cell(claim: xr.Dataset, unit: str, characters: int) -> str:
    """Write symbol, verdict, and the value with its interval."""
    verdict = str(claim["verdict"].item())
    symbol = VERDICT_STYLES.get(verdict, {"symbol": "–"})["symbol"]
    number = value_text(claim, unit)
    return "\n".join([wrap(f"{symbol} {verdict}", characters), *([wrap(number, characters)] if number else [])])


def value_text(claim: xr.Dataset, unit: str) -> str:
    """Write a value with its interval and unit; nothing if it is not known."""
    factor, unit = in_unit(str(claim["claim_unit"].item()), unit)
    value, lower, upper = (float(claim[f"claim_{end}"]) * factor for end in ("value", "lower", "upper"))
    if not np.isfinite(value):
        return ""
    digits = 2 if np.nanmax(np.abs([value, lower, upper])) >= _SMALL else 3
    interval = f" ({lower:.{digits}f} to {upper:.{digits}f})" if np.isfinite(lower) and np.isfinite(upper) else ""
    return f"{value:.{digits}f}{interval} {unit}".strip().replace("-", "−")
