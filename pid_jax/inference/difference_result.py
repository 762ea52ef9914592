"""What comparisons of two conditions have in common: differences with intervals and p-values, and their text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pid_jax.decompose.dataset import Result
from pid_jax.decompose.result import describe_status, span
from pid_jax.gaussian.status import Status
from pid_jax.pid.atoms import QUANTITIES, PIDQuantities


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Differences(Result):
    """Fields that comparisons share; see `PIDComparison`."""

    difference: PIDQuantities
    lower: PIDQuantities
    upper: PIDQuantities
    standard_error: PIDQuantities
    p_value: PIDQuantities
    false_discovery: PIDQuantities
    family_wise: PIDQuantities
    level: float
    notes: tuple[str, ...]
    settings: Mapping[str, Any]
    unit: str = "nats"

    @property
    def status(self) -> np.ndarray:
        """`Status` of each problem: that of the baseline, or where this is `OK` that of the intervention."""
        before, after = (vars(self)[name].status for name in ("baseline", "intervention"))
        return np.where(before != Status.OK, before, after)


# Fields in units of information.
AMOUNTS = ("difference", "lower", "upper", "standard_error")


def describe_differences(comparison: Differences) -> list[str]:
    """Return lines with the differences of one problem, or the ranges of many."""
    count = np.size(comparison.p_value.i_12)
    kind, unit = type(comparison).__name__, comparison.unit
    head = f"{kind} of {count} problem{'s' * (count != 1)}, intervention − baseline in {unit}"
    lines = [f"{head}, {comparison.level:.0%} intervals"]
    alpha = 1 - comparison.level
    for name in QUANTITIES:
        value, low, high, p, family = (
            np.ravel(getattr(getattr(comparison, part), name))
            for part in ("difference", "lower", "upper", "p_value", "family_wise")
        )
        if count == 1:
            text = f"{value[0]:>+z9.4f}"
            text += f" [{low[0]:+z.4f}, {high[0]:+z.4f}]  p = {p[0]:.3g}" if np.isfinite(value[0]) else ", no p-value"
        else:
            below, clear = (int((x <= alpha + 1e-12).sum()) for x in (p, family))
            text = f"{span(value, '+.4f'):>20}"
            text += f"  p ≤ {alpha:.2g} in {below} ({clear} family-wise)"
        lines.append(f"  {name:<13}{text}")
    lines += describe_status(comparison.status)
    return [*lines, *(f"  {'note:':<13}{note}" for note in comparison.notes)]
