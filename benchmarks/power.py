"""Numbers of samples by `samples_needed`, and how often fresh data sets of that size have intervals as narrow as asked.

Four systems, with an assurance of one half and of four fifths.
"""

import jax
import numpy as np

from benchmarks.problems import ATOMS, draw, parallel
from benchmarks.record import write_results
from benchmarks.tables import Row, collect
from pid_jax import NoGaussianization, NoReduction, PIDSpec, bootstrap_pid, gaussian_pid, samples_needed
from pid_jax.testing.problems import Problem, random_channel, random_readout

DATA_SETS = 100
SPEC = PIDSpec(NoReduction(), NoGaussianization())
# Each with the width that is asked for, in nats.
SYSTEMS: dict[str, tuple[Problem, float]] = {
    "channels, d = 2": (random_channel(np.random.default_rng(2033), (2, 2, 2), (0.7, 0.7)), 0.15),
    "equal sources, d = 4": (parallel(np.full(4, 1.0), 1.0, 0.2), 0.2),
    "read-out, d = 6": (random_readout(np.random.default_rng(2034), (6, 6, 6), (0.4, 0.3)), 0.2),
    "channels, d = 8": (random_channel(np.random.default_rng(2035), (8, 8, 8), (0.3, 0.3)), 0.2),
}


def measure(case: tuple[float, str]) -> list[Row]:
    """Find the numbers of samples for one system, and draw data sets of each."""
    assurance, name = case
    problem, width = SYSTEMS[name]
    key = jax.random.key(2036)
    found = samples_needed(gaussian_pid(problem.cov, problem.dims), width=width, key=key, assurance=assurance)
    rng = np.random.default_rng([2037, list(SYSTEMS).index(name)])
    rows = []
    for atom in ATOMS:
        samples, narrow = int(getattr(found.samples, atom)), 0
        for one in jax.random.split(key, DATA_SETS):
            result = bootstrap_pid(*draw(problem, rng, samples), spec=SPEC, key=one, resamples=200)
            narrow += bool(getattr(result.upper, atom) - getattr(result.lower, atom) <= width)
        row = {"system": name, "width, nats": width, "atom": atom, "assurance": assurance, "n": samples}
        rows.append(row | {"narrow enough": narrow / DATA_SETS})
    return rows


def main() -> None:
    rows = collect(measure, [(assurance, name) for assurance in (0.5, 0.8) for name in SYSTEMS])
    text = f"95 % intervals; {DATA_SETS} fresh data sets of each size."
    write_results("power", "Samples needed", text, {"Numbers of samples": rows})


if __name__ == "__main__":
    main()
