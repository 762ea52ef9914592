"""How long computations tell how far they are."""

from collections.abc import Callable
from threading import Lock

Progress = Callable[[int, int], None]
"""Called with steps done and all there are."""


def no_progress(done: int, total: int) -> None:
    """Tell nobody."""


def part_of(progress: Progress, place: int, parts: int) -> Progress:
    """Make what tells of one of several parts of equal length tell of the whole, in thousandths of a part."""
    return lambda done, total: progress(round(1000 * (place + done / total)), 1000 * parts)


class StepCounter:
    """Adds up the steps of all threads, and tells.

    Args:
        progress: Whom to tell.
        total: All steps there are.
    """

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done, self._lock = progress, total, 0, Lock()

    def advance(self, steps: int) -> None:
        """Count steps that have been taken."""
        with self._lock:
            self._done = min(self._done + steps, self._total)  # a part that is tried again counts twice
            self._progress(self._done, self._total)
