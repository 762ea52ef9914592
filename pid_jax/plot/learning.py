"""What sources tell about an answer over the number of samples: the curve of what classifiers learn."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pid_jax.categorical.learning_curve import LearningCurve
from pid_jax.decompose.result import INFORMATION
from pid_jax.plot.quantities import PER_NAT
from pid_jax.plot.style import (
    ATOM_STYLES,
    BAND_OPACITY,
    BASELINE_STYLE,
    TOTAL_STYLE,
    add_legend,
    figure_style,
    new_panels,
)

MOST_PROBLEMS = 12
_COLUMNS = 3
_STYLES = dict(
    zip(
        INFORMATION,
        (ATOM_STYLES["unique_1"], ATOM_STYLES["unique_2"], {**TOTAL_STYLE, "marker": "o"}),
        strict=True,
    )
)
_LABELS = {"i_1": "source_1", "i_2": "source_2", "i_12": "both"}


def plot_learning_curve(curve: LearningCurve, *, unit: str = "bits") -> Figure:
    """Plot the informations about the answer over the number of samples, one panel for each problem.

    Lines with marks are corrected for what classifiers have not learned yet, with a band of one standard error to
    either side; thin dotted lines are held out, without the correction. Dashes are the entropy of the answer.

    Args:
        curve: What `learning_curve` returns.
        unit: "bits" or "nats".

    Raises:
        TypeError: If it is no learning curve.
        ValueError: For an unknown unit, or more problems than fit.
    """
    if not isinstance(curve, LearningCurve):
        raise TypeError(f"curve needs what learning_curve returns, got {type(curve).__name__}.")
    if unit not in PER_NAT:
        raise ValueError(f"unit must be one of {sorted(PER_NAT)}, got {unit!r}; choose one of them")
    count = curve.status.size
    if count > MOST_PROBLEMS:
        raise ValueError(f"curve has {count} problems, {MOST_PROBLEMS} fit: choose some by curve.take(index).")
    factor = PER_NAT[unit] / PER_NAT[curve.unit]
    columns = min(count, _COLUMNS)
    with figure_style():
        figure, panels = new_panels(-(-count // columns), columns)
        for index, axes in enumerate(panels.flat):
            if index >= count:
                axes.set_axis_off()
                continue
            handles = _draw(axes, curve.reshape((count,)).take(index), factor)
            axes.set_xlabel("samples")
            axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
            if count > 1:
                axes.set_title(", ".join(map(str, np.unravel_index(index, curve.status.shape))))
        for row in panels:
            row[0].set_ylabel(f"information ({unit})")
        add_legend(figure, handles, [*_LABELS.values(), "H(answer)"])
    return figure


def _draw(axes, curve: LearningCurve, factor: float) -> list:
    handles = []
    for name, style in _STYLES.items():
        value, error, plain = (
            getattr(x, name) * factor for x in (curve.information, curve.standard_error, curve.held_out)
        )
        axes.fill_between(
            curve.samples, value - error, value + error, color=style["color"], alpha=BAND_OPACITY, linewidth=0
        )
        handles += axes.plot(curve.samples, value, **style)
        axes.plot(curve.samples, plain, color=style["color"], linestyle=":", linewidth=0.9)
    handles.append(axes.axhline(curve.entropy * factor, **{**BASELINE_STYLE, "linewidth": 0.9}))
    return handles
