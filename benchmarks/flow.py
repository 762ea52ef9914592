"""Atoms behind flows, against truth: warped Gaussians whose atoms are known, with raw and copula beside.

Run `make bench`, or `python -m benchmarks.flow "TABLE" ...` for single tables. Prints them and writes them to
benchmarks/results/flow.json and flow.md as it goes. Seeds from 200 on were not used while settings were chosen.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from benchmarks.pages import RESULTS, write_page
from benchmarks.timing import circumstances
from pid_jax import Auto, Copula, NoGaussianization, NoReduction, PIDSpec, RealNVP, estimate_pid, gaussian_pid
from pid_jax.decompose.result import ATOMS, PIDEstimate
from pid_jax.testing.warps import WARPS, WarpedGaussian, warped_gaussian

PACKAGES = ("pid_jax", "jax", "flax", "optax", "distrax", "numpy")
SEEDS = range(200, 205)
WAYS = {"raw": NoGaussianization(), "copula": Copula(), "flow": RealNVP(), "auto": Auto()}
# Of 33 layers that drift. Flows of one layer do not depend on the others, so these stand for all.
LAYERS, CHOSEN = 33, (8, 24)
# Warps that ranks alone do not undo; the others are all but straight at half strength.
BENDING = [warp for warp in WARPS if warp not in ("residual", "radial")]
# Bijections of single coordinates, in turns.
SHAPES: tuple[Callable[[np.ndarray], np.ndarray], ...] = (lambda x: x**3, np.cbrt, np.exp)

Variables = tuple[np.ndarray, np.ndarray, np.ndarray]


def atoms_of(atoms: Any) -> np.ndarray:
    return np.stack([getattr(atoms, name) for name in ATOMS], axis=-1)


def estimate(variables: Sequence[np.ndarray], way: str) -> PIDEstimate:
    return estimate_pid(*variables, spec=PIDSpec(NoReduction(), WAYS[way]), key=jax.random.key(0))


def problems(drawn: Sequence[WarpedGaussian], layers: Sequence[int] = (0,)) -> tuple[Variables, list[np.ndarray], Any]:
    """Collect the chosen layers of all draws: samples, latents behind them, true covariances."""
    pairs = [(one, layer) for one in drawn for layer in layers]
    samples = (
        np.stack([one.source_1[layer] for one, layer in pairs]),
        np.stack([one.source_2[layer] for one, layer in pairs]),
        np.stack([one.target for one, _ in pairs]),
    )
    latents = np.stack([one.latents[layer] for one, layer in pairs])
    return samples, np.split(latents, 3, axis=-1), np.stack([one.cov[layer] for one, layer in pairs])


def compare(
    name: str, samples: Variables, latents: Sequence[np.ndarray], cov: np.ndarray, ways: Sequence[str]
) -> dict[str, Any]:
    """Compute the mean absolute error of the four atoms behind every map; "floor" knows the latents."""
    dim = samples[0].shape[-1]
    truth = atoms_of(gaussian_pid(cov, (dim, dim, dim)).atoms)
    row: dict[str, Any] = {"warp": name, "mean atom": truth.mean()}
    for way, variables in [("raw", latents), *((way, samples) for way in ways)]:
        start = time.process_time()
        found = estimate(variables, way)
        error = atoms_of(found.atoms) - truth
        row["floor" if variables is latents else way] = float(np.abs(error).mean())
        if way == "flow":
            is_inside = (atoms_of(found.lower) <= truth) & (truth <= atoms_of(found.upper))
            row |= {"flow's mean error": float(error.mean()), "in 90 % interval": float(is_inside.mean())}
            row["CPU s a problem"] = (time.process_time() - start) / len(cov)
        if way == "auto":
            row["auto took"] = ", ".join(sorted({str(name) for name in found.gaussianizer}))
    print(row, flush=True)
    return row


def mixing(dim: int, samples: int, strength: float, has_elementwise: bool) -> list[dict[str, Any]]:
    """Single problems, warps that mix coordinates."""
    ways, settings = ("raw", "copula", "flow"), {"strength": strength, "has_elementwise": has_elementwise}
    drawn = {warp: [warped_gaussian(warp, dim, samples, seed, **settings) for seed in SEEDS] for warp in WARPS}
    return with_mean([compare(warp, *problems(one), ways) for warp, one in drawn.items()])


def drifting(dim: int, is_rotated: bool) -> list[dict[str, Any]]:
    """Layers that drift, few samples, bases as they come or rotated at random in every layer."""
    settings = {"layers": LAYERS, "strength": 0.5, "has_elementwise": True, "is_rotated": is_rotated}
    drawn = ((warp, [warped_gaussian(warp, dim, 1000, seed, **settings) for seed in SEEDS]) for warp in BENDING)
    return with_mean([compare(warp, *problems(one, CHOSEN), ("raw", "copula", "flow")) for warp, one in drawn])


def elementwise(dim: int) -> list[dict[str, Any]]:
    """Gaussians of which every coordinate is warped by itself."""
    samples, latents, cov = problems([warped_gaussian("identity", dim, 5000, seed) for seed in SEEDS])
    first, second, target = (
        np.stack([SHAPES[place % len(SHAPES)](x[..., place]) for place in range(dim)], axis=-1) for x in samples
    )
    name = "cubes, cube roots, exponentials"
    return [compare(name, (first, second, target), latents, cov, ("raw", "copula", "flow", "auto"))]


def undistorted() -> list[dict[str, Any]]:
    """Gaussians as they are."""
    rows = []
    for dim, count in ((4, 1000), (4, 5000), (16, 1000), (16, 5000)):
        drawn = [warped_gaussian("identity", dim, count, seed) for seed in SEEDS]
        row = compare(f"none, d = {dim}, n = {count}", *problems(drawn), ("raw", "copula", "flow", "auto"))
        rows.append(row)
    return rows


def independent() -> list[dict[str, Any]]:
    """Independent variables: every atom is zero; the largest over the seeds."""
    rng = np.random.default_rng(SEEDS[0])
    samples = rng.normal(size=(3, len(SEEDS), 1000, 8))
    largest = {way: np.abs(atoms_of(estimate(samples, way).atoms)).max(axis=0) for way in WAYS}
    return [{"map": way} | dict(zip(ATOMS, values.tolist(), strict=True)) for way, values in largest.items()]


def with_mean(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0] if isinstance(rows[0][name], float)}
    return [*rows, {**rows[0], **mean, "warp": "mean"}]


TABLES: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "d = 4, n = 5000, strength 1": lambda: mixing(4, 5000, 1.0, False),
    "d = 16, n = 5000, strength .5, then warped coordinates": lambda: mixing(16, 5000, 0.5, True),
    "2 of 33 layers, d = 8, n = 1000": lambda: drifting(8, False),
    "2 of 33 layers, d = 8, n = 1000, rotated": lambda: drifting(8, True),
    "2 of 33 layers, d = 16, n = 1000": lambda: drifting(16, False),
    "2 of 33 layers, d = 16, n = 1000, rotated": lambda: drifting(16, True),
    "single coordinates, d = 2, n = 5000": lambda: elementwise(2),
    "single coordinates, d = 16, n = 5000": lambda: elementwise(16),
    "undistorted": undistorted,
    "independent, d = 8, n = 1000: largest of five seeds": independent,
}


def main(names: Sequence[str]) -> None:
    file = RESULTS / "flow.json"
    for name in names or TABLES:
        rows = TABLES[name]()
        done = json.loads(file.read_text())["tables"] if file.exists() else {}  # read late: others may have written
        done[name] = rows
        tables = {title: done[title] for title in TABLES if title in done}
        text = (
            "Mean absolute error of the four BROJA atoms in nats, five seeds. Date and machine are those of the table "
            "that was measured last; only CPU seconds depend on them."
        )
        write_page("flow", "Atoms behind flows", text, tables, circumstances(*PACKAGES))


if __name__ == "__main__":
    main(sys.argv[1:])
