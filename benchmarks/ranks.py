"""Bias and coverage after ranks, the default, against raw samples: the cost of not knowing the margins.

Run `make bench`, or `python -m benchmarks.ranks`. Prints tables and writes them to benchmarks/results/ranks.json and
ranks.md. The seeds were not used while the method was chosen.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

from benchmarks.pages import write_page
from benchmarks.timing import circumstances
from pid_jax import (
    Copula,
    NoGaussianization,
    NoReduction,
    PIDSpec,
    bootstrap_pid,
    compare_pid,
    estimate_pid,
    gaussian_pid,
)
from pid_jax.decompose.result import ATOMS
from pid_jax.testing.problems import Problem, apply_maps, random_channel, random_latent, random_readout
from pid_jax.testing.systems import parallel_channels

PACKAGES = ("pid_jax", "jax", "numpy", "scipy")
DATA_SETS, LEVEL, COMPARED = 100, 0.9, 60
ZERO = 1e-9
WAYS = {"raw": NoGaussianization(), "ranks": Copula()}


def _in_turns(size: int, gain: float, other: float, correlation: float) -> Problem:
    """Coordinates that the sources read with two gains in turns, through noises that are correlated."""
    snr_1, snr_2 = np.full(size, other**2), np.full(size, other**2)
    snr_1[::2], snr_2[1::2] = gain**2, gain**2
    return parallel_channels(snr_1, snr_2, correlation).problem


def _rotated(problem: Problem, rng: np.random.Generator) -> Problem:
    """Mix the coordinates of every variable, so that ranks are of sums."""
    return apply_maps(problem, [np.linalg.qr(rng.standard_normal((d, d)))[0] for d in problem.dims])


SYSTEMS: Mapping[str, tuple[int, Callable[[np.random.Generator], Problem]]] = {
    "channels, d = 2": (200, lambda rng: random_channel(rng, (2, 2, 2), (0.7, 0.7))),
    "latent factors, d = 4": (500, lambda rng: random_latent(rng, (4, 4, 4), 6)),
    "read-out, d = 6": (400, lambda rng: random_readout(rng, (6, 6, 6), (0.4, 0.3))),
    "gains 3 / 1 in turns, mixed, d = 8": (1000, lambda rng: _rotated(_in_turns(8, 3, 1, 0), rng)),
    "near-synergistic, mixed, d = 8": (
        1000,
        lambda rng: _rotated(parallel_channels(np.full(8, 0.4), 0.4, -0.8).problem, rng),
    ),
    "gains 10 / 3 in turns, d = 8": (1000, lambda rng: _in_turns(8, 10, 3, 0)),
    "gains 3 / 0 in turns, noises -0.9, d = 8": (1000, lambda rng: _in_turns(8, 3, 0, -0.9)),
    "the same, mixed": (1000, lambda rng: _rotated(_in_turns(8, 3, 0, -0.9), rng)),
    "channels, d = 16": (5000, lambda rng: random_channel(rng, (16, 16, 16), (0.5, 0.4))),
}


def _atoms(values: object) -> np.ndarray:
    return np.stack([np.asarray(getattr(values, name)) for name in ATOMS], axis=-1)


def _draw(problem: Problem, samples: int, sets: int, rng: np.random.Generator) -> list[np.ndarray]:
    root = np.linalg.cholesky(problem.cov)
    rows = rng.standard_normal((sets, samples, len(root))) @ root.T
    return np.split(rows, np.cumsum(problem.dims)[:-1], axis=-1)


def _held(lower: object, upper: object, truth: np.ndarray) -> dict[str, float]:
    low, high = _atoms(lower), _atoms(upper)
    inside = ((low <= truth + ZERO) & (truth - ZERO <= high)).mean(axis=0)
    return {f"{name} held": float(x) for name, x in zip(ATOMS, inside, strict=True)}


def measure(name: str) -> list[dict[str, object]]:
    """Estimate all data sets of one system in both ways."""
    samples, make = SYSTEMS[name]
    rng = np.random.default_rng([2034, list(SYSTEMS).index(name)])
    problem = make(rng)
    known = gaussian_pid(problem.cov, problem.dims)
    truth, data = _atoms(known.atoms), _draw(problem, samples, DATA_SETS, rng)
    rows: list[dict[str, object]] = []
    for way, gaussianizer in WAYS.items():
        spec, key = PIDSpec(NoReduction(), gaussianizer), jax.random.key(11)
        estimate_pid(*(x[:2] for x in data), spec=spec, key=key)
        start = time.process_time()
        found = estimate_pid(*data, spec=spec, key=key)
        seconds = time.process_time() - start
        error = _atoms(found.atoms) - truth
        deviations = error.mean(axis=0) / error.std(axis=0)
        row: dict[str, object] = {"system": name, "n": samples, "I_12": float(known.information.i_12), "way": way}
        row |= {f"bias of {atom}, sd": float(x) for atom, x in zip(ATOMS, deviations, strict=True)}
        row |= {"largest bias, nats": float(np.abs(error.mean(axis=0)).max())}
        row |= _held(found.lower, found.upper, truth) | {"CPU s a data set": seconds / DATA_SETS}
        rows.append(row)
    return rows


def measure_others(name: str) -> list[dict[str, object]]:
    """Bootstrap intervals, and intervals of differences where source_1 gets noise, of one system after ranks."""
    samples, make = SYSTEMS[name]
    rng = np.random.default_rng([2035, list(SYSTEMS).index(name)])
    problem = make(rng)
    d1, _, _ = problem.dims
    data, key, spec = _draw(problem, samples, COMPARED, rng), jax.random.key(12), PIDSpec(NoReduction(), Copula())
    noise = rng.standard_normal(data[0].shape)
    truth = _atoms(gaussian_pid(problem.cov, problem.dims).atoms)
    noisy = problem.cov.copy()
    noisy[:d1, :d1] += np.eye(d1)
    change = _atoms(gaussian_pid(noisy, problem.dims).atoms) - truth
    drawn = bootstrap_pid(*data, spec=spec, key=key, level=LEVEL, resamples=200)
    before, after = tuple(data), (data[0] + noise, *data[1:])
    compared = compare_pid(before, after, spec=spec, key=key, level=LEVEL, resamples=100, share_reduction=False)
    common = {"system": name, "n": samples}
    return [
        common | {"function": "bootstrap_pid"} | _held(drawn.lower, drawn.upper, truth),
        common | {"function": "compare_pid"} | _held(compared.lower, compared.upper, change),
    ]


def main(names: Sequence[str] = tuple(SYSTEMS)) -> None:
    rows, others = [], []
    for name in names:
        rows += measure(name)
        print(rows[-2], rows[-1], flush=True)
        others += measure_others(name)
        print(others[-2], others[-1], flush=True)
    tables = {way: [row for row in rows if row["way"] == way] for way in WAYS}
    write_page(
        "ranks",
        "Bias and coverage after ranks",
        f"{DATA_SETS} Gaussian data sets of each system, intervals of {LEVEL:.0%} by `estimate_pid` with raw samples "
        f"and after ranks; {COMPARED} for other functions, where `compare_pid` adds white noise to source_1. Bias in "
        "standard deviations of the atom.",
        tables | {"Other functions, after ranks": others},
        circumstances(*PACKAGES),
    )


if __name__ == "__main__":
    main()
