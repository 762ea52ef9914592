"""Comparisons of two conditions as text: differences with intervals and p-values."""

from typing import Any

import numpy as np

from pid_jax.decompose.result import describe_status, span
from pid_jax.pid.atoms import QUANTITIES


def describe_differences(comparison: Any, kind: str) -> list[str]:
    """Return lines with the differences of one problem, or the ranges of many.

    Args:
        comparison: Differences, intervals and p-values under the names of `PIDComparison`.
        kind: What the comparison is called.
    """
    count = np.size(comparison.p_value.i_12)
    head = f"{kind} of {count} problem{'s' * (count != 1)}, intervention − baseline in {comparison.unit}"
    lines = [f"{head}, {comparison.level:.0%} intervals"]
    alpha = 1 - comparison.level
    for name in QUANTITIES:
        value, low, high, p, family = (
            np.ravel(getattr(getattr(comparison, part), name))
            for part in ("difference", "lower", "upper", "p_value", "family_wise")
        )
        if count == 1:
            text = f"{value[0]:>+9.4f}"
            text += f" [{low[0]:+.4f}, {high[0]:+.4f}]  p = {p[0]:.3g}" if np.isfinite(value[0]) else ", no p-value"
        else:
            below, clear = (int((x <= alpha + 1e-12).sum()) for x in (p, family))
            text = f"{span(value, '+.4f'):>20}"
            text += f"  p ≤ {alpha:.2g} in {below} ({clear} family-wise)"
        lines.append(f"  {name:<12}{text}")
    lines += describe_status(comparison.status)
    return [*lines, *(f"  {'note:':<12}{note}" for note in comparison.notes)]
