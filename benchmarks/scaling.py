"""How the cost grows with layers, samples, dims and devices, with the least that it could be beside it.

About five minutes. Devices are virtual ones, which share the cores of one machine; one of them is also held to one
core, since flows use all cores of a device anyway.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.floors import (
    coupling_operations,
    covariance_operations,
    floor_seconds,
    gaussian_bytes,
    gaussian_operations,
    speeds,
)
from benchmarks.measure import BLOCKS, SECONDS, apart, cost_of, cpu_seconds
from benchmarks.problems import covariances
from benchmarks.record import write_results
from benchmarks.tables import Row, collect
from pid_jax import Copula, NoCorrection, NoReduction, PIDSpec, RealNVP, estimate_pid, fit_flow, gaussian_pid

DIM = 16
CORRECTED = PIDSpec(NoReduction(), Copula())
PLAIN = PIDSpec(NoReduction(), Copula(), bias_correction=NoCorrection())
# Of the size that a study fits, with few steps: what a layer costs does not depend on how many there are.
FLOW = RealNVP(couplings=6, width=64, epochs=4, batch_size=256, validation_fraction=0.1, evaluations=1)
LAYERS, PER_LAYER = (1, 4, 16, 64, 128, 256, 512, 1024), 1000
SAMPLED_LAYERS, CORRECTED_LAYERS, FLOW_LAYERS = (1, 16, 128, 1024), (1, 16, 128), (1, 4, 16)
SAMPLES = (1_000, 10_000, 100_000, 1_000_000)
DIMS, PROBLEMS, PER_DIM = (2, 4, 8, 16, 32, 64, 128, 256), 33, 5000
MOST_CORRECTED = 32
# Sample covariances that the correction of the bias decomposes, at least.
DRAWS = 100
CORES, RUNS = os.cpu_count() or 1, 3
ON_DEVICES = {"gaussian_pid": 1024, "estimate_pid": 64, "fit_flow": 16}


class Way(NamedTuple):
    """A function: a call for every place of an axis, the least seconds of each, and how often it is measured."""

    name: str
    actions: Mapping[int, Callable[[], object]]
    floor: Callable[[int], float]
    blocks: int = BLOCKS
    seconds: float = SECONDS


def draw(covs: np.ndarray, samples: int) -> list[np.ndarray]:
    """Draw samples of both sources and the target, each (layers, n, d)."""
    rng, roots = np.random.default_rng(0), np.linalg.cholesky(covs)
    drawn = np.stack([rng.standard_normal((samples, len(root))) @ root.T for root in roots])
    return [np.ascontiguousarray(part) for part in np.split(drawn, 3, axis=-1)]


def estimate(variables: Sequence[np.ndarray], spec: PIDSpec) -> Callable[[], object]:
    return partial(estimate_pid, *variables, spec=spec, key=jax.random.key(0))


def fit(variables: Sequence[np.ndarray]) -> Callable[[], object]:
    return partial(fit_flow, *variables, spec=FLOW, key=jax.random.key(0))


def gaussian_floor(problems: int, dim: int) -> float:
    return floor_seconds(problems * gaussian_operations(dim), problems * gaussian_bytes(dim))


def estimate_floor(layers: int, samples: int, dim: int, decomposed: int = 1) -> float:
    """One pass over the samples for the covariance, and the atoms as often as something is decomposed."""
    operations = covariance_operations(samples, 3 * dim) + decomposed * gaussian_operations(dim)
    return floor_seconds(layers * operations, layers * 8.0 * samples * 3 * dim)


def corrected_floor(layers: int, samples: int, dim: int) -> float:
    return estimate_floor(layers, samples, dim, 1 + DRAWS)


def flow_floor(layers: int) -> float:
    """The matrix products of three flows a layer."""
    seen = int(FLOW.epochs * PER_LAYER * (1 - FLOW.validation_fraction))
    operations = 3 * coupling_operations(DIM, FLOW.couplings, FLOW.width, seen)
    return floor_seconds(layers * operations, dtype="float32")


def measure(axis: str, way: Way) -> list[Row]:
    """Measure one way at all places, which take turns."""
    seconds = cpu_seconds(*way.actions.values(), blocks=way.blocks, seconds=way.seconds)
    rows: list[dict[str, Any]] = []
    for place, one in zip(way.actions, seconds, strict=True):
        floor = way.floor(place)
        row = {"way": way.name, axis: place, "CPU ms": 1e3 * one, "floor ms": 1e3 * floor}
        row["times the floor"] = one / floor
        if rows:  # how the cost has grown since the place before
            step = np.log(place / rows[-1][axis])
            row["grows with the power"] = np.log(row["CPU ms"] / rows[-1]["CPU ms"]) / step
        rows.append(row)
    return rows


def over_layers() -> list[Row]:
    covs = covariances(max(LAYERS), (DIM, DIM, DIM))
    drawn = draw(covs, PER_LAYER)
    some = {n: [x[:n] for x in drawn] for n in LAYERS}
    solve = {n: partial(gaussian_pid, covs[:n], (DIM, DIM, DIM)) for n in LAYERS}
    plain = {n: estimate(some[n], PLAIN) for n in SAMPLED_LAYERS}
    corrected = {n: estimate(some[n], CORRECTED) for n in CORRECTED_LAYERS}
    known: dict[str, Any] = {"samples": PER_LAYER, "dim": DIM}
    ways = [
        Way("gaussian_pid", solve, partial(gaussian_floor, dim=DIM)),
        Way("estimate_pid, bias left", plain, partial(estimate_floor, **known), blocks=1, seconds=0),
        Way("estimate_pid", corrected, partial(corrected_floor, **known), blocks=1, seconds=0),
        Way("fit_flow", {n: fit(some[n]) for n in FLOW_LAYERS}, flow_floor, blocks=2, seconds=0),
    ]
    return collect(partial(measure, "layers"), ways)


def growth(rows: Iterable[Row]) -> list[Row]:
    """Compare the most layers with an eighth of them: 8 is what a linear cost gives."""
    at = {(row["way"], row["layers"]): row["CPU ms"] for row in rows}
    return [
        {"way": way, "layers": f"{most // 8} to {most}", "times the cost": ms / at[way, most // 8], "linear": 8}
        for (way, most), ms in at.items()
        if most == max(LAYERS)
    ]


def over_samples() -> list[Row]:
    drawn = draw(covariances(1, (DIM, DIM, DIM)), max(SAMPLES))
    plain = {n: estimate([x[:, :n] for x in drawn], PLAIN) for n in SAMPLES}
    floor = partial(estimate_floor, 1, dim=DIM)
    return measure("samples", Way("estimate_pid, bias left", plain, floor, blocks=1, seconds=0))


def over_dims() -> list[Row]:
    covs = {d: covariances(PROBLEMS, (d, d, d)) for d in DIMS}
    drawn = {d: draw(covs[d][:1], PER_DIM) for d in DIMS}
    solve = {d: partial(gaussian_pid, covs[d], (d, d, d)) for d in DIMS}
    plain = {d: estimate(drawn[d], PLAIN) for d in DIMS}
    corrected = {d: estimate(drawn[d], CORRECTED) for d in DIMS if d <= MOST_CORRECTED}
    ways = [
        Way("gaussian_pid", solve, partial(gaussian_floor, PROBLEMS), blocks=3),
        Way("estimate_pid, bias left", plain, partial(estimate_floor, 1, PER_DIM), blocks=3, seconds=0),
        Way("estimate_pid", corrected, partial(corrected_floor, 1, PER_DIM), blocks=1, seconds=0),
    ]
    return collect(partial(measure, "dims"), ways)


def over_devices(case: tuple[str, int, int]) -> Row:
    """Measure one way on virtual devices of a process that may use some cores."""
    name, devices, cores = case
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    found = apart(_on_devices, name, cores, XLA_FLAGS=flags.strip(), JAX_PLATFORMS="cpu")
    return {"way": name, "devices": devices, "layers": ON_DEVICES[name], "cores": cores, **found}


def _on_devices(name: str, cores: int) -> Row:
    """Take the fastest of several calls on all devices, after one that compiles."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    covs = covariances(ON_DEVICES[name], (DIM, DIM, DIM))
    if name == "gaussian_pid":
        call = partial(gaussian_pid, covs, (DIM, DIM, DIM))
    else:
        drawn = draw(covs, PER_LAYER)
        call = fit(drawn) if name == "fit_flow" else estimate(drawn, CORRECTED)
    call()
    costs = [cost_of(call) for _ in range(RUNS)]
    wall, cpu = min(cost.wall for cost in costs), min(cost.cpu for cost in costs)
    return {"wall ms": 1e3 * wall, "CPU ms": 1e3 * cpu, "devices seen": jax.device_count()}


def main() -> None:
    layers = over_layers()
    places = [(name, *place) for name in ON_DEVICES for place in ((1, 1), (1, CORES), (2, CORES), (4, CORES))]
    tables = {
        "Layers, d = 16": layers,
        "From an eighth of the layers to all": growth(layers),
        "Samples, one layer, d = 16": over_samples(),
        "Dims, d1 = d2 = dt": over_dims(),
        "Devices": collect(over_devices, places),
    }
    text = (
        "CPU seconds of all threads per call, after compilation: the best of several turns where calls are short. "
        "gaussian_pid: covariances. "
        "estimate_pid: ranks to normal scores, covariance, atoms, and their bias by indirect inference if not left; "
        f"n = {PER_LAYER} where layers grow, {PER_DIM} where dims do. fit_flow: three flows of {FLOW.couplings} "
        f"couplings a layer, {FLOW.epochs} epochs, n = {PER_LAYER}. Over dims gaussian_pid has "
        f"{PROBLEMS} problems, estimate_pid one. "
        "The floor is arithmetic at the speed of a large matrix product, or reading at that of memory, of one core."
    )
    write_results("scaling", "Scaling", text, tables, speeds=speeds())


if __name__ == "__main__":
    main()
