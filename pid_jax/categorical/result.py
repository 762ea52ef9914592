"""The result about a categorical answer: atoms with intervals, and the share of every sample in them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pid_jax.decompose.dataset import Result
from pid_jax.decompose.result import ATOMS, INFORMATION, describe_status, span
from pid_jax.gaussian.information import Information
from pid_jax.gaussian.status import Status
from pid_jax.pid.atoms import PIDAtoms, PIDQuantities

SHOWN_DECIMALS = 6  # smaller amounts are rounding: classifiers are fitted in single precision
PREDICTORS = ("source_1", "source_2", "both")
AMOUNTS = (
    "atoms",
    "information",
    "entropy",
    "standard_error",
    "lower",
    "upper",
    "pointwise",
    "union_lower",
    "union_upper",
    "cell_loss",
    "claimed",
)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AnswerPID(Result):
    """Fields that decompositions of the information about an answer share; see `CategoricalPID`."""

    atoms: PIDAtoms
    information: Information
    entropy: np.ndarray
    status: np.ndarray
    standard_error: PIDQuantities
    lower: PIDQuantities
    upper: PIDQuantities
    pointwise: PIDQuantities
    union_lower: np.ndarray
    union_upper: np.ndarray
    cell_loss: np.ndarray
    claimed: Information
    temperature: np.ndarray
    classes: tuple
    level: float
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    unit: str = "nats"

    @property
    def gap(self) -> np.ndarray:
        """Width of the certified interval of the union information."""
        return self.union_upper - self.union_lower

    def _describe(self, head: str, *more: str) -> str:
        """Show one problem in full, or the range of many, and more lines of a title and a text."""
        lines = [f"{head}, in {self.unit}", f"  {'H(answer):':<13}{span(self.entropy)}"]
        for title, values, names in (("atoms", self.atoms, ATOMS), ("information", self.information, INFORMATION)):
            parts = [self._with_ends(name, getattr(values, name)) for name in names]
            lines.append(f"  {title + ':':<13}{', '.join(parts)}")
        lines.append(f"  {'certified:':<13}union information within {span(self.gap, '.2g')}")
        lines += more
        lines += describe_status(self.status)
        lines += [f"  {'note:':<13}{note}" for note in self.notes]
        return "\n".join(lines)

    def _with_ends(self, name: str, values: np.ndarray) -> str:
        text = f"{name} {span(np.round(values, SHOWN_DECIMALS))}"
        if self.status.size == 1:
            ends = (span(np.round(getattr(end, name), SHOWN_DECIMALS)) for end in (self.lower, self.upper))
            text += f" [{', '.join(ends)}]"
        return text


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CategoricalPID(
    AnswerPID,
    amounts=(*AMOUNTS, "held_out", "learning", "noise"),
    flat=("atoms", "information"),
    axes={
        "pointwise": (..., "sample"),
        "answer": (..., "sample"),
        "kept": ("row",),
        "cell_loss": (..., "source"),
        "temperature": (..., "source"),
        "classifier": (..., "predictor"),
    },
):
    """A batch of decompositions of the information about a categorical answer.

    Arrays have the leading axes of the input.

    Attributes:
        atoms: Redundancy, unique_1, unique_2, synergy.
        information: I_1, I_2, I_12.
        entropy: Entropy of the answer, which no information exceeds but by chance.
        status: `Status` of each problem.
        standard_error: Standard errors of atoms and informations: the scatter of samples, what classifiers had left to
            learn, and the width of the certified interval of the union information.
        lower: Lower ends of the intervals.
        upper: Upper ends.
        pointwise: Share of every sample that was used in each quantity (..., n); these are signed, and their mean is
            the estimate.
        answer: Class of every sample that was used, a number into `classes`.
        kept: Rows of the samples that were used.
        union_lower: Certified lower bound of the union information that the calibrated predictions have.
        union_upper: Certified upper bound; its distance from the lower one is the gap of the solver, and what each
            source loses by being cut into cells.
        cell_loss: What each source loses by being cut into cells (..., 2).
        held_out: Informations by the held-out likelihood alone.
        claimed: Informations that the held-out predictions claim, before they are calibrated.
        learning: What was added to `held_out`: half its distance from the same on the training samples, which is what
            classifiers of this many samples have not learned yet.
        noise: By how much noise of the predictions had raised the union information; it is subtracted.
        temperature: Temperature of the predictions of each source (..., 2): above 1 where they claimed too much; NaN
            with `MMI` and `IMin`, for which they are not calibrated.
        classifier: Name of the classifier that was chosen for source_1, source_2, and both (..., 3).
        classes: Names of the classes.
        dims: Components of source_1 and source_2 that classifiers saw.
        level: Probability with which an interval covers the truth.
        notes: What was pooled, left out, or done differently than asked, in plain words.
        settings: Everything that was chosen, JSON-ready.
        unit: "nats" or "bits".
    """

    answer: np.ndarray
    kept: np.ndarray
    held_out: Information
    learning: Information
    noise: np.ndarray
    classifier: np.ndarray
    dims: tuple

    @property
    def samples(self) -> int:
        """Number of samples that were used."""
        return self.answer.shape[-1]

    def __repr__(self) -> str:
        """Show one problem in full, or the range of many."""
        count = self.status.size
        head = f"CategoricalPID of {count} problem{'s' * (count != 1)}, {len(self.classes)} classes, n = {self.samples}"
        names, counts = np.unique(self.classifier[self.status == Status.OK], return_counts=True)
        chosen = ", ".join(f"{name} ({number})" for name, number in zip(names, counts, strict=True)) or "none"
        return self._describe(head, f"  {'classifiers:':<13}{chosen}")
