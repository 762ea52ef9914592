"""Numbers of samples by `samples_needed`, and how often fresh data sets of that size have intervals as narrow as asked.

Run `make bench`, or `python -m benchmarks.power`. Prints a table and writes it to benchmarks/results/power.json and
power.md.
"""

import jax
import numpy as np

from benchmarks.pages import write_page
from benchmarks.timing import circumstances
from pid_jax import NoGaussianization, NoReduction, PIDSpec, bootstrap_pid, gaussian_pid, samples_needed
from pid_jax.decompose.result import ATOMS
from pid_jax.testing.problems import Problem, random_channel, random_readout
from pid_jax.testing.systems import parallel_channels

PACKAGES = ("pid_jax", "jax", "numpy", "scipy")
DATA_SETS = 100
SPEC = PIDSpec(NoReduction(), NoGaussianization())
SYSTEMS: dict[str, tuple[Problem, float]] = {
    "channels, d = 2": (random_channel(np.random.default_rng(2033), (2, 2, 2), (0.7, 0.7)), 0.15),
    "equal sources, d = 4": (parallel_channels(np.full(4, 1.0), 1.0, 0.2).problem, 0.2),
    "read-out, d = 6": (random_readout(np.random.default_rng(2034), (6, 6, 6), (0.4, 0.3)), 0.2),
    "channels, d = 8": (random_channel(np.random.default_rng(2035), (8, 8, 8), (0.3, 0.3)), 0.2),
}


def measure(name: str, assurance: float) -> list[dict[str, object]]:
    """Find the numbers of samples for one system, and draw data sets of each."""
    problem, width = SYSTEMS[name]
    key = jax.random.key(2036)
    found = samples_needed(gaussian_pid(problem.cov, problem.dims), width=width, key=key, assurance=assurance)
    rng = np.random.default_rng([2037, list(SYSTEMS).index(name)])
    root, cuts = np.linalg.cholesky(problem.cov), np.cumsum(problem.dims)[:2]
    rows = []
    for atom in ATOMS:
        samples, narrow = int(getattr(found.samples, atom)), 0
        for one in jax.random.split(key, DATA_SETS):
            data = np.split(rng.standard_normal((samples, len(root))) @ root.T, cuts, axis=-1)
            result = bootstrap_pid(*data, spec=SPEC, key=one, resamples=200)
            narrow += bool(getattr(result.upper, atom) - getattr(result.lower, atom) <= width)
        row = {"system": name, "width, nats": width, "atom": atom, "assurance": assurance, "n": samples}
        rows.append(row | {"narrow enough": narrow / DATA_SETS})
    return rows


def main() -> None:
    rows: list[dict[str, object]] = []
    for assurance in (0.5, 0.8):
        for name in SYSTEMS:
            rows += measure(name, assurance)
            print(rows[-1], flush=True)
    write_page(
        "power",
        "Samples needed",
        f"95 % intervals; {DATA_SETS} fresh data sets of each size.",
        {"Numbers of samples": rows},
        circumstances(*PACKAGES),
    )


if __name__ == "__main__":
    main()
