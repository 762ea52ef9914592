"""CPU seconds of a call, and what they were measured on."""

import datetime
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

BLOCKS, SECONDS = 7, 0.15


def cpu_seconds(action: Callable[[], object]) -> float:
    """Measure the CPU time of all threads per call: the best of several blocks, each long enough to be read off."""
    action()
    start = time.perf_counter()
    action()
    calls = max(1, int(SECONDS / max(time.perf_counter() - start, 1e-6)))
    found = []
    for _ in range(BLOCKS):
        start = time.process_time()
        for _ in range(calls):
            action()
        found.append((time.process_time() - start) / calls)
    return min(found)


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
