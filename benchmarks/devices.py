"""The same work on 1, 2 and 4 devices: virtual ones, which share the cores of one machine.

One device may be held to one core, since flows use all cores of a device anyway. `python -m benchmarks.devices NAME
CORES` measures one way in this process, on all devices that there are.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from benchmarks.workloads import DIM, covariances, draw, estimate, fit
from pid_jax import gaussian_pid

RUNS = 3
ALL = os.cpu_count() or 1
# Devices, and cores for all of them.
PLACES = ((1, 1), (1, ALL), (2, ALL), (4, ALL))
PER_LAYER = 1000
LAYERS = {"gaussian_pid": 1024, "estimate_pid": 64, "fit_flow": 16}


def over_devices() -> list[dict[str, Any]]:
    """Measure all ways on all counts of devices."""
    rows = []
    for name, layers in LAYERS.items():
        for count, cores in PLACES:
            flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
            command = [sys.executable, "-m", "benchmarks.devices", name, str(cores)]
            environment = os.environ | {"XLA_FLAGS": flags.strip(), "JAX_PLATFORMS": "cpu"}
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
            found = json.loads(done.stdout.splitlines()[-1])
            rows.append({"way": name, "devices": count, "layers": layers, "cores": cores, **found})
            print(rows[-1], flush=True)
    return rows


def action(name: str) -> Callable[[], object]:
    """Make the call of one way; a mesh of None is all devices."""
    covs = covariances(LAYERS[name])
    if name == "gaussian_pid":
        return partial(gaussian_pid, covs, (DIM, DIM, DIM), mesh=None)
    drawn = draw(covs, PER_LAYER)
    return partial({"estimate_pid": estimate, "fit_flow": fit}[name], drawn, mesh=None)


def child(name: str, cores: str) -> None:
    """Print the fastest of several calls on some cores, after one that compiles."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cores)])
    call = action(name)
    call()
    runs = []
    for _ in range(RUNS):
        cpu, wall = time.process_time(), time.perf_counter()
        call()
        runs.append((time.perf_counter() - wall, time.process_time() - cpu))
    wall, cpu = np.min(runs, axis=0)
    print(json.dumps({"wall ms": 1e3 * wall, "CPU ms": 1e3 * cpu, "devices seen": jax.device_count()}))


if __name__ == "__main__":
    child(*sys.argv[1:])
