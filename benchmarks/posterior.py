"""Posterior draws: chains beside exact draws, credible intervals beside the truth, heavy tails.

Run `make bench`, or `python -m benchmarks.posterior`. Prints tables and writes them to
benchmarks/results/posterior.json and posterior.md.
"""

import time
import warnings
from typing import Any

import jax
import numpy as np

from benchmarks.pages import write_page
from benchmarks.timing import circumstances
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
    gaussian_pid,
    posterior_pid,
)
from pid_jax.decompose.result import ATOMS
from pid_jax.pid.atoms import QUANTITIES, quantities_of
from pid_jax.testing.problems import Problem, random_channel
from pid_jax.testing.systems import parallel_channels

PACKAGES = ("pid_jax", "jax", "numpyro", "numpy", "scipy")
SPEC = PIDSpec(NoReduction(), NoGaussianization())
SYSTEMS = ((2, 500), (4, 500), (8, 500), (8, 1000))
CHAIN_DRAWS, EXACT_DRAWS = 4000, 20_000
EQUAL_SETS, LKJ_SETS = 40, 3
FREEDOM, TAIL_SAMPLES, TAIL_SETS = 3.0, 300, {"channels": 100, "independent": 25}
LEVEL = 0.95


def draw(problem: Problem, samples: int, seed: int, sets: int = 1, freedom: float = np.inf) -> list[np.ndarray]:
    """Draw rows of a Gaussian, or of a t distribution with this scatter matrix."""
    rng = np.random.default_rng([2028, seed])
    rows = rng.standard_normal((sets, samples, len(problem.cov))) @ np.linalg.cholesky(problem.cov).T
    if np.isfinite(freedom):
        rows *= np.sqrt(freedom / rng.chisquare(freedom, (sets, samples, 1)))
    return np.split(rows, np.cumsum(problem.dims)[:-1], axis=-1)


def stacked(values: Any, names: tuple[str, ...] = QUANTITIES) -> np.ndarray:
    return np.stack([np.asarray(getattr(values, name)) for name in names], axis=-1)


def truth_of(problem: Problem) -> np.ndarray:
    found = gaussian_pid(problem.cov, problem.dims)
    return stacked(quantities_of(found.atoms, found.information))


def sample(data: list[np.ndarray], seed: int, **settings: Any) -> tuple[PIDPosterior, float]:
    """Draw from a posterior, and say how many CPU seconds it took."""
    start = time.process_time()
    found = posterior_pid(*data, spec=SPEC, key=jax.random.key(seed), level=LEVEL, **settings)
    return found, time.process_time() - start


def compare_chains(dim: int, samples: int) -> dict[str, Any]:
    """Draw from the posterior of a Gaussian likelihood with Jeffreys' prior in both ways."""
    problem = random_channel(np.random.default_rng(0), (dim, dim, dim), (1.0, 0.6))
    data = draw(problem, samples, dim)
    for warm in ({"sampler": NUTS(), "draws": CHAIN_DRAWS}, {"draws": EXACT_DRAWS}):
        sample(draw(problem, samples, 99), 0, **warm)  # compiles
    chains, chain_seconds = sample(data, 1, sampler=NUTS(), draws=CHAIN_DRAWS)
    exact, exact_seconds = sample(data, 2, draws=EXACT_DRAWS)
    deviation, effective = stacked(exact.standard_deviation), stacked(chains.effective_samples)
    error = deviation * np.sqrt(1 / effective + 1 / EXACT_DRAWS)
    difference = np.abs(stacked(chains.mean) - stacked(exact.mean))
    spread = np.abs(stacked(chains.standard_deviation) / deviation - 1)
    return {
        "dims": f"{dim} + {dim} + {dim}",
        "n": samples,
        "largest difference of means, standard errors": float((difference / error).max()),
        "largest difference of standard deviations, %": float(100 * spread.max()),
        "largest R-hat": f"{stacked(chains.r_hat).max():.4f}",
        "fewest effective draws of 4000": round(effective.min()),
        "CPU s, NUTS": chain_seconds,
        "CPU s, 20,000 exact draws": exact_seconds,
    }


def equal_sources() -> list[dict[str, Any]]:
    """Compare posteriors with the truth and with corrected estimates where directions hardly differ."""
    system = parallel_channels(np.full(12, 1.0), 1.0, 0.2)
    truth = stacked(system.atoms, ATOMS)
    data = draw(system.problem, 800, 50, EQUAL_SETS)
    corrected = estimate_pid(*data, spec=SPEC, key=jax.random.key(0))
    few = [x[:LKJ_SETS] for x in data]
    found = {
        "posterior, InverseWishart()": sample(data, 3)[0],
        "posterior, LKJ()": sample(few, 4, prior=LKJ())[0],
    }
    rows = [_row("truth", truth[None]), _row("estimate_pid, corrected", stacked(corrected.atoms, ATOMS))]
    rows[1] |= _held(stacked(corrected.lower, ATOMS), stacked(corrected.upper, ATOMS), truth, ATOMS)
    for name, one in found.items():
        held = _held(stacked(one.lower, ATOMS), stacked(one.upper, ATOMS), truth, ATOMS)
        rows.append(_row(name, stacked(one.mean, ATOMS)) | held)
    return rows


def _row(name: str, atoms: np.ndarray) -> dict[str, Any]:
    means = {atom: float(x) for atom, x in zip(ATOMS, atoms.mean(axis=0), strict=True)}
    return {"what": name, "data sets": "" if name == "truth" else len(atoms)} | means


def _held(lower: np.ndarray, upper: np.ndarray, truth: np.ndarray, names: tuple[str, ...]) -> dict[str, float]:
    inside = ((lower <= truth + 1e-9) & (truth - 1e-9 <= upper)).mean(axis=0)
    return {f"{name} held": float(x) for name, x in zip(names, inside, strict=True)}


def heavy_tails() -> list[dict[str, Any]]:
    """Compare both likelihoods on t data, from a system with dependence and from one without."""
    channel = random_channel(np.random.default_rng(1), (2, 2, 2), (0.7, 0.7))
    rows = []
    for name, problem in (("channels", channel), ("independent", Problem(np.eye(6), (2, 2, 2)))):
        truth = truth_of(problem)
        data = draw(problem, TAIL_SAMPLES, 60, TAIL_SETS[name], FREEDOM)
        for likelihood in (GaussianLikelihood(), StudentTLikelihood()):
            found, seconds = sample(data, 5, likelihood=likelihood)
            row: dict[str, Any] = {
                "system": name,
                "data sets": str(TAIL_SETS[name]),
                "likelihood": type(likelihood).__name__,
            }
            row["true i_12"] = abs(truth[-1])
            row |= {"mean of i_12": found.mean.i_12.mean(), "rms error of i_12": _rms(found.mean.i_12 - truth[-1])}
            if name == "channels":  # no interval of a positive quantity holds zero
                row |= _held(stacked(found.lower), stacked(found.upper), truth, QUANTITIES)
            row["freedom"] = "" if found.freedom is None else found.freedom.mean()
            row["R-hat above 1.01, % of data sets"] = 100 * (stacked(found.r_hat) > 1.01).any(axis=-1).mean()
            row["CPU s a data set"] = seconds / TAIL_SETS[name]
            rows.append({key: value if isinstance(value, str) else float(value) for key, value in row.items()})
    return rows


def _rms(error: np.ndarray) -> float:
    return float(np.sqrt((error**2).mean()))


def main() -> None:
    warnings.simplefilter("ignore")  # what they say is in the tables
    tables = {
        "Chains beside exact draws": [compare_chains(*one) for one in SYSTEMS],
        "Equal sources": equal_sources(),
        "Heavy tails": heavy_tails(),
    }
    write_page(
        "posterior",
        "Posterior draws",
        f"Chains and exact draws: Gaussian likelihood, Jeffreys' prior, {CHAIN_DRAWS} draws of 4 chains, seconds after "
        "compilation, largest of four atoms and three informations. Equal sources: 12 + 12 + 12 dims, n = 800, means "
        f"of atoms in nats, and how often {LEVEL:.0%} intervals hold the truth (those of estimate_pid: 90%). Heavy "
        f"tails: data sets of a t distribution with {FREEDOM:g} degrees of freedom, 2 + 2 + 2 dims, "
        f"n = {TAIL_SAMPLES}; atoms and informations of its scatter matrix, seconds with compilation.",
        tables,
        circumstances(*PACKAGES),
    )


if __name__ == "__main__":
    main()
