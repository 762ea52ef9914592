"""Posterior draws: chains beside exact draws, credible intervals beside the truth, heavy tails."""

import warnings
from typing import Any

import jax
import numpy as np

from benchmarks.measure import Cost
from benchmarks.problems import ATOMS, draw, held, stacked, truth_of
from benchmarks.record import write_results
from benchmarks.tables import Row, collect
from pid_jax import (
    LKJ,
    NUTS,
    GaussianLikelihood,
    NoGaussianization,
    NoReduction,
    PIDPosterior,
    PIDSpec,
    StudentTLikelihood,
    estimate_pid,
    posterior_pid,
)
from pid_jax.pid.atoms import QUANTITIES
from pid_jax.testing.problems import Problem, random_channel
from pid_jax.testing.systems import parallel_channels

SPEC = PIDSpec(NoReduction(), NoGaussianization())
SYSTEMS = ((2, 500), (4, 500), (8, 500), (8, 1000))
CHAIN_DRAWS, EXACT_DRAWS = 4000, 20_000
EQUAL_SETS, LKJ_SETS = 40, 3
FREEDOM, TAIL_SAMPLES, TAIL_SETS = 3.0, 300, {"channels": 100, "independent": 25}
LEVEL = 0.95


def data(problem: Problem, samples: int, seed: int, sets: int = 1) -> list[np.ndarray]:
    return draw(problem, np.random.default_rng([2028, seed]), sets, samples)


def heavy_data(problem: Problem, seed: int, sets: int) -> list[np.ndarray]:
    """Draw rows of a t distribution with this scatter matrix."""
    rng = np.random.default_rng([2028, seed])
    rows = draw(problem, rng, sets, TAIL_SAMPLES)
    scale = np.sqrt(FREEDOM / rng.chisquare(FREEDOM, (sets, TAIL_SAMPLES, 1)))
    return [x * scale for x in rows]


def sample(rows: list[np.ndarray], seed: int, **settings: Any) -> tuple[PIDPosterior, float]:
    """Draw from a posterior; return it and the CPU seconds."""
    with Cost() as cost:
        found = posterior_pid(*rows, spec=SPEC, key=jax.random.key(seed), level=LEVEL, **settings)
    return found, cost.cpu


def compare_chains(case: tuple[int, int]) -> Row:
    """Draw from the posterior of a Gaussian likelihood with Jeffreys' prior in both ways."""
    dim, samples = case
    problem = random_channel(np.random.default_rng(0), (dim, dim, dim), (1.0, 0.6))
    rows = data(problem, samples, dim)
    ways: list[dict[str, Any]] = [{"sampler": NUTS(), "draws": CHAIN_DRAWS}, {"draws": EXACT_DRAWS}]
    for way in ways:
        sample(data(problem, samples, 99), 0, **way)  # compiles
    (chains, chain_seconds), (exact, exact_seconds) = (sample(rows, seed, **way) for seed, way in enumerate(ways, 1))
    deviation, effective = stacked(exact.standard_deviation, QUANTITIES), stacked(chains.effective_samples, QUANTITIES)
    error = deviation * np.sqrt(1 / effective + 1 / EXACT_DRAWS)
    difference = np.abs(stacked(chains.mean, QUANTITIES) - stacked(exact.mean, QUANTITIES))
    spread = np.abs(stacked(chains.standard_deviation, QUANTITIES) / deviation - 1)
    return {
        "dims": f"{dim} + {dim} + {dim}",
        "n": samples,
        "largest difference of means, standard errors": (difference / error).max(),
        "largest difference of standard deviations, %": 100 * spread.max(),
        "largest R-hat": f"{stacked(chains.r_hat, QUANTITIES).max():.4f}",
        "fewest effective draws of 4000": round(effective.min()),
        "CPU s, NUTS": chain_seconds,
        "CPU s, 20,000 exact draws": exact_seconds,
    }


def equal_sources() -> list[Row]:
    """Compare posteriors with the truth and with corrected estimates where directions hardly differ."""
    system = parallel_channels(np.full(12, 1.0), 1.0, 0.2)
    truth = stacked(system.atoms)
    rows = data(system.problem, 800, 50, EQUAL_SETS)
    corrected = estimate_pid(*rows, spec=SPEC, key=jax.random.key(0))
    inverse_wishart = sample(rows, 3)[0]
    lkj = sample([x[:LKJ_SETS] for x in rows], 4, prior=LKJ())[0]

    def row(name: str, atoms: Any, found: Any) -> Row:
        means = dict(zip(ATOMS, stacked(atoms).mean(axis=0), strict=True))
        sets = {"what": name, "data sets": len(atoms.redundancy)}
        return sets | means | held(found.lower, found.upper, truth)

    return [
        {"what": "truth", "data sets": "", **dict(zip(ATOMS, truth, strict=True))},
        row("estimate_pid, corrected", corrected.atoms, corrected),
        row("posterior, InverseWishart()", inverse_wishart.mean, inverse_wishart),
        row("posterior, LKJ()", lkj.mean, lkj),
    ]


def heavy_tails(name: str) -> list[Row]:
    """Compare both likelihoods on t data, from a system with dependence and from one without."""
    channel = random_channel(np.random.default_rng(1), (2, 2, 2), (0.7, 0.7))
    problem, sets = {"channels": channel, "independent": Problem(np.eye(6), (2, 2, 2))}[name], TAIL_SETS[name]
    truth = truth_of(problem, QUANTITIES)
    rows, drawn = [], heavy_data(problem, 60, sets)
    for likelihood in (GaussianLikelihood(), StudentTLikelihood()):
        found, seconds = sample(drawn, 5, likelihood=likelihood)
        row: dict[str, Any] = {
            "system": name,
            "data sets": str(sets),
            "likelihood": type(likelihood).__name__,
            "true i_12": abs(truth[-1]),
            "mean of i_12": found.mean.i_12.mean(),
            "rms error of i_12": np.sqrt(((found.mean.i_12 - truth[-1]) ** 2).mean()),
        }
        if name == "channels":  # no interval of a positive quantity holds zero
            row |= held(found.lower, found.upper, truth, QUANTITIES)
        row["freedom"] = "" if found.freedom is None else found.freedom.mean()
        not_mixed = (stacked(found.r_hat, QUANTITIES) > 1.01).any(axis=-1)
        row |= {"R-hat above 1.01, % of data sets": 100 * not_mixed.mean(), "CPU s a data set": seconds / sets}
        rows.append(row)
    return rows


def main() -> None:
    warnings.simplefilter("ignore")  # what they say is in the tables
    write_results(
        "posterior",
        "Posterior draws",
        f"Chains and exact draws: Gaussian likelihood, Jeffreys' prior, {CHAIN_DRAWS} draws of 4 chains, seconds after "
        "compilation, largest of four atoms and three informations. Equal sources: 12 + 12 + 12 dims, n = 800, means "
        f"of atoms in nats, and how often {LEVEL:.0%} intervals hold the truth (those of estimate_pid: 90%). Heavy "
        f"tails: data sets of a t distribution with {FREEDOM:g} degrees of freedom, 2 + 2 + 2 dims, "
        f"n = {TAIL_SAMPLES}; atoms and informations of its scatter matrix, seconds with compilation.",
        {
            "Chains beside exact draws": collect(compare_chains, SYSTEMS),
            "Equal sources": equal_sources(),
            "Heavy tails": collect(heavy_tails, TAIL_SETS),
        },
    )


if __name__ == "__main__":
    main()
