"""Errors of single samples: recorded with the sample, the run goes on."""

from collections.abc import Sequence

_LONGEST_SHOWN = 160


class SampleError(ValueError):
    """One sample cannot be extracted.

    Attributes:
        stage: Where it failed: record, image, processor, prompt, length, states, memory.
    """

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


class TooManyFailuresError(RuntimeError):
    """More samples failed than were allowed; what was extracted stays in the store."""

    def __init__(self, failed: int, allowed: int, shards: Sequence[str]) -> None:
        super().__init__(
            f"{failed} samples could not be extracted, more than the {allowed} that --max-errors (or --strict) allows. "
            "They are recorded in the store with their reasons. Allow more and run the same command again, which goes "
            f"on where it stopped; or repair the data, delete {', '.join(shards[:5])}"
            f"{' ...' if len(shards) > 5 else ''} and run it again, which tries their samples anew."
        )


def image_error(name: object, problem: str) -> SampleError:
    """Say what is wrong with the image of a sample, and what to do."""
    return SampleError("image", f"{shown(name)} {problem}")


def shown(text: object) -> str:
    """Write text of unknown origin as it may stand in a message: printable, on one line, shortened."""
    line = " ".join(str(text).split())
    line = "".join(letter if letter.isprintable() else "?" for letter in line[: _LONGEST_SHOWN + 1])
    return line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}..."
