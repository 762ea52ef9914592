"""CPU seconds of a call, and what they were measured on."""

import datetime
import os
import platform
import resource
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

BLOCKS, SECONDS = 9, 0.15
# BLAS threads of the block before wait busily for a while, and their time would count as that of the next.
PAUSE = 0.2


def cpu_seconds(*actions: Callable[[], object], blocks: int = BLOCKS, seconds: float = SECONDS) -> list[float]:
    """Measure the CPU time of all threads per call: the best of several blocks, each long enough to be read off.

    The blocks of all actions take turns, so that a machine which is slower for a while is so for all of them.

    Args:
        actions: What to call.
        blocks: How many blocks of each there are.
        seconds: Length of a block; 0 for one call each.
    """
    return [min(times) for times in zip(*cpu_turns(*actions, blocks=blocks, seconds=seconds), strict=True)]


def cpu_turns(*actions: Callable[[], object], blocks: int = BLOCKS, seconds: float = SECONDS) -> list[list[float]]:
    """Measure as `cpu_seconds` does, and return what every turn of all actions took."""
    calls = [_calls(action, seconds) for action in actions]
    return [[_block(*pair) for pair in zip(actions, calls, strict=True)] for _ in range(blocks)]


def _calls(action: Callable[[], object], seconds: float) -> int:
    """How often to call an action in one block; the first call compiles."""
    action()
    if not seconds:
        return 1
    start = time.perf_counter()
    action()
    return max(1, int(seconds / max(time.perf_counter() - start, 1e-6)))


def _block(action: Callable[[], object], calls: int) -> float:
    time.sleep(PAUSE)
    start = _clock()
    for _ in range(calls):
        action()
    return (_clock() - start) / calls


def _clock() -> float:
    """CPU seconds of this process, and of children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def circumstances(*packages: str) -> dict[str, Any]:
    """Name date, machine and versions."""
    return {
        "date": datetime.date.today().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    models = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return models[0] if models else platform.processor()
