"""What was looked at while a model was loaded."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One thing that was looked at.

    Attributes:
        subject: What it is, in a word or two.
        finding: What was found, and what follows from it.
        is_notable: Whether something is not as most checkpoints have it, so that a run says it before it starts.
    """

    subject: str
    finding: str
    is_notable: bool = False
