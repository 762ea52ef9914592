"""Paired differences: how often is a difference found where there is none, and how often a known one?

Run `make bench`, or `python -m benchmarks.comparison`. Prints tables and writes them to
benchmarks/results/comparison.json and comparison.md. The seeds were not used while the method was chosen.
"""

from collections.abc import Callable

import jax
import numpy as np
from scipy.optimize import brentq

from benchmarks.pages import write_page
from benchmarks.timing import circumstances
from pid_jax import NoGaussianization, NoReduction, PIDSpec, compare_pid, gaussian_pid
from pid_jax.pid.atoms import QUANTITIES, PIDQuantities, quantities_of
from pid_jax.testing.problems import Problem, random_channel
from pid_jax.testing.systems import parallel_channels

PACKAGES = ("pid_jax", "jax", "numpy", "scipy")
DATA_SETS, GROUP, RESAMPLES, LEVEL = 2000, 50, 200, 0.05
# What both conditions share of the noise of every row.
CORRELATION = 0.9
CHANGE = 0.05
SPEC = PIDSpec(NoReduction(), NoGaussianization())


def mixed() -> tuple[np.ndarray, np.ndarray]:
    """Draw signal-to-noise ratios of 8 coordinates, some better known by source_1 and some by source_2."""
    snr_1, snr_2 = np.random.default_rng(2028).uniform(0.2, 2.0, (2, 8))
    return snr_1, snr_2


def unchanged() -> tuple[Problem, Problem]:
    problem = parallel_channels(*mixed(), 0.2).problem
    return problem, problem


def less_unique() -> tuple[Problem, Problem]:
    """Take .05 nats from unique_1 where source_1 is most ahead; its noise correlation keeps the synergy as it was."""
    snr_1, snr_2 = mixed()
    place = int(np.argmax(snr_1 - snr_2))
    changed = snr_1.copy()
    changed[place] = (1 + snr_1[place]) * np.exp(-2 * CHANGE) - 1

    def synergy(snr: float, correlation: float) -> float:
        return float(parallel_channels([snr], [snr_2[place]], correlation).atoms.synergy)

    wanted = synergy(snr_1[place], 0.2)
    least = np.sqrt(snr_2[place] / changed[place])  # without synergy
    correlation = np.full(8, 0.2)
    correlation[place] = brentq(lambda x: synergy(changed[place], x) - wanted, -0.9, least)
    before, _ = unchanged()
    return before, parallel_channels(changed, snr_2, correlation).problem


def equal_sources() -> tuple[Problem, Problem]:
    problem = parallel_channels(np.full(8, 1.0), 1.0, 0.2).problem
    return problem, problem


def one_ahead() -> tuple[Problem, Problem]:
    problem = parallel_channels(np.full(8, 1.5), 1.3, 0.93).problem
    return problem, problem


def other_channels() -> tuple[Problem, Problem]:
    first, second = (random_channel(np.random.default_rng(seed), (8, 8, 8), (0.3, 0.3)) for seed in (2029, 2030))
    return first, second


CASES: dict[str, tuple[int, Callable[[], tuple[Problem, Problem]]]] = {
    "no change, d = 8": (2000, unchanged),
    "unique_1 smaller by .05, d = 8": (2000, less_unique),
    "no change, equal sources, d = 8": (2000, equal_sources),
    "no change, one source ahead, d = 8": (1000, one_ahead),
    "other channels, d = 8": (1000, other_channels),
}


def _quantities(problem: Problem) -> PIDQuantities:
    found = gaussian_pid(problem.cov, problem.dims)
    return quantities_of(found.atoms, found.information)


def measure(name: str) -> list[dict[str, object]]:
    """Compare both conditions in many data sets."""
    samples, make = CASES[name]
    before, after = make()
    rng = np.random.default_rng([2031, list(CASES).index(name)])
    roots = [np.linalg.cholesky(problem.cov) for problem in (before, after)]
    cuts, size = np.cumsum(before.dims)[:2], len(before.cov)
    found: dict[str, list[np.ndarray]] = {quantity: [] for quantity in QUANTITIES}
    truth = {q: float(getattr(_quantities(after), q) - getattr(_quantities(before), q)) for q in QUANTITIES}
    for group in range(DATA_SETS // GROUP):
        shared, own = rng.standard_normal((2, GROUP, samples, size))
        noises = shared, CORRELATION * shared + np.sqrt(1 - CORRELATION**2) * own
        pair = [np.split(noise @ root.T, cuts, axis=-1) for noise, root in zip(noises, roots, strict=True)]
        key = jax.random.fold_in(jax.random.key(11), group)
        result = compare_pid(*pair, spec=SPEC, key=key, resamples=RESAMPLES)
        for q in QUANTITIES:
            parts = (result.difference, result.lower, result.upper, result.p_value)
            found[q].append(np.stack([getattr(part, q) for part in parts]))
    return [_row(name, samples, q, truth[q], np.concatenate(found[q], axis=-1)) for q in QUANTITIES]


def _row(name: str, samples: int, quantity: str, truth: float, found: np.ndarray) -> dict[str, object]:
    difference, lower, upper, p_value = found
    error = 1e-9  # of the truth
    return {
        "conditions": name,
        "n": samples,
        "quantity": quantity,
        "true difference": truth,
        "bias": float(difference.mean() - truth),
        "sd": float(difference.std()),
        "p ≤ .05": float((p_value <= LEVEL).mean()),
        "interval misses": float(((lower > truth + error) | (upper < truth - error)).mean()),
    }


def main() -> None:
    rows: list[dict[str, object]] = []
    for name in CASES:
        rows += measure(name)
        print(name, [(row["quantity"], row["p ≤ .05"], row["interval misses"]) for row in rows[-7:]], flush=True)
    write_page(
        "comparison",
        "Paired differences",
        f"{DATA_SETS} data sets a case, {RESAMPLES} resamples, 95 % intervals; the noise of both conditions is "
        f"correlated by {CORRELATION}. Standard error of a share near .05: "
        f"{np.sqrt(LEVEL * (1 - LEVEL) / DATA_SETS):.4f}.",
        {"Differences": rows},
        circumstances(*PACKAGES),
    )


if __name__ == "__main__":
    main()
