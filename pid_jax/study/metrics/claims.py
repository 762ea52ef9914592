"""What a claim and a finding are, and what is asked of each; all numbers were fixed before any results."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from pid_jax.study.conditions import CLAIMED_EDGES

EARLY_PEAK = 1 / 3
LEAST_DECAY = 0.5
LANGUAGE_SHARE, SHARE_TOLERANCE = 0.82, 0.1
SYNERGY_SHARE = 0.02
CORRELATION = 0.96
EDGES = CLAIMED_EDGES
FEWEST_TASKS = 3
SUPPORTED, CONTRADICTED, NOT_TESTABLE = "supported", "contradicted", "not testable here"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A number with its interval, and where it is wanted.

    Attributes:
        name: What it is, in words.
        value: The estimate.
        lower: Lower end.
        upper: Upper end.
        least: It is wanted above this.
        most: It is wanted below this.
    """

    name: str
    value: float
    lower: float
    upper: float
    least: float = -np.inf
    most: float = np.inf

    @property
    def is_known(self) -> bool:
        """Whether value and interval exist."""
        return bool(np.isfinite([self.value, self.lower, self.upper]).all())

    @property
    def is_inside(self) -> bool:
        """Whether the whole interval is where it is wanted."""
        return self.is_known and self.lower > self.least and self.upper < self.most

    @property
    def is_outside(self) -> bool:
        """Whether the whole interval is where it is not wanted."""
        return self.is_known and (self.upper <= self.least or self.lower >= self.most)

    @property
    def is_met(self) -> bool | None:
        """Whether the estimate alone is where it is wanted; None where there is none."""
        return bool(self.least < self.value < self.most) if np.isfinite(self.value) else None

    def __str__(self) -> str:
        bounds = [("above", self.least), ("below", self.most)]
        wanted = " and ".join(f"{side} {bound:.3g}" for side, bound in bounds if np.isfinite(bound))
        if not np.isfinite(self.value):
            return f"{self.name} cannot be computed (wanted {wanted})"
        if not self.is_known:
            return f"{self.name} is {self.value:.3g} without an interval (wanted {wanted})"
        return f"{self.name} is {self.value:.3g} ({self.lower:.3g} to {self.upper:.3g}; wanted {wanted})"


def decide(findings: list[Finding]) -> str:
    """Say what several findings, all of which are needed, mean for a claim."""
    if any(finding.is_outside for finding in findings):
        return CONTRADICTED
    return SUPPORTED if all(finding.is_inside for finding in findings) else NOT_TESTABLE


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What is known about one claim in one model.

    Attributes:
        findings: All that are needed; the first has the number that decides.
        note: What else to say.
        chance: Why random systems give the same number, "" if they do not or nobody knows: the claim then is not
            supported whatever its number is.
        obstacle: Why the claim cannot be tested whatever the numbers are, "" if it can.
    """

    findings: list[Finding] = field(default_factory=list)
    note: str = ""
    chance: str = ""
    obstacle: str = ""

    @property
    def verdict(self) -> str:
        """The verdict."""
        if self.obstacle or not self.findings:
            return NOT_TESTABLE
        found = decide(self.findings)
        return NOT_TESTABLE if found == SUPPORTED and self.chance else found

    @property
    def reason(self) -> str:
        """One sentence with the numbers."""
        parts = [self.obstacle, *map(str, self.findings), self.note]
        if self.verdict == NOT_TESTABLE and not self.obstacle:
            open_ = [f.name for f in self.findings if not f.is_inside]
            parts.append(f"undecided: {' and '.join(open_) or self.chance}")
        sentence = "; ".join(part for part in parts if part)
        return f"{sentence[0].upper()}{sentence[1:]}."


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim: what it says, when it counts as supported, how that is found out, and what a study needs for it.

    Attributes:
        text: The claim.
        criterion: What is asked for.
        judge: Judges it in one model of a study with its metrics, where the study has what the claim needs.
        about: The modality that a source must be; "" if none.
        edges: What a knockout of the model must cut; "" if the claim needs none.
        compares_models: Whether it needs another model.
        unit: Unit of the number that decides.
    """

    text: str
    criterion: str
    judge: Callable[[xr.Dataset, int], Judged]
    about: str = ""
    edges: str = ""
    compares_models: bool = False
    unit: str = "1"
