"""The same work on a GPU and on the CPUs beside it: seconds, share of the card's speed, and how far results differ.

Needs an NVIDIA GPU that JAX sees; three minutes. Wall seconds of calls of the package after one that compiles:
transfers and what the host does are part of them. The share is that of a large matrix product of the same precision on
the same card.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from benchmarks import bootstrap, flow_speed
from benchmarks.bootstrap import DIM, DIMS
from benchmarks.floors import coupling_operations, covariance_operations, gaussian_operations
from benchmarks.measure import Cost
from benchmarks.problems import covariances, stacked
from benchmarks.record import write_results
from benchmarks.tables import Row, collect
from pid_jax import (
    BROJA,
    PCA,
    NoCorrection,
    NoGaussianization,
    PIDSpec,
    RealNVP,
    Standardize,
    estimate_pid,
    fit_flow,
    gaussian_pid,
    use_devices,
)
from pid_jax.inference.replicates import gaussian_replicates, row_replicates
from pid_jax.runtime.precision import double_precision, single_precision
from pid_jax.runtime.progress import no_progress

RUNS, PRODUCT, PRODUCTS = 2, 8192, 10
# A first call on the CPU that takes more seconds is not repeated: compiling is little of it.
LONG = 10
LAYERS, RESAMPLES = 33, 1000
WIDE_LAYERS, WIDE_SAMPLES, FEATURES = 4, 5000, 4096
PLAIN = PIDSpec(PCA(dim=DIM), NoGaussianization(), bias_correction=NoCorrection())
FLOW = RealNVP(marginals=Standardize(), **flow_speed.OWN)
# Enough of the card that calls are made in few parts.
BUDGET_GB = 32.0


class Work(NamedTuple):
    """A call that returns an array to compare, its name, and the operations that it needs, if known."""

    name: str
    call: Callable[[], np.ndarray]
    operations: float | None
    dtype: str = "float64"


def solve(problems: int, dim: int) -> Work:
    dims = (dim, dim, dim)
    covs = covariances(min(problems, 1024), dims)
    covs = np.tile(covs, (-(-problems // len(covs)), 1, 1))[:problems]
    name = f"gaussian_pid, {problems} problems, d = {dim}"
    return Work(name, lambda: stacked(gaussian_pid(covs, dims).atoms), problems * gaussian_operations(dim))


def replicates(kind: str) -> Work:
    rows, cov = bootstrap.data()
    key, samples = jax.random.key(0), bootstrap.SAMPLES
    operations = LAYERS * RESAMPLES * gaussian_operations(DIM)
    if kind == "Pairs":
        operations += LAYERS * RESAMPLES * covariance_operations(samples, 3 * DIM)

    def call() -> np.ndarray:
        if kind == "Pairs":
            found = row_replicates(rows, DIMS, BROJA(), RESAMPLES, 1, key, no_progress)
        else:
            found = gaussian_replicates(cov, DIMS, samples, BROJA(), RESAMPLES, key, no_progress)
        return np.stack(jax.tree.leaves(found))

    return Work(f"{LAYERS} x {RESAMPLES} replicates, {kind}", call, operations)


def fit_flows() -> Work:
    train, test = flow_speed.data()
    seen = int(FLOW.epochs * flow_speed.SAMPLES * (1 - FLOW.validation_fraction))
    operations = 3 * LAYERS * coupling_operations(DIM, FLOW.couplings, FLOW.width, seen)

    def call() -> np.ndarray:
        return fit_flow(*train, spec=FLOW, key=jax.random.key(0)).log_prob(*test).mean(axis=-1)

    return Work(f"fit_flow, {LAYERS} layers x 3 flows, n = {flow_speed.SAMPLES}", call, operations, "float32")


def components() -> Work:
    rng = np.random.default_rng(0)
    spectrum = np.arange(1, FEATURES + 1, dtype=np.float32) ** -0.5
    wide = [rng.standard_normal((WIDE_LAYERS, WIDE_SAMPLES, FEATURES), dtype=np.float32) * spectrum for _ in range(2)]
    target = wide[0][..., :DIM] + wide[1][..., :DIM]
    return Work(
        f"PCA of {WIDE_LAYERS} layers of 2 x {WIDE_SAMPLES} x {FEATURES}, and atoms",
        lambda: stacked(estimate_pid(*wide, target, spec=PLAIN, key=jax.random.key(0)).atoms),
        None,
    )


WORK: tuple[Callable[[], Work], ...] = (
    fit_flows,
    lambda: replicates("Parametric"),
    lambda: replicates("Pairs"),
    lambda: solve(LAYERS * RESAMPLES, DIM),
    lambda: solve(1024, 64),
    components,
)


def product_rate(device: Any, dtype: str) -> float:
    """Measure the floating point operations a second of a product of large matrices without tensor-float rounding."""
    with double_precision() if dtype == "float64" else single_precision():
        a = jax.device_put(np.random.default_rng(0).standard_normal((PRODUCT, PRODUCT)).astype(dtype), device)
        multiply = jax.jit(jnp.matmul)
        multiply(a, a).block_until_ready()
        with Cost() as cost:
            for _ in range(PRODUCTS):
                found = multiply(a, a)
            found.block_until_ready()
    return 2 * PRODUCT**3 * PRODUCTS / cost.wall


def measure(make: Callable[[], Work], gpu: Mesh, cpu: Mesh, rates: dict[str, float]) -> Row:
    work = make()
    first, ours = seconds(work, gpu)
    on_gpu = min(seconds(work, gpu)[0] for _ in range(RUNS))
    first_cpu, theirs = seconds(work, cpu)
    on_cpu = first_cpu if first_cpu > LONG else seconds(work, cpu)[0]
    row = {
        "work": work.name,
        "GPU s": on_gpu,
        "CPU s": on_cpu,
        "CPU / GPU": on_cpu / on_gpu,
        "first call on the GPU s": first,
        "first on the CPU s": first_cpu,
        "largest difference, nats": np.abs(ours - theirs).max(),
        "mean difference, nats": (ours - theirs).mean(),
    }
    if work.operations:
        row["GFLOP/s of the GPU"] = work.operations / on_gpu / 1e9
        row["share of its product"] = work.operations / on_gpu / rates[work.dtype]
    return row


def seconds(work: Work, mesh: Mesh) -> tuple[float, np.ndarray]:
    with use_devices(mesh, BUDGET_GB), Cost() as cost:
        found = work.call()
    return cost.wall, found


def main() -> None:
    (card, *_), (host, *_) = jax.devices("gpu"), jax.devices("cpu")
    gpu, cpu = (Mesh(np.array([device]), ("problems",)) for device in (card, host))
    rates = {dtype: product_rate(card, dtype) for dtype in ("float32", "float64")}
    products = ", ".join(f"{rate / 1e12:.0f} TFLOP/s in {name}" for name, rate in rates.items())
    write_results(
        "gpu",
        "On a GPU",
        f"{card.device_kind} against {os.cpu_count()} cores of the same machine: calls after one that compiles, the "
        f"best of {RUNS} on the GPU, one on the CPUs. Products of matrices of {PRODUCT} rows: {products}.",
        {"Wall seconds": collect(lambda make: measure(make, gpu, cpu, rates), WORK)},
        card=card.device_kind,
        speeds={f"{name} product (GFLOP/s)": rate / 1e9 for name, rate in rates.items()},
    )


if __name__ == "__main__":
    main()
