"""Bias of the atoms and coverage of their intervals on systems whose atoms are known, beside the parametric bootstrap.

Run `make bench`, or `python -m benchmarks.coverage`. Prints tables and writes them to benchmarks/results/coverage.json
and coverage.md. The seeds, which also draw the random systems, were not used while the method was chosen.
"""

from collections.abc import Callable, Mapping

import jax
import numpy as np

from benchmarks.pages import write_page
from benchmarks.timing import circumstances
from pid_jax import BROJA, IndirectInference, ParametricBootstrap, gaussian_pid
from pid_jax.bias.sampling import sampling_errors, subtract_sampling
from pid_jax.decompose.pid import solve_pid
from pid_jax.decompose.result import ATOMS
from pid_jax.testing.problems import Problem, random_channel, random_latent, random_readout
from pid_jax.testing.systems import parallel_channels

PACKAGES = ("pid_jax", "jax", "numpy", "scipy")
DATA_SETS, GROUP, LEVEL = 400, 50, 0.95
# Atoms that are smaller in truth are zero.
ZERO = 1e-9
WAYS = {"indirect inference": IndirectInference(200), "bootstrap": ParametricBootstrap(200)}


def _parallel(*arguments: object) -> Problem:
    return parallel_channels(*arguments).problem  # type: ignore[arg-type]


def _shared_and_own(rng: np.random.Generator) -> Problem:
    """16 coordinates that both sources read, 4 of them far better by source_1."""
    snr_1, snr_2 = rng.uniform(0.5, 2.0, 16), np.zeros(16)
    snr_2[:] = snr_1
    snr_2[:4] = 0.1
    snr_1[:4] = 2.5
    return _parallel(snr_1, snr_2, 0.3)


def _few_of_many(rng: np.random.Generator) -> Problem:
    """8 of 32 coordinates are read at all."""
    snr = np.zeros((2, 32))
    snr[:, :8] = rng.uniform(0.2, 2.0, (2, 8))
    return _parallel(snr[0], snr[1], 0.2)


SYSTEMS: Mapping[str, tuple[int, Callable[[np.random.Generator], Problem]]] = {
    "channels, d = 2": (200, lambda rng: random_channel(rng, (2, 2, 2), (0.7, 0.7))),
    "equal sources, d = 3": (300, lambda rng: _parallel(np.full(3, 2.0), 2.0, 0.0)),
    "independent, d = 4": (500, lambda rng: _parallel(np.zeros(4), 0.0, 0.0)),
    "read-out, d = 6": (400, lambda rng: random_readout(rng, (6, 6, 6), (0.4, 0.3))),
    "near-redundant, d = 8": (1000, lambda rng: _parallel(np.full(8, 1.5), 1.3, 0.93)),
    "near-synergistic, d = 8": (1000, lambda rng: _parallel(np.full(8, 0.4), 0.4, -0.8)),
    "equal sources, d = 12": (800, lambda rng: _parallel(np.full(12, 1.0), 1.0, 0.2)),
    "latent factors, d = 16": (1500, lambda rng: random_latent(rng, (16, 16, 16), 12)),
    "4 of 16 directions unique, d = 16": (1000, _shared_and_own),
    "channels, d = 8, 24, 12": (2000, lambda rng: random_channel(rng, (8, 24, 12), (0.3, 0.2))),
    "channels, d = 32": (1000, lambda rng: random_channel(rng, (32, 32, 32), (0.2, 0.2))),
    "8 of 32 directions read, d = 32": (5000, _few_of_many),
}


def _atoms(values: object) -> np.ndarray:
    return np.stack([np.asarray(getattr(values, name)) for name in ATOMS], axis=-1)


def measure(name: str) -> list[dict[str, object]]:
    """Draw sample covariances of one system, and correct them in each way."""
    samples, make = SYSTEMS[name]
    rng = np.random.default_rng([2032, list(SYSTEMS).index(name)])
    problem = make(rng)
    truth = _atoms(gaussian_pid(problem.cov, problem.dims).atoms)
    root = np.linalg.cholesky(problem.cov)
    found: dict[str, list[np.ndarray]] = {way: [] for way in WAYS}
    for group in range(DATA_SETS // GROUP):
        noise = (root @ rng.standard_normal((len(root), samples)) for _ in range(GROUP))
        cov = np.stack([np.cov(one) for one in noise])
        plain = solve_pid(cov, problem.dims, BROJA())
        for way, correction in WAYS.items():
            key = jax.random.fold_in(jax.random.key(7), group)
            errors = sampling_errors(plain, cov, problem.dims, samples, BROJA(), correction, key, LEVEL)
            corrected = subtract_sampling(plain, errors)
            columns = (corrected.found.atoms, corrected.lower, corrected.upper, plain.atoms)
            found[way].append(np.stack([_atoms(one) for one in columns]))
    return [_row(name, samples, way, truth, np.concatenate(parts, axis=1)) for way, parts in found.items()]


def _row(name: str, samples: int, way: str, truth: np.ndarray, found: np.ndarray) -> dict[str, object]:
    atoms, lower, upper, plain = found
    error = atoms - truth
    is_inside = ((lower <= truth + ZERO) & (truth - ZERO <= upper)).mean(axis=0)
    is_zero = truth < ZERO
    deviations = error.mean(axis=0) / error.std(axis=0)
    row: dict[str, object] = {"system": name, "n": samples, "way": way}
    row |= {f"bias of {atom}, sd": float(x) for atom, x in zip(ATOMS, deviations, strict=True)}
    row["largest bias, nats"] = float(np.abs(error.mean(axis=0)).max())
    row["plug-in's"] = float(np.abs((plain - truth).mean(axis=0)).max())
    row["rms error"] = float(np.sqrt((error**2).mean()))
    row |= {f"{atom} held": float(x) for atom, x in zip(ATOMS, is_inside, strict=True)}
    row["zero in truth"] = ", ".join(atom for atom, zero in zip(ATOMS, is_zero, strict=True) if zero)
    row["mean width"] = float((upper - lower).mean())
    return row


def main() -> None:
    rows: list[dict[str, object]] = []
    for name in SYSTEMS:
        rows += measure(name)
        print(rows[-2], flush=True)
    tables = {way: [row for row in rows if row["way"] == way] for way in WAYS}
    write_page(
        "coverage",
        "Bias and coverage",
        f"{DATA_SETS} data sets of each system, intervals of {LEVEL:.0%}. Bias in standard deviations of the atom.",
        tables,
        circumstances(*PACKAGES),
    )


if __name__ == "__main__":
    main()
