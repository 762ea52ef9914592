"""The result of a permutation test: p-values, and these adjusted for all problems."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from pid_jax.decompose.dataset import Result
from pid_jax.decompose.result import describe_status, span
from pid_jax.inference.multiplicity import (
    exceedance,
    false_discovery_rate,
    family_wise_by_maximum,
    settle,
    standardize,
)
from pid_jax.pid.atoms import QUANTITIES, PIDQuantities
from pid_jax.settings.inference import ConditionalIndependence, Independence


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PIDTest(Result, amounts=("statistic", "replicates"), axes={"replicates": ("resample", ...)}):
    """P-values of atoms and informations. Every array has the leading axes of the input.

    Attributes:
        status: `Status` of the decomposition of the samples. Where an atom or information is NaN, so are its p-values.
        statistic: What was tested: atoms and informations as the samples show them, biased as they are.
        p_value: Probability under the null of what is at least as large.
        false_discovery: P-values adjusted over all problems, for each quantity alone: rejecting those up to q makes a
            share q of false rejections on average at most (Benjamini & Hochberg).
        family_wise: P-values adjusted in the same way for the probability of any false rejection (step-down maxT).
        replicates: Statistics under the null, (resamples, ...).
        notes: What speaks against the p-values, in plain words.
        settings: What was chosen, JSON-ready.
        unit: "nats" or "bits", of statistic and replicates.
    """

    status: np.ndarray
    statistic: PIDQuantities
    p_value: PIDQuantities
    false_discovery: PIDQuantities
    family_wise: PIDQuantities
    replicates: PIDQuantities
    notes: tuple[str, ...]
    settings: Mapping[str, Any]
    unit: str = "nats"

    def __repr__(self) -> str:
        """Show p-values: those of one problem, or the smallest of many and what is left after adjustment."""
        count = np.size(self.p_value.i_12)
        null = self.settings["null"]
        what, drawn = f"null {null['method']}", "replicates"
        if null["method"] == Independence.__name__:
            what, drawn = "target independent of both sources", "permutations"
        elif null["method"] == ConditionalIndependence.__name__:
            what = f"target independent of source_{null['source']} given source_{3 - null['source']}"
        lines = [
            f"PIDTest of {count} problem{'s' * (count != 1)}, {what}, {self.settings['resamples']} {drawn}",
            f"  {'':<13}{self.unit:>18}{'p':>9}{'' if count == 1 else '  family-wise   p ≤ .05 (family-wise)'}",
        ]
        for name in QUANTITIES:
            value, p, family = (np.ravel(getattr(x, name)) for x in (self.statistic, self.p_value, self.family_wise))
            line = f"  {name:<13}{span(value, '.4f'):>18}{_smallest(p):>9}"
            if count > 1:
                line += f"{_smallest(family):>13}   {int((p <= 0.05).sum())} ({int((family <= 0.05).sum())})"
            lines.append(line)
        lines += describe_status(self.status)
        return "\n".join([*lines, *(f"  {'note:':<13}{note}" for note in self.notes)])


def _smallest(values: np.ndarray) -> str:
    known = values[~np.isnan(values)]
    return f"{known.min():.4f}" if known.size else "NaN"


def p_values(statistic: PIDQuantities, replicates: PIDQuantities) -> dict[str, Any]:
    """Return the fields of a `PIDTest` that follow from statistics (problems) and replicates (resamples, problems)."""
    # Atoms are differences of informations, of which the largest is I_12: what rounding leaves is a part of that.
    informed = np.concatenate([np.asarray(statistic.i_12)[None], replicates.i_12])
    scale = np.where(np.isfinite(informed), informed, 0).max(axis=0)
    settled = jax.tree.map(lambda one, drawn: settle(one, drawn, scale), statistic, replicates)
    p_value = jax.tree.map(exceedance, statistic, settled)
    return {
        "statistic": statistic,
        "p_value": p_value,
        "false_discovery": jax.tree.map(false_discovery_rate, p_value),
        "family_wise": jax.tree.map(
            lambda one, drawn: family_wise_by_maximum(*standardize(one, drawn)), statistic, settled
        ),
    }
