"""Errors of single samples: recorded with the sample, the run goes on."""


class SampleError(ValueError):
    """One sample cannot be extracted.

    Attributes:
        stage: Where it failed: image, prompt, length, states.
    """

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


class TooManyFailures(RuntimeError):
    """More samples failed than were allowed; what was extracted stays in the store."""

    def __init__(self, failed: int, allowed: int) -> None:
        super().__init__(
            f"{failed} samples could not be extracted, more than the {allowed} that --max-errors (or --strict) allows. "
            "They are recorded in the store with their reasons; repair the data, or allow more and run the same "
            "command again: it goes on where it stopped."
        )
