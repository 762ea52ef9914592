"""The same work on a GPU and on the CPUs beside it: seconds, share of the card's speed, and how far results differ.

Run `python -m benchmarks.gpu` where JAX sees an NVIDIA GPU; three minutes. Wall seconds of calls of the package with
`mesh=` of the one or the other, after one that compiles: transfers and what the host does are part of them. The share
is that of a large matrix product of the same precision on the same card. Prints tables and writes them to
benchmarks/results/gpu.json and gpu.md.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from benchmarks import bootstrap, flow_speed
from benchmarks.floors import coupling_operations, covariance_operations, gaussian_operations
from benchmarks.pages import Row, write_page
from benchmarks.timing import circumstances
from benchmarks.workloads import DIM, covariances
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
)
from pid_jax.inference.replicates import gaussian_replicates, row_replicates
from pid_jax.runtime.devices import laid_out
from pid_jax.runtime.precision import double_precision, single_precision
from pid_jax.runtime.progress import no_progress

PACKAGES = ("pid_jax", "jax", "jaxlib", "flax", "optax", "distrax", "numpy")
RUNS, PRODUCT, PRODUCTS = 2, 8192, 10
# A first call on the CPU that takes more seconds is not repeated: compiling is little of it.
LONG = 10
LAYERS, RESAMPLES = 33, 1000
WIDE_LAYERS, WIDE_SAMPLES, FEATURES = 4, 5000, 4096
PLAIN = PIDSpec(PCA(dim=DIM), NoGaussianization(), bias_correction=NoCorrection())
FLOW = RealNVP(marginals=Standardize(), **flow_speed.OWN)
# Every call but that of components gets this much of the card, so that it is made in few parts.
BUDGET_GB = 32.0


@dataclass(frozen=True)
class Work:
    """What is measured.

    Attributes:
        name: For the table.
        call: The call on the devices of a mesh; returns an array to compare.
        operations: Floating point operations that it needs; 0 where they are not counted.
        dtype: Precision of them.
    """

    name: str
    call: Callable[[Mesh], np.ndarray]
    operations: float = 0.0
    dtype: str = "float64"


def atoms(found: Any) -> np.ndarray:
    return np.stack(jax.tree.leaves(found.atoms))


def solve(problems: int, dim: int) -> Work:
    covs = covariances(min(problems, 1024), dim)
    covs = np.tile(covs, (-(-problems // len(covs)), 1, 1))[:problems]
    return Work(
        f"gaussian_pid, {problems} problems, d = {dim}",
        lambda mesh: atoms(gaussian_pid(covs, (dim, dim, dim), mesh=mesh, budget_gb=BUDGET_GB)),
        problems * gaussian_operations(dim),
    )


def replicates() -> list[Work]:
    rows = bootstrap.draw()
    cov, key = np.stack([np.cov(one.T) for one in rows]), jax.random.key(0)

    def laid(action: Callable[[], Any], mesh: Mesh) -> np.ndarray:
        with laid_out(mesh, BUDGET_GB):
            return np.stack(jax.tree.leaves(action()))

    samples, dims, decomposed = bootstrap.SAMPLES, bootstrap.DIMS, LAYERS * RESAMPLES * gaussian_operations(DIM)
    model = partial(gaussian_replicates, cov, dims, samples, BROJA(), RESAMPLES, key, no_progress)
    pairs = partial(row_replicates, rows, dims, BROJA(), RESAMPLES, 1, key, no_progress)
    products = LAYERS * RESAMPLES * covariance_operations(samples, 3 * DIM)
    return [
        Work(f"{LAYERS} x {RESAMPLES} replicates, Parametric", partial(laid, model), decomposed),
        Work(f"{LAYERS} x {RESAMPLES} replicates, Pairs", partial(laid, pairs), decomposed + products),
    ]


def fit_flows() -> Work:
    train, test = flow_speed.data()

    def fit(mesh: Mesh) -> np.ndarray:
        found = fit_flow(*train, spec=FLOW, key=jax.random.key(0), mesh=mesh, budget_gb=BUDGET_GB)
        with laid_out(mesh):
            return found.log_prob(*test).mean(axis=-1)

    name = f"fit_flow, {LAYERS} layers x 3 flows, n = {flow_speed.SAMPLES}"
    return Work(name, fit, flow_operations(FLOW, flow_speed.SAMPLES), "float32")


def flow_operations(spec: RealNVP, samples: int) -> float:
    """Count the matrix products of all steps of three flows a layer."""
    seen = int(spec.epochs * samples * (1 - spec.validation_fraction))
    return 3 * LAYERS * coupling_operations(DIM, spec.couplings, spec.width, seen)


def components() -> Work:
    rng = np.random.default_rng(0)
    spectrum = np.arange(1, FEATURES + 1, dtype=np.float32) ** -0.5
    wide = [rng.standard_normal((WIDE_LAYERS, WIDE_SAMPLES, FEATURES), dtype=np.float32) * spectrum for _ in range(2)]
    target = wide[0][..., :DIM] + wide[1][..., :DIM]
    return Work(
        f"PCA of {WIDE_LAYERS} layers of 2 x {WIDE_SAMPLES} x {FEATURES}, and atoms",
        lambda mesh: atoms(estimate_pid(*wide, target, spec=PLAIN, key=jax.random.key(0), mesh=mesh)),
    )


def product_rate(device: Any, dtype: str) -> float:
    """Measure the floating point operations a second of a product of large matrices without tensor-float rounding."""
    with double_precision() if dtype == "float64" else single_precision():
        a = jax.device_put(np.random.default_rng(0).standard_normal((PRODUCT, PRODUCT)).astype(dtype), device)
        multiply = jax.jit(jnp.matmul)
        multiply(a, a).block_until_ready()
        start = time.perf_counter()
        for _ in range(PRODUCTS):
            found = multiply(a, a)
        found.block_until_ready()
    return 2 * PRODUCT**3 * PRODUCTS / (time.perf_counter() - start)


def measure(work: Work, gpu: Mesh, cpu: Mesh, rates: dict[str, float]) -> Row:
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
        "largest difference, nats": float(np.abs(ours - theirs).max()),
        "mean difference, nats": float((ours - theirs).mean()),
    }
    if work.operations:
        row["GFLOP/s of the GPU"] = work.operations / on_gpu / 1e9
        row["share of its product"] = work.operations / on_gpu / rates[work.dtype]
    print(row, flush=True)
    return row


def seconds(work: Work, mesh: Mesh) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    found = work.call(mesh)
    return time.perf_counter() - start, found


def main() -> None:
    (card, *_), (host, *_) = jax.devices("gpu"), jax.devices("cpu")
    gpu, cpu = (Mesh(np.array([device]), ("problems",)) for device in (card, host))
    rates = {dtype: product_rate(card, dtype) for dtype in ("float32", "float64")}
    print(rates, flush=True)
    speeds = {f"{name} product (GFLOP/s)": rate / 1e9 for name, rate in rates.items()}
    conditions = circumstances(*PACKAGES) | {"card": card.device_kind, "speeds": speeds}
    text = (
        f"{card.device_kind} against {os.cpu_count()} cores of the same machine: calls after one that compiles, the "
        f"best of {RUNS} on the GPU, one on the CPUs. Products of matrices of {PRODUCT} rows: "
        + ", ".join(f"{rate / 1e12:.0f} TFLOP/s in {name}" for name, rate in rates.items())
        + "."
    )
    rows: list[Row] = []
    makers: Sequence[Callable[[], list[Work]]] = (
        lambda: [fit_flows()],
        replicates,
        lambda: [solve(LAYERS * RESAMPLES, DIM), solve(1024, 64), components()],
    )
    for work in (work for make in makers for work in make()):
        rows.append(measure(work, gpu, cpu, rates))
        write_page("gpu", "On a GPU", text, {"Wall seconds": rows}, conditions)


if __name__ == "__main__":
    main()
