"""Bias and coverage after ranks, the default, against raw samples: the cost of not knowing the margins.

The seeds were not used while the method was chosen.
"""

import jax
import numpy as np

from benchmarks.measure import Cost
from benchmarks.problems import Systems, bias, draw, held, parallel, stacked, truth_of
from benchmarks.record import write_results
from benchmarks.tables import Row, by, collect
from pid_jax import Copula, NoGaussianization, NoReduction, PIDSpec, bootstrap_pid, compare_pid, estimate_pid
from pid_jax.testing.problems import Problem, apply_maps, random_channel, random_latent, random_readout

DATA_SETS, LEVEL, COMPARED = 100, 0.9, 60
WAYS = {"raw": NoGaussianization(), "ranks": Copula()}


def _in_turns(size: int, gain: float, other: float, correlation: float) -> Problem:
    """Coordinates that the sources read with two gains in turns, through noises that are correlated."""
    snr_1, snr_2 = np.full(size, other**2), np.full(size, other**2)
    snr_1[::2], snr_2[1::2] = gain**2, gain**2
    return parallel(snr_1, snr_2, correlation)


def _rotated(problem: Problem, rng: np.random.Generator) -> Problem:
    """Mix the coordinates of every variable, so that ranks are of sums."""
    return apply_maps(problem, [np.linalg.qr(rng.standard_normal((d, d)))[0] for d in problem.dims])


SYSTEMS: Systems = {
    "channels, d = 2": (200, lambda rng: random_channel(rng, (2, 2, 2), (0.7, 0.7))),
    "latent factors, d = 4": (500, lambda rng: random_latent(rng, (4, 4, 4), 6)),
    "read-out, d = 6": (400, lambda rng: random_readout(rng, (6, 6, 6), (0.4, 0.3))),
    "gains 3 / 1 in turns, mixed, d = 8": (1000, lambda rng: _rotated(_in_turns(8, 3, 1, 0), rng)),
    "near-synergistic, mixed, d = 8": (1000, lambda rng: _rotated(parallel(np.full(8, 0.4), 0.4, -0.8), rng)),
    "gains 10 / 3 in turns, d = 8": (1000, lambda rng: _in_turns(8, 10, 3, 0)),
    "gains 3 / 0 in turns, noises -0.9, d = 8": (1000, lambda rng: _in_turns(8, 3, 0, -0.9)),
    "the same, mixed": (1000, lambda rng: _rotated(_in_turns(8, 3, 0, -0.9), rng)),
    "channels, d = 16": (5000, lambda rng: random_channel(rng, (16, 16, 16), (0.5, 0.4))),
}


def measure(name: str) -> list[Row]:
    """Estimate all data sets of one system in both ways."""
    samples, make = SYSTEMS[name]
    rng = np.random.default_rng([2034, list(SYSTEMS).index(name)])
    problem = make(rng)
    data, truth = draw(problem, rng, DATA_SETS, samples), truth_of(problem)
    rows: list[Row] = []
    for way, gaussianizer in WAYS.items():
        spec, key = PIDSpec(NoReduction(), gaussianizer), jax.random.key(11)
        estimate_pid(*(x[:2] for x in data), spec=spec, key=key)
        with Cost() as cost:
            found = estimate_pid(*data, spec=spec, key=key)
        row = {"system": name, "n": samples, "I_12": truth_of(problem, ["i_12"])[0], "way": way}
        row |= bias(stacked(found.atoms), truth) | held(found.lower, found.upper, truth)
        rows.append(row | {"CPU s a data set": cost.cpu / DATA_SETS})
    return rows


def measure_others(name: str) -> list[Row]:
    """Bootstrap intervals, and intervals of differences where source_1 gets noise, of one system after ranks."""
    samples, make = SYSTEMS[name]
    rng = np.random.default_rng([2035, list(SYSTEMS).index(name)])
    problem = make(rng)
    data, key, spec = draw(problem, rng, COMPARED, samples), jax.random.key(12), PIDSpec(NoReduction(), Copula())
    source_1 = data[0] + rng.standard_normal(data[0].shape)
    noisy, d1 = problem.cov.copy(), problem.dims[0]
    noisy[:d1, :d1] += np.eye(d1)
    truth = truth_of(problem)
    change = truth_of(Problem(noisy, problem.dims)) - truth
    drawn = bootstrap_pid(*data, spec=spec, key=key, level=LEVEL, resamples=200)
    pair = tuple(data), (source_1, *data[1:])
    compared = compare_pid(*pair, spec=spec, key=key, level=LEVEL, resamples=100, share_reduction=False)
    common = {"system": name, "n": samples}
    return [
        common | {"function": "bootstrap_pid"} | held(drawn.lower, drawn.upper, truth),
        common | {"function": "compare_pid"} | held(compared.lower, compared.upper, change),
    ]


def main() -> None:
    tables = by("way", collect(measure, SYSTEMS))
    write_results(
        "ranks",
        "Bias and coverage after ranks",
        f"{DATA_SETS} Gaussian data sets of each system, intervals of {LEVEL:.0%} by `estimate_pid` with raw samples "
        f"and after ranks; {COMPARED} for other functions, where `compare_pid` adds white noise to source_1. Bias in "
        "standard deviations of the atom.",
        tables | {"Other functions, after ranks": collect(measure_others, SYSTEMS)},
    )


if __name__ == "__main__":
    main()
