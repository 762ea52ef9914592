"""The claims that are judged, and what has to be found for each; all numbers were fixed before any results."""

from dataclasses import dataclass

import numpy as np

EARLY_PEAK = 1 / 3
LEAST_DECAY = 0.5
LANGUAGE_SHARE, SHARE_TOLERANCE = 0.82, 0.1
SYNERGY_SHARE = 0.02
CORRELATION = 0.96
EDGES = "image-question"
FEWEST_TASKS = 3
SUPPORTED, NOT_SUPPORTED, NOT_TESTABLE = "supported", "not supported", "not testable here"


@dataclass(frozen=True)
class Claim:
    """A claim: what it says, and when it counts as supported.

    Attributes:
        text: The claim.
        criterion: What is asked for.
        unit: Unit of the number that decides.
    """

    text: str
    criterion: str
    unit: str = "1"


CLAIMS = {
    "vision_early": Claim(
        "Vision-unique information peaks early and decays.",
        "In the mean trajectory over tasks, vision-unique peaks in the first third of the depth, and more than "
        f"{LEAST_DECAY:g} of its peak is lost by the last layer; the part lost is the number that decides.",
    ),
    "language_late": Claim(
        "Language-unique information surges late, to about 82 % of the final prediction.",
        f"In the mean trajectory over tasks, the share of language-unique in I_12 is within {SHARE_TOLERANCE:g} of "
        f"{LANGUAGE_SHARE:g} at the last layer, and grows by more than {SHARE_TOLERANCE:g} in the second half of the "
        "depth; the final share is the number that decides.",
    ),
    "synergy_small": Claim(
        "Synergy stays below 2 %.",
        f"In the mean trajectory over tasks, the share of synergy in I_12 is below {SYNERGY_SHARE:g} at every layer; "
        "the largest share is the number that decides.",
    ),
    "variants_agree": Claim(
        "Trajectories of model variants correlate above 0.96.",
        f"Over depth, atoms and tasks together, trajectories correlate above {CORRELATION:g} with those of every other "
        "model, each curve taken around its own mean; the lowest correlation is the number that decides.",
    ),
    "knockout_ordering": Claim(
        "Knockouts trap vision-unique information, most in visual and least in redundant tasks.",
        "Under the widest cut from image to question, trapped vision-unique information is above zero in the mean over "
        "tasks, its rank correlation over tasks with vision dependence is above zero, and that with redundancy below; "
        "the correlation with vision dependence is the number that decides.",
    ),
}


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
        return NOT_SUPPORTED
    return SUPPORTED if all(finding.is_inside for finding in findings) else NOT_TESTABLE
