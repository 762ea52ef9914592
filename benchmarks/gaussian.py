"""Gaussian PID of many problems at once, against a plain SciPy loop over the same LAPACK calls, and against hoi.

Run `make bench`. Prints the tables and writes them to benchmarks/results/gaussian.json and gaussian.md. Times are CPU
seconds of all threads per call, after compilation; compare by the ratios, which are taken in one run.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from hoi.metrics import RedundancyMMI, SynergyMMI
from scipy.linalg.lapack import dpotrf
from threadpoolctl import threadpool_limits

from benchmarks.floors import floor_seconds, gaussian_bytes, gaussian_operations
from benchmarks.pages import write_page
from benchmarks.scipy_loop import decompose_all
from benchmarks.timing import circumstances, cpu_seconds
from pid_jax import (
    MMI,
    NoGaussianization,
    NoReduction,
    PIDSpec,
    estimate_pid,
    gaussian_pid,
    gaussian_union,
)
from pid_jax.testing.problems import random_wishart

SIZES, BATCHES, MOST_ROWS = (1, 4, 8, 16, 32, 64, 128), (1, 33, 1000), 16_000
PACKAGES = ("pid_jax", "jax", "jaxlib", "numpy", "scipy", "hoi", "threadpoolctl")


def wisharts(dims: tuple[int, ...], count: int) -> np.ndarray:
    return np.stack([random_wishart(np.random.default_rng(seed), dims).cov for seed in range(count)])


def both_ways(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float, float, float]:
    """Measure CPU seconds of both as they are, and again, in turns of their own, while BLAS has one thread."""
    seconds, others = cpu_seconds(ours, theirs)
    with threadpool_limits(limits=1, user_api="blas"):
        limited, limited_others = cpu_seconds(ours, theirs)
    return seconds, others, limited_others, limited / limited_others


def against_scipy(size: int, batch: int) -> dict[str, Any]:
    """All atoms with certificates, d1 = d2 = dt = size."""
    dims = (size, size, size)
    covs = wisharts(dims, batch)
    found, loop = gaussian_pid(covs, dims), decompose_all(covs, dims)
    atoms = [found.atoms.redundancy, found.atoms.unique_1, found.atoms.unique_2, found.atoms.synergy]
    seconds, loop_seconds, one_thread, ratio = both_ways(
        lambda: gaussian_pid(covs, dims), lambda: decompose_all(covs, dims)
    )
    return {
        "d": size,
        "problems": batch,
        "pid_jax ms": 1e3 * seconds,
        "loop ms": 1e3 * loop_seconds,
        "floor ms": 1e3 * floor_seconds(batch * gaussian_operations(size), batch * gaussian_bytes(size)),
        "ratio": seconds / loop_seconds,
        "loop, 1 BLAS thread ms": 1e3 * one_thread,
        "ratio to that": ratio,
        "difference nats": float(np.abs(np.stack(atoms, axis=1) - loop[:, :4]).max()),
        "gap nats": float(np.abs(found.gap).max()),
    }


def against_cholesky() -> dict[str, Any]:
    """One problem with many source dims, against the two factorizations that it needs: both sources, source_2."""
    dims = (1000, 600, 1)
    (cov,) = wisharts(dims, 1)
    both, second = (np.asfortranarray(cov[at, at]) for at in (slice(0, 1600), slice(1000, 1600)))

    def factor() -> None:
        dpotrf(both, lower=1)
        dpotrf(second, lower=1)

    seconds, cholesky, one_thread, ratio = both_ways(lambda: gaussian_pid(cov, dims), factor)
    return {
        "dims": str(dims),
        "pid_jax ms": 1e3 * seconds,
        "two Cholesky ms": 1e3 * cholesky,
        "ratio": seconds / cholesky,
        "two Cholesky, 1 BLAS thread ms": 1e3 * one_thread,
        "ratio to that": ratio,
    }


def against_hoi(batch: int, samples: int = 2000) -> dict[str, Any]:
    """MMI from samples, scalar sources and target: what hoi's Gaussian estimator of it covers.

    hoi is as its users meet it: in float32, corrected for bias, and compiled again at every call.
    """
    rng = np.random.default_rng(0)
    target = rng.normal(size=(samples, batch))
    sources = target[:, None] + rng.normal(size=(samples, 2, batch)) * np.array([1.0, 2.0])[:, None]
    spec = PIDSpec(NoReduction(), NoGaussianization(), redundancy=MMI())
    columns = [np.ascontiguousarray(x.T)[..., None] for x in (sources[:, 0], sources[:, 1], target)]

    def ours() -> Any:
        return estimate_pid(*columns, spec=spec, key=jax.random.key(0))

    def theirs() -> list[np.ndarray]:
        models = [m(sources.copy(), target[:, None].copy(), verbose=False) for m in (RedundancyMMI, SynergyMMI)]
        return [model.fit(minsize=2, maxsize=2, method="gauss").ravel() for model in models]

    found, (redundancy, synergy) = ours().in_bits().atoms, theirs()
    differences = np.abs(found.redundancy - redundancy).max(), np.abs(found.synergy - synergy).max()
    seconds, hoi_seconds = cpu_seconds(ours, theirs)
    return {
        "problems": batch,
        "samples": samples,
        "pid_jax ms": 1e3 * seconds,
        "hoi ms": 1e3 * hoi_seconds,
        "ratio": seconds / hoi_seconds,
        "difference bits": float(max(differences)),
    }


def many_sources(count: int, batch: int = 16) -> dict[str, Any]:
    """Union information, all dims 16."""
    dims = (16,) * (count + 1)
    covs = wisharts(dims, batch)
    found = gaussian_union(covs, dims)
    (seconds,) = cpu_seconds(lambda: gaussian_union(covs, dims))
    return {
        "sources": count,
        "problems": batch,
        "ms per problem": 1e3 * seconds / batch,
        "gap nats": float(found.gap.max()),
    }


def main() -> None:
    tables = {
        "BROJA, d1 = d2 = dt = d, against a SciPy loop": [
            against_scipy(size, batch) for size in SIZES for batch in BATCHES if size * batch <= MOST_ROWS
        ],
        "One problem with many source dims": [against_cholesky()],
        "MMI from samples, scalar variables, against hoi (float32, bias-corrected, compiled at every call)": [
            against_hoi(batch) for batch in (1, 33, 1000)
        ],
        "Union information of many sources, d = 16": [many_sources(count) for count in (2, 3, 4, 5)],
    }
    conditions = circumstances(*PACKAGES)
    write_page("gaussian", "Gaussian PID", "CPU time of all threads per call, after compilation.", tables, conditions)


if __name__ == "__main__":
    main()
