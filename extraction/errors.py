"""Errors of single samples: recorded with the sample, the run goes on."""


class SampleError(ValueError):
    """One sample cannot be extracted.

    Attributes:
        stage: Where it failed: image, prompt, length, states.
    """

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage
