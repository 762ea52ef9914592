"""Mutual information of samples whose true value is known, in nats.

The tasks are those of Czyż et al. (2023), kept in benchmarks/data (its README says how they were made), with what the
estimators of their package found on the same samples.

Source: P. Czyż, F. Grabowski, J. Vogt, N. Beerenwinkel, A. Marx, "Beyond Normal: On the Evaluation of Mutual
Information Estimators", NeurIPS 2023, arXiv:2306.11078.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from scipy.special import digamma, ndtri
from scipy.stats import rankdata

from benchmarks.record import write_results
from benchmarks.tables import Row, by, collect
from pid_jax import RealNVP
from pid_jax.flow.fit import fit_flow
from pid_jax.flow.fitted import latents_of
from pid_jax.flow.refit import refit_covariances
from pid_jax.normality.diagnostics import norm_correlation
from pid_jax.normality.white import whiten_residual, whiten_samples
from pid_jax.runtime.progress import no_progress

DATA = Path(__file__).parent / "data"
# The estimators of the package were run on this draw.
SEED = 0


@dataclass(frozen=True)
class Task:
    """Paired samples x and y, each (n, dim), of a distribution whose mutual information in nats is `truth`."""

    name: str
    is_student_t: bool  # its copula; asinh of the margins does not change it
    x: np.ndarray
    y: np.ndarray
    truth: float

    @property
    def dims(self) -> str:
        return f"{self.x.shape[1]}x{self.y.shape[1]}"


def load_tasks() -> list[Task]:
    """Load the samples of the one seed, in the order of the package."""
    records = [one for one in json.loads((DATA / "bmi_tasks.json").read_text())["tasks"] if one["seed"] == SEED]
    with np.load(DATA / "bmi_tasks.npz") as kept:
        pairs = [[kept[f"{one['name']}/{SEED}/{side}"].astype(float) for side in "xy"] for one in records]
    return [
        Task(one["name"], one["is_student_t"], x, y, one["truth_nats"])
        for one, (x, y) in zip(records, pairs, strict=True)
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


def flow_information(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the information between the latents of two flows that are fitted as one, without what a refit shows.

    Args:
        x: Samples of several tasks, shape (tasks, n, dim_x).
        y: Samples paired with them.

    Returns:
        Mutual information of each task in nats, and how far the sizes of both latents go together, as a z-score.
    """
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
    one, other = (whiten_samples(np.asarray(part, np.float64)) for part in (latents[:, :dim], latents[:, dim:]))
    return norm_correlation(one, whiten_residual(other, one)).z


def estimate_all(tasks: Sequence[Task]) -> list[Row]:
    """Estimate tasks of the same dims, their flows by one fit; a row for each with what was found."""
    flows, sizes = flow_information(np.stack([t.x for t in tasks]), np.stack([t.y for t in tasks]))
    return [
        {
            "task": task.name,
            "dims": task.dims,
            "Student-t": "yes" if task.is_student_t else "no",
            "truth": task.truth,
            "raw": raw_information(task.x, task.y),
            "copula": raw_information(normal_scores(task.x), normal_scores(task.y)),
            "flow": flow,
            "sizes go together, z": size,
        }
        for task, flow, size in zip(tasks, flows, sizes, strict=True)
    ]


def with_peers(rows: Sequence[Row]) -> list[Row]:
    """Add what the estimators of the benchmark's package found."""
    records = json.loads((DATA / "bmi_estimators.json").read_text())
    known = {(r["name"], r["estimator"]): r["estimate"] for r in records if r["seed"] == SEED}
    names = [name for name in dict.fromkeys(r["estimator"] for r in records) if name != "CCA"]  # raw, not corrected
    return [{**row, **{name: known.get((row["task"], name)) for name in names}} for row in rows]


def mean_errors(rows: Sequence[Row]) -> list[Row]:
    """Average absolute errors over the tasks of the same dims."""
    columns = [name for name in rows[0] if name not in ("task", "dims", "Student-t", "truth", "sizes go together, z")]

    def error(some: Sequence[Row], name: str) -> float:
        errors = [abs(row[name] - row["truth"]) for row in some if row[name] is not None]
        return float(np.mean(errors)) if errors else np.nan

    return [
        {"dims": dims, "tasks": len(some), **{name: error(some, name) for name in columns}}
        for dims, some in by("dims", rows).items()
    ]


def main() -> None:
    tasks = load_tasks()
    of_dims: dict[str, list[Task]] = {}
    for task in tasks:
        of_dims.setdefault(task.dims, []).append(task)
    own = collect(estimate_all, of_dims.values())
    rows = with_peers(own)
    tables = {
        "Mean absolute error in nats, without Student-t": mean_errors([r for r in rows if r["Student-t"] == "no"]),
        "Student-t, also under asinh": mean_errors([r for r in rows if r["Student-t"] == "yes"]),
        "Each task": own,
    }
    text = f"n = {len(tasks[0].x)}, seed {SEED}."
    write_results("known_information", "Mutual information that is known", text, tables)


if __name__ == "__main__":
    main()
