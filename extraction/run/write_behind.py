"""Writing in a thread beside the main one, so that the model computes the next shard meanwhile."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self


class WriteBehind:
    """Makes calls in another thread, one after the other, in a `with` block; at its end all have been made.

    A call begins when the one before has ended. An error of a call is raised by the next method, or by the end of the
    block.
    """

    def __enter__(self) -> Self:
        """Start the thread."""
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="write")
        self._running: Future[None] | None = None
        return self

    def submit(self, call: Callable[[], None]) -> None:
        """Wait for the call before, and begin this one."""
        self.wait()
        self._running = self._pool.submit(call)

    def wait(self) -> None:
        """Wait for the call that is running; raise what it raised."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Wait for the thread; an error in the block goes before one of the call, and names it."""
        self._pool.shutdown(wait=True)
        try:
            self.wait()
        except Exception as other:
            if error is None:
                raise
            error.add_note(f"Writing failed too: {other}")
