"""Bias of the atoms and coverage of their intervals on systems whose atoms are known, beside the parametric bootstrap.

The seeds, which also draw the random systems, were not used while the method was chosen.
"""

import jax
import numpy as np

from benchmarks.problems import ATOMS, ZERO, Systems, bias, held, parallel, stacked, truth_of
from benchmarks.record import write_results
from benchmarks.tables import Row, by, collect
from pid_jax import BROJA, IndirectInference, ParametricBootstrap
from pid_jax.bias.sampling import sampling_errors, subtract_sampling
from pid_jax.decompose.pid import solve_pid
from pid_jax.testing.problems import Problem, random_channel, random_latent, random_readout

DATA_SETS, GROUP, LEVEL = 400, 50, 0.95
WAYS = {"indirect inference": IndirectInference(200), "bootstrap": ParametricBootstrap(200)}


def _shared_and_own(rng: np.random.Generator) -> Problem:
    """16 coordinates that both sources read, 4 of them far better by source_1."""
    snr_1 = rng.uniform(0.5, 2.0, 16)
    snr_2 = snr_1.copy()
    snr_1[:4], snr_2[:4] = 2.5, 0.1
    return parallel(snr_1, snr_2, 0.3)


def _few_of_many(rng: np.random.Generator) -> Problem:
    """8 of 32 coordinates are read at all."""
    snr = np.zeros((2, 32))
    snr[:, :8] = rng.uniform(0.2, 2.0, (2, 8))
    return parallel(snr[0], snr[1], 0.2)


SYSTEMS: Systems = {
    "channels, d = 2": (200, lambda rng: random_channel(rng, (2, 2, 2), (0.7, 0.7))),
    "equal sources, d = 3": (300, lambda rng: parallel(np.full(3, 2.0), 2.0)),
    "independent, d = 4": (500, lambda rng: parallel(np.zeros(4), 0.0)),
    "read-out, d = 6": (400, lambda rng: random_readout(rng, (6, 6, 6), (0.4, 0.3))),
    "near-redundant, d = 8": (1000, lambda rng: parallel(np.full(8, 1.5), 1.3, 0.93)),
    "near-synergistic, d = 8": (1000, lambda rng: parallel(np.full(8, 0.4), 0.4, -0.8)),
    "equal sources, d = 12": (800, lambda rng: parallel(np.full(12, 1.0), 1.0, 0.2)),
    "latent factors, d = 16": (1500, lambda rng: random_latent(rng, (16, 16, 16), 12)),
    "4 of 16 directions unique, d = 16": (1000, _shared_and_own),
    "channels, d = 8, 24, 12": (2000, lambda rng: random_channel(rng, (8, 24, 12), (0.3, 0.2))),
    "channels, d = 32": (1000, lambda rng: random_channel(rng, (32, 32, 32), (0.2, 0.2))),
    "8 of 32 directions read, d = 32": (5000, _few_of_many),
}


def measure(name: str) -> list[Row]:
    """Draw sample covariances of one system, and correct them in each way."""
    samples, make = SYSTEMS[name]
    rng = np.random.default_rng([2032, list(SYSTEMS).index(name)])
    problem = make(rng)
    root = np.linalg.cholesky(problem.cov)
    found: dict[str, list] = {way: [] for way in WAYS}
    for group in range(DATA_SETS // GROUP):
        cov = np.stack([np.cov(root @ rng.standard_normal((len(root), samples))) for _ in range(GROUP)])
        plug_in = solve_pid(cov, problem.dims, BROJA())
        for way, correction in WAYS.items():
            key = jax.random.fold_in(jax.random.key(7), group)
            errors = sampling_errors(plug_in, cov, problem.dims, samples, BROJA(), correction, key, LEVEL)
            corrected = subtract_sampling(plug_in, errors)
            found[way].append((corrected.atoms, corrected.lower, corrected.upper, plug_in.atoms))
    truth = truth_of(problem)
    joined = {way: jax.tree.map(lambda *parts: np.concatenate(parts), *groups) for way, groups in found.items()}
    return [_row(name, samples, way, truth, of_way) for way, of_way in joined.items()]


def _row(name: str, samples: int, way: str, truth: np.ndarray, found: tuple) -> Row:
    corrected, lower, upper, plug_in = found
    row = {"system": name, "n": samples, "way": way, **bias(stacked(corrected), truth)}
    return row | {
        "plug-in's": np.abs((stacked(plug_in) - truth).mean(axis=0)).max(),
        "rms error": np.sqrt(((stacked(corrected) - truth) ** 2).mean()),
        **held(lower, upper, truth),
        "zero in truth": ", ".join(atom for atom, one in zip(ATOMS, truth, strict=True) if one < ZERO),
        "mean width": (stacked(upper) - stacked(lower)).mean(),
    }


def main() -> None:
    write_results(
        "coverage",
        "Bias and coverage",
        f"{DATA_SETS} data sets of each system, intervals of {LEVEL:.0%}. Bias in standard deviations of the atom.",
        by("way", collect(measure, SYSTEMS)),
    )


if __name__ == "__main__":
    main()
