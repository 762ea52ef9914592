"""Exact Gaussian PID of many layers: one compiled call against a SciPy loop over the same closed form.

Run `make bench`, or `python benchmarks/gaussian.py`. Prints a table and writes benchmarks/results/gaussian.json.
Times are CPU seconds (all threads) of the best of several repeats, after compilation; compare by the ratio.
"""

import json
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy.linalg import cholesky, eigvalsh, solve_triangular

from pid_jax import gaussian_pid

PROBLEMS, REPEATS, DIMS = 33, 5, (4, 8, 16, 32)
OUT = Path(__file__).parent / "results" / "gaussian.json"


def make_covariances(d: int) -> np.ndarray:
    """Wishart covariances of three variables of d dimensions."""
    samples = np.random.default_rng(d).normal(size=(PROBLEMS, 6 * d, 3 * d))
    return np.einsum("bni,bnj->bij", samples, samples) / (6 * d)


def unique_by_scipy(cov: np.ndarray, d: int) -> tuple[float, float]:
    """Unique informations of one problem, full rank, without status or certificate."""
    target = slice(2 * d, 3 * d)
    conditional = []
    for source in (slice(0, d), slice(d, 2 * d)):
        half = solve_triangular(cholesky(cov[source, source], lower=True), cov[source, target], lower=True)
        conditional.append(cov[target, target] - half.T @ half)
    log_ratio = np.log(eigvalsh(*conditional))
    return 0.5 * np.maximum(-log_ratio, 0).sum(), 0.5 * np.maximum(log_ratio, 0).sum()


def best_cpu_seconds(action) -> float:
    action()
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        action()
        seconds.append(time.process_time() - start)
    return min(seconds)


def measure(d: int) -> dict[str, float]:
    covs = make_covariances(d)
    estimate = gaussian_pid(covs, (d, d, d))
    loop = np.array([unique_by_scipy(cov, d) for cov in covs])
    error = np.abs(np.stack([estimate.atoms.unique_1, estimate.atoms.unique_2], axis=1) - loop).max()
    ours = best_cpu_seconds(lambda: gaussian_pid(covs, (d, d, d)))
    scipy_loop = best_cpu_seconds(lambda: [unique_by_scipy(cov, d) for cov in covs])
    return {
        "d": d,
        "problems": PROBLEMS,
        "pid_jax_cpu_s": ours,
        "scipy_uniques_cpu_s": scipy_loop,
        "ratio": ours / scipy_loop,
        "largest_difference_nats": float(error),
        "largest_gap_nats": float(np.abs(estimate.gap).max()),
    }


def main() -> None:
    rows = [measure(d) for d in DIMS]
    print(f"{'d':>4} {'pid_jax':>10} {'SciPy loop':>10} {'ratio':>6} {'difference':>11} {'gap':>9}")
    for r in rows:
        times = f"{r['pid_jax_cpu_s']:10.4f} {r['scipy_uniques_cpu_s']:10.4f} {r['ratio']:6.2f}"
        print(f"{r['d']:>4} {times} {r['largest_difference_nats']:11.1e} {r['largest_gap_nats']:9.1e}")
    print("pid_jax returns all atoms, a status and a certificate; the loop returns the unique informations alone.")
    versions = {name: version(name) for name in ("pid_jax", "jax", "jaxlib", "numpy", "scipy")}
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({"rows": rows, "versions": versions, "processor": platform.processor()}, indent=1))


if __name__ == "__main__":
    main()
