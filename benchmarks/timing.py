"""CPU seconds of a call, and what they were measured on."""

import datetime
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

BLOCKS, SECONDS = 9, 0.15
# BLAS threads of the block before wait busily for a while, and their time would count as that of the next.
PAUSE = 0.2


def cpu_seconds(*actions: Callable[[], object]) -> list[float]:
    """Measure the CPU time of all threads per call: the best of several blocks, each long enough to be read off.

    The blocks of all actions take turns, so that a machine which is slower for a while is so for all of them.
    """
    calls = [_calls(action) for action in actions]
    found = [[_block(*pair) for pair in zip(actions, calls, strict=True)] for _ in range(BLOCKS)]
    return [min(times) for times in zip(*found, strict=True)]


def _calls(action: Callable[[], object]) -> int:
    """How often to call an action in one block."""
    action()
    start = time.perf_counter()
    action()
    return max(1, int(SECONDS / max(time.perf_counter() - start, 1e-6)))


def _block(action: Callable[[], object], calls: int) -> float:
    time.sleep(PAUSE)
    start = time.process_time()
    for _ in range(calls):
        action()
    return (time.process_time() - start) / calls


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
