"""CPU time and memory of bootstrap replicates."""

from functools import partial

import jax
import numpy as np

from benchmarks.measure import cost_of
from benchmarks.problems import draw
from benchmarks.record import write_results
from pid_jax import BROJA, Independence, gaussian_pid, use_devices
from pid_jax.gaussian.wishart import numpy_generator
from pid_jax.inference.permuted import draw_permutations, permute, permuted_quantities
from pid_jax.inference.replicates import gaussian_replicates, row_replicates
from pid_jax.runtime.progress import no_progress
from pid_jax.testing.problems import random_channel

PROBLEMS, DIM, SAMPLES, RESAMPLES, REPEATS = 33, 16, 5000, 1000, 3
BUDGET_GB = 0.2
DIMS = (DIM, DIM, DIM)


def data() -> tuple[np.ndarray, np.ndarray]:
    """Draw rows of 33 problems of 16 + 16 + 16 dims, and compute their covariances."""
    problem = random_channel(np.random.default_rng(0), DIMS, (0.3, 0.3))
    rows = np.concatenate(draw(problem, np.random.default_rng(1), PROBLEMS, SAMPLES), axis=-1)
    return rows, np.stack([np.cov(one.T) for one in rows])


def main() -> None:
    rows, cov = data()
    key = jax.random.key(0)
    drawn = draw_permutations(numpy_generator(key), SAMPLES)
    kinds = {
        "Parametric": lambda count: gaussian_replicates(cov, DIMS, SAMPLES, BROJA(), count, key, no_progress),
        "Pairs": lambda count: row_replicates(rows, DIMS, BROJA(), count, 1, key, no_progress),
        "Permutations": lambda count: permuted_quantities(
            cov, DIMS, BROJA(), permute(rows, DIMS, Independence()), drawn, count, rows.nbytes, no_progress
        ),
    }
    kinds["Parametric"](RESAMPLES)
    gaussian_pid(cov, DIMS)
    times = []
    for repeat in range(REPEATS):
        replicates = cost_of(partial(kinds["Parametric"], RESAMPLES)).cpu
        calls = 10 * cost_of(lambda: [gaussian_pid(cov, DIMS) for _ in range(100)]).cpu
        row = {"repeat": repeat + 1, "replicates": replicates, "1000 batched calls": calls}
        times.append(row | {"ratio": replicates * 1000 / RESAMPLES / calls})
    memory = []
    for name, action in kinds.items():
        with use_devices(budget_gb=BUDGET_GB):
            action(20)
            cost = cost_of(partial(action, 20 * RESAMPLES if name == "Parametric" else RESAMPLES))
        memory.append(
            {"kind": name, "budget, GB": BUDGET_GB, "memory over what was there before, GB": cost.peak / 1000}
        )
    write_results(
        "bootstrap",
        "Bootstrap replicates",
        f"{PROBLEMS} problems of {DIM} + {DIM} + {DIM} dims, n = {SAMPLES}, {RESAMPLES} replicates (20 times as many "
        "for the memory of Parametric), CPU seconds after compilation, the search of the model included.",
        {"CPU seconds": times, "Memory": memory},
    )


if __name__ == "__main__":
    main()
