"""Paired differences: how often is a difference found where there is none, and how often a known one?

The seeds were not used while the method was chosen.
"""

from collections.abc import Callable, Sequence

import jax
import numpy as np
from scipy.optimize import brentq

from benchmarks.problems import is_inside, parallel, split, stacked, truth_of
from benchmarks.record import write_results
from benchmarks.tables import Row, collect
from pid_jax import NoGaussianization, NoReduction, PIDSpec, compare_pid
from pid_jax.pid.atoms import QUANTITIES
from pid_jax.testing.problems import Problem, random_channel
from pid_jax.testing.systems import parallel_channels

DATA_SETS, GROUP, RESAMPLES, LEVEL = 2000, 50, 200, 0.05
# The part of the noise of every row that both conditions share.
CORRELATION = 0.9
CHANGE = 0.05
SPEC = PIDSpec(NoReduction(), NoGaussianization())
# Signal-to-noise ratios of 8 coordinates, some better known by source_1 and some by source_2.
SNR_1, SNR_2 = np.random.default_rng(2028).uniform(0.2, 2.0, (2, 8))


def same(problem: Problem) -> Sequence[Problem]:
    return problem, problem


def less_unique() -> Sequence[Problem]:
    """Take .05 nats from unique_1 where source_1 is most ahead; its noise correlation keeps the synergy as it was."""
    place = int(np.argmax(SNR_1 - SNR_2))
    changed = SNR_1.copy()
    changed[place] = (1 + SNR_1[place]) * np.exp(-2 * CHANGE) - 1

    def synergy(snr: float, correlation: float) -> float:
        return float(parallel_channels([snr], [SNR_2[place]], correlation).atoms.synergy)

    wanted = synergy(SNR_1[place], 0.2)
    least = np.sqrt(SNR_2[place] / changed[place])  # without synergy
    correlation = np.full(8, 0.2)
    correlation[place] = brentq(lambda x: synergy(changed[place], x) - wanted, -0.9, least)
    return parallel(SNR_1, SNR_2, 0.2), parallel(changed, SNR_2, correlation)


# Samples of a data set, and the problem before and after.
CASES: dict[str, tuple[int, Callable[[], Sequence[Problem]]]] = {
    "no change, d = 8": (2000, lambda: same(parallel(SNR_1, SNR_2, 0.2))),
    "unique_1 smaller by .05, d = 8": (2000, less_unique),
    "no change, equal sources, d = 8": (2000, lambda: same(parallel(np.full(8, 1.0), 1.0, 0.2))),
    "no change, one source ahead, d = 8": (1000, lambda: same(parallel(np.full(8, 1.5), 1.3, 0.93))),
    "other channels, d = 8": (
        1000,
        lambda: [random_channel(np.random.default_rng(seed), (8, 8, 8), (0.3, 0.3)) for seed in (2029, 2030)],
    ),
}


def measure(name: str) -> list[Row]:
    """Compare both conditions in many data sets."""
    samples, make = CASES[name]
    before, after = make()
    rng = np.random.default_rng([2031, list(CASES).index(name)])
    roots = [np.linalg.cholesky(problem.cov) for problem in (before, after)]
    found = []
    for group in range(DATA_SETS // GROUP):
        shared, own = rng.standard_normal((2, GROUP, samples, len(before.cov)))
        noises = shared, CORRELATION * shared + np.sqrt(1 - CORRELATION**2) * own
        pair = [split(noise @ root.T, before.dims) for noise, root in zip(noises, roots, strict=True)]
        key = jax.random.fold_in(jax.random.key(11), group)
        result = compare_pid(*pair, spec=SPEC, key=key, resamples=RESAMPLES)
        parts = result.difference, result.lower, result.upper, result.p_value
        found.append(np.stack([stacked(part, QUANTITIES) for part in parts]))
    difference, lower, upper, p_value = np.concatenate(found, axis=1)
    truth = truth_of(after, QUANTITIES) - truth_of(before, QUANTITIES)
    columns = {
        "true difference": truth,
        "bias": difference.mean(axis=0) - truth,
        "sd": difference.std(axis=0),
        "p ≤ .05": (p_value <= LEVEL).mean(axis=0),
        "interval misses": 1 - is_inside(lower, upper, truth).mean(axis=0),
    }
    return [
        {"conditions": name, "n": samples, "quantity": quantity, **{key: values[i] for key, values in columns.items()}}
        for i, quantity in enumerate(QUANTITIES)
    ]


def main() -> None:
    write_results(
        "comparison",
        "Paired differences",
        f"{DATA_SETS} data sets a case, {RESAMPLES} resamples, 95 % intervals; the noise of both conditions is "
        f"correlated by {CORRELATION}. Standard error of a share near .05: "
        f"{np.sqrt(LEVEL * (1 - LEVEL) / DATA_SETS):.4f}.",
        {"Differences": collect(measure, CASES)},
    )


if __name__ == "__main__":
    main()
