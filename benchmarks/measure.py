"""The cost of a call: CPU seconds of all threads, wall seconds and memory, here or in a process of its own (Linux)."""

import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

BLOCKS, SECONDS = 9, 0.15
# BLAS threads of the previous block spin for a while, and their time would count as that of the next.
PAUSE = 0.2


class Cost:
    """The cost of everything inside `with cost:`, summed over all blocks.

    Attributes:
        cpu: CPU seconds of all threads, and of child processes that have ended.
        wall: Wall seconds.
        peak: Largest resident memory above that at the start of a block, in MB.
    """

    def __init__(self) -> None:
        self.cpu, self.wall, self.peak = 0.0, 0.0, 0.0

    def __enter__(self) -> "Cost":
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
        self._held = resident_mb()
        self._start = _cpu_clock(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu += _cpu_clock() - self._start[0]
        self.wall += time.perf_counter() - self._start[1]
        self.peak = max(self.peak, resident_mb("VmHWM") - self._held)


def cost_of(action: Callable[[], object]) -> Cost:
    """Measure one call, after a pause."""
    time.sleep(PAUSE)
    with Cost() as cost:
        action()
    return cost


def cpu_seconds(*actions: Callable[[], object], blocks: int = BLOCKS, seconds: float = SECONDS) -> list[float]:
    """Measure CPU seconds per call: the best of several blocks, each long enough for the clock, after one warm-up call.

    The blocks of all actions take turns, so that a machine that is slow for a while is slow for all of them.

    Args:
        actions: What to call.
        blocks: Number of blocks of each.
        seconds: Length of a block; 0 for one call each.
    """
    return [min(times) for times in zip(*cpu_turns(*actions, blocks=blocks, seconds=seconds), strict=True)]


def cpu_turns(*actions: Callable[[], object], blocks: int = BLOCKS, seconds: float = SECONDS) -> list[list[float]]:
    """Measure as `cpu_seconds` does, and return every turn of every action."""
    calls = [_calls(action, seconds) for action in actions]
    return [[_block(*pair) for pair in zip(actions, calls, strict=True)] for _ in range(blocks)]


def _calls(action: Callable[[], object], seconds: float) -> int:
    """Choose the number of calls in one block; the first call compiles."""
    action()
    if not seconds:
        return 1
    start = time.perf_counter()
    action()
    return max(1, int(seconds / max(time.perf_counter() - start, 1e-6)))


def _block(action: Callable[[], object], calls: int) -> float:
    time.sleep(PAUSE)
    start = _cpu_clock()
    for _ in range(calls):
        action()
    return (_cpu_clock() - start) / calls


def _cpu_clock() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def resident_mb(field: str = "VmRSS") -> float:
    """Read the resident memory of this process: now, or the largest since the last reset ("VmHWM")."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def apart(action: Callable[..., Any], *arguments: Any, **environment: str) -> Any:
    """Call a function of a module in a fresh process and return its result.

    Args:
        action: The function.
        arguments: Its arguments.
        environment: Variables of the environment to set in that process.
    """
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(action, *arguments).result()
    finally:
        os.environ.clear()
        os.environ.update(before)


def repeats_apart(action: Callable[[str], Any], names: Iterable[str], repeats: int) -> dict[str, list[Any]]:
    """Call a function of a name in a fresh process for every name in turns, several times; results by name."""
    found: dict[str, list[Any]] = {name: [] for name in names}
    for _ in range(repeats):
        for name, results in found.items():
            results.append(apart(action, name))
            print(name, results[-1], flush=True)
    return found
