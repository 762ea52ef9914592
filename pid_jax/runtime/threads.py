"""One thread for BLAS around compiled calls, where several get in each other's way."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock

from threadpoolctl import ThreadpoolController

# From this size of a matrix on, one factorization is worth several threads.
LARGE = 2048


def usable_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def one_blas_thread(size: int) -> Iterator[None]:
    """Let BLAS use one thread inside the block, unless the matrices are large.

    The number belongs to the whole process. Blocks of several threads that overlap in time therefore share one change:
    the first to enter makes it, the last to leave takes it back, and with it any other that was made meanwhile.

    Args:
        size: Rows of the matrices to be factored.
    """
    if size >= LARGE:
        yield
        return
    _limit.enter()
    try:
        yield
    finally:
        _limit.leave()


class _SharedLimit:
    def __init__(self) -> None:
        self._lock = Lock()
        self._holders = 0
        self._change = None

    def enter(self) -> None:
        with self._lock:
            if self._change is None:
                self._change = _controller().limit(limits=1, user_api="blas")
            self._holders += 1

    def leave(self) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders or self._change is None:
                return
            # Only the thread that set a limit may change it, but here the last one has to, whichever it is.
            for library in _controller().lib_controllers:
                if hasattr(library, "clear_controlling_thread"):
                    library.clear_controlling_thread(force=True)
            self._change.restore_original_limits()
            self._change = None


_limit = _SharedLimit()


@cache
def _controller() -> ThreadpoolController:
    """Find the loaded BLAS libraries, once: it takes milliseconds."""
    import scipy.linalg  # noqa: F401  JAX calls the LAPACK that SciPy brings; it must be loaded to be found

    return ThreadpoolController()
