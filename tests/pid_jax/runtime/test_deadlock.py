"""The program that hangs jaxlib 0.10.* on two cores, many times under a timeout: a bad pin shows itself."""

import subprocess
import sys

import pytest

RUNS, PROBLEMS, DIM = 200, 33, 64
PROGRAM = f"""
import numpy as np
from pid_jax import gaussian_pid
generator = np.random.default_rng(0)
samples = generator.normal(size=({PROBLEMS}, {6 * DIM}, {3 * DIM}))
covs = np.einsum("bni,bnj->bij", samples, samples) / {6 * DIM}
for run in range({{runs}}):
    estimate = gaussian_pid(covs, ({DIM}, {DIM}, {DIM}))
assert (estimate.status == 0).all() and abs(estimate.gap).max() < 1e-10
print("finished")
"""


def _run(runs: int, timeout: float) -> None:
    program = PROGRAM.replace("{runs}", str(runs))
    command = [sys.executable, "-c", program]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert "finished" in finished.stdout, finished.stderr


def test_once():
    _run(1, 120)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_times():
    _run(RUNS, 1700)
