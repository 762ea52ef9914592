"""Mutual information of samples whose true value is known, in nats.

The tasks are those of Czyż et al. (2023), kept in benchmarks/data (its README says how they were made), with what the
estimators of their package found on the same samples. Run `python -m benchmarks.known_information` from the root of
the repository; prints tables and writes them to benchmarks/results/known_information.json and known_information.md.

Source: P. Czyż, F. Grabowski, J. Vogt, N. Beerenwinkel, A. Marx, "Beyond Normal: On the Evaluation of Mutual
Information Estimators", NeurIPS 2023, arXiv:2306.11078.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import digamma, ndtri
from scipy.stats import rankdata

from benchmarks.pages import write_page
from benchmarks.timing import circumstances

DATA = Path(__file__).parent / "data"
# The estimators of the package were run on this draw.
SEED = 0


@dataclass(frozen=True)
class Task:
    """Paired samples with the mutual information of their distribution.

    Args:
        name: As the benchmark's package has it.
        family: What kind of distribution it is.
        x: Samples, shape (n, dim_x), float64.
        y: Samples, shape (n, dim_y), float64.
        truth: Mutual information in nats.
        seed: Seed of the samples.
    """

    name: str
    family: str
    x: np.ndarray
    y: np.ndarray
    truth: float
    seed: int

    @property
    def dims(self) -> str:
        return f"{self.x.shape[1]}x{self.y.shape[1]}"

    @property
    def is_student_t(self) -> bool:
        """Whether the copula is a Student-t's. asinh of the margins does not change it."""
        return "student-t" in self.family


def load_tasks() -> list[Task]:
    """Load all samples, in the order of the package."""
    records = json.loads((DATA / "bmi_tasks.json").read_text())["tasks"]
    with np.load(DATA / "bmi_tasks.npz") as samples:
        return [
            Task(
                name=record["name"],
                family=record["family"],
                x=samples[f"{record['name']}/{record['seed']}/x"].astype(float),
                y=samples[f"{record['name']}/{record['seed']}/y"].astype(float),
                truth=record["truth_nats"],
                seed=record["seed"],
            )
            for record in records
        ]


def log_determinant_bias(d: int, n: int) -> float:
    """Give E log|S| - log|Σ| of the sample covariance S (divisor n - 1) of n normal samples in d dimensions.

    Σ_{j<d} ψ((n - 1 - j) / 2) + d log(2 / (n - 1)), from the Wishart law of (n - 1) S.
    """
    return float(digamma((n - 1 - np.arange(d)) / 2).sum() + d * np.log(2 / (n - 1)))


def raw_information(x: np.ndarray, y: np.ndarray) -> float:
    """Estimate ½ log(|S_x| |S_y| / |S|), corrected for the bias that it has under normality.

    Args:
        x: Samples, paired with y.
        y: Samples.

    Returns:
        Mutual information in nats; the correction may take it below zero. Not guaranteed to bound the truth on either
        side where the samples are not normal.
    """
    return float(_information(np.cov(np.hstack([x, y]), rowvar=False), x.shape[1], len(x)))


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Replace each column by Φ⁻¹(rank / (n + 1))."""
    return ndtri(rankdata(values, axis=0) / (len(values) + 1))


def copula_information(x: np.ndarray, y: np.ndarray) -> float:
    """Estimate as `raw_information` does, after the normal scores of every column."""
    return raw_information(normal_scores(x), normal_scores(y))


def flow_information(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the information between the latents of two flows that are fitted as one, without what a refit shows.

    Args:
        x: Samples of several tasks, shape (tasks, n, dim_x).
        y: Samples paired with them.

    Returns:
        Mutual information of each task in nats, and how far the sizes of both latents go together, as a z-score.
    """
    import jax

    from pid_jax import RealNVP
    from pid_jax.flow.fit import fit_flow
    from pid_jax.flow.fitted import latents_of
    from pid_jax.flow.refit import refit_covariances
    from pid_jax.runtime.progress import no_progress

    fit = fit_flow(x, y, spec=RealNVP(intervals=False), key=jax.random.key(0))
    refit = refit_covariances(fit, (x, y), jax.random.key(1), no_progress)
    count, dim = x.shape[1], x.shape[2]
    found, drawn = (_information(cov[0].mean(axis=0), dim, count) for cov in (refit.found, refit.drawn))
    sizes = np.array([_sizes_go_together(z, dim) for z in latents_of(fit, x, y)])
    return _information(fit.cov, dim, count) - (found - drawn), sizes


def _information(cov: np.ndarray, dim: int, samples: int) -> np.ndarray:
    """Compute the information of sample covariances (..., D, D), without the bias of n normal samples."""
    parts = (cov[..., :dim, :dim], cov[..., dim:, dim:], cov)
    x, y, both = (np.linalg.slogdet(part)[1] - log_determinant_bias(part.shape[-1], samples) for part in parts)
    return (x + y - both) / 2


def _sizes_go_together(latents: np.ndarray, dim: int) -> float:
    """Compute the z-score of the diagnostic that a multivariate t, which no flow of each side undoes, sets off."""
    from pid_jax.flow.diagnostics import norm_correlation
    from pid_jax.flow.white import whiten_residual, whiten_samples

    one, other = (whiten_samples(np.asarray(part, np.float64)) for part in (latents[:, :dim], latents[:, dim:]))
    return norm_correlation(one, whiten_residual(other, one)).z


GAUSSIAN: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"raw": raw_information, "copula": copula_information}


def estimate_all(tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Estimate every task, those of the same dims by one fit; a row for each with what was found."""
    rows = []
    for dims in dict.fromkeys(task.dims for task in tasks):
        some = [task for task in tasks if task.dims == dims]
        flows, sizes = flow_information(np.stack([t.x for t in some]), np.stack([t.y for t in some]))
        for task, flow, size in zip(some, flows, sizes, strict=True):
            found = {name: estimate(task.x, task.y) for name, estimate in GAUSSIAN.items()}
            row = {"task": task.name, "dims": dims, "Student-t": "yes" if task.is_student_t else "no"}
            rows.append(row | {"truth": task.truth, **found, "flow": float(flow), "sizes go together, z": float(size)})
            print(rows[-1], flush=True)
    return rows


def with_peers(rows: Sequence[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Add what the estimators of the benchmark's package found."""
    records = json.loads((DATA / "bmi_estimators.json").read_text())
    known = {(r["name"], r["estimator"]): r["estimate"] for r in records if r["seed"] == seed}
    names = [name for name in dict.fromkeys(r["estimator"] for r in records) if name != "CCA"]  # raw, not corrected
    return [row | {name: known.get((row["task"], name)) for name in names} for row in rows]


def by_dims(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Average absolute errors over the tasks of the same dims."""
    names = [name for name in rows[0] if name not in ("task", "dims", "Student-t", "truth", "sizes go together, z")]
    table = []
    for dims in dict.fromkeys(row["dims"] for row in rows):
        some = [row for row in rows if row["dims"] == dims]
        means = {name: _mean_error(some, name) for name in names}
        table.append({"dims": dims, "tasks": len(some), **means})
    return table


def _mean_error(rows: Sequence[dict[str, Any]], name: str) -> float:
    errors = [abs(row[name] - row["truth"]) for row in rows if row[name] is not None]
    return float(np.mean(errors)) if errors else np.nan


def main() -> None:
    tasks = [task for task in load_tasks() if task.seed == SEED]
    rows = with_peers(estimate_all(tasks), SEED)
    own = [{name: row[name] for name in (*list(row)[:7], "sizes go together, z")} for row in rows]
    tables = {
        "Mean absolute error in nats, without Student-t": by_dims([r for r in rows if r["Student-t"] == "no"]),
        "Student-t, also under asinh": by_dims([r for r in rows if r["Student-t"] == "yes"]),
        "Each task": own,
    }
    conditions = circumstances("pid_jax", "jax", "flax", "optax", "distrax", "numpy", "scipy")
    text = f"n = {len(tasks[0].x)}, seed {SEED}."
    write_page("known_information", "Mutual information that is known", text, tables, conditions)


if __name__ == "__main__":
    main()
