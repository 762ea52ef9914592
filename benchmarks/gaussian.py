"""Gaussian PID of many problems at once, against a plain SciPy loop over the same LAPACK calls, and against hoi.

Times are CPU seconds of all threads per call, after compilation; compare by the ratios, which are taken in one run. The
stored table has a column of `BROJA(dtype="float32")` too, an option that was removed.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from hoi.metrics import RedundancyMMI, SynergyMMI
from scipy.linalg.lapack import dpotrf
from threadpoolctl import threadpool_limits

from benchmarks.floors import floor_seconds, gaussian_bytes, gaussian_operations
from benchmarks.measure import cpu_seconds
from benchmarks.problems import covariances, stacked
from benchmarks.record import write_results
from benchmarks.scipy_loop import decompose_all
from benchmarks.tables import Row, collect
from pid_jax import MMI, NoGaussianization, NoReduction, PIDSpec, estimate_pid, gaussian_pid, gaussian_union

SIZES, BATCHES, MOST_ROWS = (1, 4, 8, 16, 32, 64, 128), (1, 33, 1000), 16_000


def both_ways(name: str, ours: Callable[[], object], theirs: Callable[[], object]) -> Row:
    """Measure CPU seconds of both as they are, and again, in turns of their own, while BLAS has one thread."""
    seconds, others = cpu_seconds(ours, theirs)
    with threadpool_limits(limits=1, user_api="blas"):
        limited, limited_others = cpu_seconds(ours, theirs)
    return {
        "pid_jax ms": 1e3 * seconds,
        f"{name} ms": 1e3 * others,
        "ratio": seconds / others,
        f"{name}, 1 BLAS thread ms": 1e3 * limited_others,
        "ratio to that": limited / limited_others,
    }


def against_scipy(case: tuple[int, int]) -> Row:
    """All atoms with certificates, d1 = d2 = dt = size."""
    size, batch = case
    dims = (size, size, size)
    covs = covariances(batch, dims)
    found, loop = gaussian_pid(covs, dims), decompose_all(covs, dims)
    floor = floor_seconds(batch * gaussian_operations(size), batch * gaussian_bytes(size))
    return {
        "d": size,
        "problems": batch,
        **both_ways("loop", lambda: gaussian_pid(covs, dims), lambda: decompose_all(covs, dims)),
        "floor ms": 1e3 * floor,
        "difference nats": np.abs(stacked(found.atoms) - loop[:, :4]).max(),
        "gap nats": np.abs(found.gap).max(),
    }


def against_cholesky() -> Row:
    """One problem with many source dims, against the two factorizations that it needs: both sources, source_2."""
    dims = (1000, 600, 1)
    (cov,) = covariances(1, dims)
    both, second = (np.asfortranarray(cov[at, at]) for at in (slice(0, 1600), slice(1000, 1600)))

    def factor() -> None:
        dpotrf(both, lower=1)
        dpotrf(second, lower=1)

    return {"dims": str(dims), **both_ways("two Cholesky", lambda: gaussian_pid(cov, dims), factor)}


def against_hoi(batch: int, samples: int = 2000) -> Row:
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
        "difference bits": max(differences),
    }


def many_sources(count: int, batch: int = 16) -> Row:
    """Union information, all dims 16."""
    dims = (16,) * (count + 1)
    covs = covariances(batch, dims)
    (seconds,) = cpu_seconds(lambda: gaussian_union(covs, dims))
    gap = gaussian_union(covs, dims).gap.max()
    return {"sources": count, "problems": batch, "ms per problem": 1e3 * seconds / batch, "gap nats": gap}


def main() -> None:
    sizes = [(size, batch) for size in SIZES for batch in BATCHES if size * batch <= MOST_ROWS]
    tables = {
        "BROJA, d1 = d2 = dt = d, against a SciPy loop": collect(against_scipy, sizes),
        "One problem with many source dims": [against_cholesky()],
        "MMI from samples, scalar variables, against hoi (float32, bias-corrected, compiled at every call)": collect(
            against_hoi, (1, 33, 1000)
        ),
        "Union information of many sources, d = 16": collect(many_sources, (2, 3, 4, 5)),
    }
    write_results("gaussian", "Gaussian PID", "CPU time of all threads per call, after compilation.", tables)


if __name__ == "__main__":
    main()
