"""CPU time and memory of bootstrap replicates.

Run `make bench`, or `python -m benchmarks.bootstrap`. Prints tables and writes them to
benchmarks/results/bootstrap.json and bootstrap.md.
"""

import resource
import time
from collections.abc import Callable

import jax
import numpy as np

from benchmarks.pages import write_page
from benchmarks.timing import circumstances
from pid_jax import BROJA, Independence, gaussian_pid
from pid_jax.gaussian.wishart import numpy_generator
from pid_jax.inference.permuted import draw_permutations, permuted_quantities
from pid_jax.inference.replicates import gaussian_replicates, row_replicates
from pid_jax.runtime.devices import laid_out
from pid_jax.runtime.progress import no_progress
from pid_jax.testing.problems import random_channel

PACKAGES = ("pid_jax", "jax", "numpy", "scipy")
PROBLEMS, DIM, SAMPLES, RESAMPLES, REPEATS = 33, 16, 5000, 1000, 3
BUDGET_GB = 0.2
DIMS = (DIM, DIM, DIM)


def draw() -> np.ndarray:
    """Draw rows of 33 problems of 16 + 16 + 16 dims."""
    cov, _ = random_channel(np.random.default_rng(0), DIMS, (0.3, 0.3))
    noise = np.random.default_rng(1).standard_normal((PROBLEMS, SAMPLES, 3 * DIM))
    return noise @ np.linalg.cholesky(cov).T


def seconds(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def peak() -> float:
    """Most memory that this process has used, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    rows = draw()
    cov = np.stack([np.cov(one.T) for one in rows])
    key = jax.random.key(0)

    def parametric(resamples: int) -> None:
        gaussian_replicates(cov, DIMS, SAMPLES, BROJA(), resamples, key, no_progress)

    def pairs(resamples: int) -> None:
        row_replicates(rows, DIMS, BROJA(), resamples, 1, key, no_progress)

    def permutations(resamples: int) -> None:
        drawn = draw_permutations(numpy_generator(key), SAMPLES)
        permuted_quantities(rows, cov, DIMS, Independence(), BROJA(), drawn, resamples, no_progress)

    parametric(RESAMPLES)
    gaussian_pid(cov, DIMS)
    times = []
    for repeat in range(REPEATS):
        replicates = seconds(lambda: parametric(RESAMPLES))
        batched = seconds(lambda: [gaussian_pid(cov, DIMS) for _ in range(100)]) / 100
        ratio = replicates / (RESAMPLES * batched)
        times.append(
            {"repeat": repeat + 1, "replicates": replicates, "1000 batched calls": 1000 * batched, "ratio": ratio}
        )
    memory = []
    for name, action in (("Parametric", parametric), ("Pairs", pairs), ("Permutations", permutations)):
        with laid_out(budget_gb=BUDGET_GB):
            action(20)
            before = peak()
            action(20 * RESAMPLES if name == "Parametric" else RESAMPLES)
        memory.append({"kind": name, "budget, GB": BUDGET_GB, "memory over what was there before, GB": peak() - before})
    write_page(
        "bootstrap",
        "Bootstrap replicates",
        f"{PROBLEMS} problems of {DIM} + {DIM} + {DIM} dims, n = {SAMPLES}, {RESAMPLES} replicates (20 times as many "
        "for the memory of Parametric), CPU seconds after compilation, the search of the model included.",
        {"CPU seconds": times, "Memory": memory},
        circumstances(*PACKAGES),
    )


if __name__ == "__main__":
    main()
