"""Atoms behind flows, against truth: warped Gaussians whose atoms are known, with raw and copula beside.

`python -m benchmarks.flow "TABLE" ...` measures single tables and keeps the others. Seeds from 200 on were not used
while settings were chosen.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from benchmarks.measure import Cost
from benchmarks.problems import ATOMS, stacked
from benchmarks.record import read_results, write_results
from benchmarks.tables import Row, collect
from pid_jax import Auto, Copula, NoGaussianization, NoReduction, PIDSpec, RealNVP, estimate_pid, gaussian_pid
from pid_jax.decompose.result import PIDEstimate
from pid_jax.testing.warps import WARPS, WarpedGaussian, warped_gaussian

SEEDS = range(200, 205)
WAYS = {"raw": NoGaussianization(), "copula": Copula(), "flow": RealNVP(), "auto": Auto()}
FIXED = ("raw", "copula", "flow")
# Of 33 layers that drift. Flows of one layer do not depend on the others, so these stand for all.
LAYERS, CHOSEN = 33, (8, 24)
# Warps that ranks alone do not undo; the others are all but straight at half strength.
BENDING = [warp for warp in WARPS if warp not in ("residual", "radial")]
# Bijections of single coordinates, in turns.
SHAPES: tuple[Callable[[np.ndarray], np.ndarray], ...] = (lambda x: x**3, np.cbrt, np.exp)


def estimate(variables: Sequence[np.ndarray], way: str) -> PIDEstimate:
    return estimate_pid(*variables, spec=PIDSpec(NoReduction(), WAYS[way]), key=jax.random.key(0))


def samples_of(drawn: Sequence[WarpedGaussian], layers: Sequence[int] = (0,)) -> tuple[list[np.ndarray], Any, Any]:
    """Collect the chosen layers of all draws: samples, latents behind them, true covariances."""
    pairs = [(one, layer) for one in drawn for layer in layers]
    parts = zip(*((one.source_1[at], one.source_2[at], one.target) for one, at in pairs), strict=True)
    latents = np.stack([one.latents[at] for one, at in pairs])
    return [np.stack(x) for x in parts], np.split(latents, 3, axis=-1), np.stack([one.cov[at] for one, at in pairs])


def compare(name: str, samples: Sequence[np.ndarray], latents: Any, cov: np.ndarray, ways: Sequence[str]) -> Row:
    """Compute the mean absolute error of the four atoms behind every map; "floor" knows the latents."""
    dim = samples[0].shape[-1]
    truth = stacked(gaussian_pid(cov, (dim, dim, dim)).atoms)
    row: dict[str, Any] = {"warp": name, "mean atom": truth.mean()}
    for way, variables in [("floor", latents), *((way, samples) for way in ways)]:
        with Cost() as cost:
            found = estimate(variables, "raw" if way == "floor" else way)
        error = stacked(found.atoms) - truth
        row[way] = np.abs(error).mean()
        if way == "flow":
            is_inside = (stacked(found.lower) <= truth) & (truth <= stacked(found.upper))
            row |= {"flow's mean error": error.mean(), "in 90 % interval": is_inside.mean()}
            row["CPU s a problem"] = cost.cpu / len(cov)
        if way == "auto":
            row["auto took"] = ", ".join(sorted({str(name) for name in found.gaussianizer}))
    return row


def over_warps(
    warps: Sequence[str], dim: int, samples: int, chosen: Sequence[int] = (0,), **settings: Any
) -> list[Row]:
    """Warps that mix coordinates, in single problems or in the chosen ones of layers that drift, and the mean."""

    def measure(warp: str) -> Row:
        drawn = [warped_gaussian(warp, dim, samples, seed, **settings) for seed in SEEDS]
        return compare(warp, *samples_of(drawn, chosen), FIXED)

    rows = collect(measure, warps)
    mean = {name: np.mean([row[name] for row in rows]) for name, value in rows[0].items() if name != "warp"}
    return [*rows, {"warp": "mean", **mean}]


def elementwise(dim: int) -> list[Row]:
    """Gaussians of which every coordinate is warped by itself."""
    samples, latents, cov = samples_of([warped_gaussian("identity", dim, 5000, seed) for seed in SEEDS])
    warped = [np.stack([SHAPES[place % len(SHAPES)](x[..., place]) for place in range(dim)], axis=-1) for x in samples]
    return [compare("cubes, cube roots, exponentials", warped, latents, cov, (*FIXED, "auto"))]


def undistorted() -> list[Row]:
    """Gaussians as they are."""

    def measure(case: tuple[int, int]) -> Row:
        dim, count = case
        drawn = [warped_gaussian("identity", dim, count, seed) for seed in SEEDS]
        return compare(f"none, d = {dim}, n = {count}", *samples_of(drawn), (*FIXED, "auto"))

    return collect(measure, ((4, 1000), (4, 5000), (16, 1000), (16, 5000)))


def independent() -> list[Row]:
    """Independent variables: every atom is zero; the largest over the seeds."""
    samples = np.random.default_rng(SEEDS[0]).normal(size=(3, len(SEEDS), 1000, 8))
    largest = {way: np.abs(stacked(estimate(samples, way).atoms)).max(axis=0) for way in WAYS}
    return [{"map": way} | dict(zip(ATOMS, values, strict=True)) for way, values in largest.items()]


drifting = partial(over_warps, BENDING, samples=1000, chosen=CHOSEN, layers=LAYERS, strength=0.5, has_elementwise=True)
TABLES: dict[str, Callable[[], list[Row]]] = {
    "d = 4, n = 5000, strength 1": partial(over_warps, list(WARPS), 4, 5000, strength=1.0, has_elementwise=False),
    "d = 16, n = 5000, strength .5, then warped coordinates": partial(
        over_warps, list(WARPS), 16, 5000, strength=0.5, has_elementwise=True
    ),
    "2 of 33 layers, d = 8, n = 1000": partial(drifting, dim=8, is_rotated=False),
    "2 of 33 layers, d = 8, n = 1000, rotated": partial(drifting, dim=8, is_rotated=True),
    "2 of 33 layers, d = 16, n = 1000": partial(drifting, dim=16, is_rotated=False),
    "2 of 33 layers, d = 16, n = 1000, rotated": partial(drifting, dim=16, is_rotated=True),
    "single coordinates, d = 2, n = 5000": partial(elementwise, 2),
    "single coordinates, d = 16, n = 5000": partial(elementwise, 16),
    "undistorted": undistorted,
    "independent, d = 8, n = 1000: largest of five seeds": independent,
}


def main(names: Sequence[str]) -> None:
    for name in names or TABLES:
        rows = TABLES[name]()
        tables = {**read_results()["flow"].tables, name: rows}  # read late: others may have written
        write_results(
            "flow",
            "Atoms behind flows",
            "Mean absolute error of the four BROJA atoms in nats, five seeds. Date and machine are those of the table "
            "that was measured last; only CPU seconds depend on them.",
            {title: tables[title] for title in TABLES if title in tables},
        )


if __name__ == "__main__":
    main(sys.argv[1:])
