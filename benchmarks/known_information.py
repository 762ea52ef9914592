"""Mutual information of samples whose true value is known, in nats.

The tasks are those of Czyż et al. (2023), kept in benchmarks/data (its README says how they were made). Run
`python -m benchmarks.known_information` from the root of the repository.

Source: P. Czyż, F. Grabowski, J. Vogt, N. Beerenwinkel, A. Marx, "Beyond Normal: On the Evaluation of Mutual
Information Estimators", NeurIPS 2023, arXiv:2306.11078.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import digamma, ndtri
from scipy.stats import rankdata

DATA = Path(__file__).parent / "data"


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
    n, dim_x = x.shape
    joint = np.cov(np.hstack([x, y]), rowvar=False)
    parts = (joint[:dim_x, :dim_x], joint[dim_x:, dim_x:], joint)
    debiased = [np.linalg.slogdet(part)[1] - log_determinant_bias(len(part), n) for part in parts]
    return float(debiased[0] + debiased[1] - debiased[2]) / 2


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Replace each column by Φ⁻¹(rank / (n + 1))."""
    return ndtri(rankdata(values, axis=0) / (len(values) + 1))


def copula_information(x: np.ndarray, y: np.ndarray) -> float:
    """Estimate as `raw_information` does, after the normal scores of every column."""
    return raw_information(normal_scores(x), normal_scores(y))


ESTIMATORS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "raw": raw_information,
    "copula": copula_information,
}


def errors_of(tasks: Sequence[Task]) -> np.ndarray:
    """Estimate minus truth in nats, a row for each task and a column for each of ESTIMATORS."""
    return np.array([[estimate(task.x, task.y) - task.truth for estimate in ESTIMATORS.values()] for task in tasks])


def each_task(tasks: Sequence[Task], errors: np.ndarray) -> str:
    """Lay out the mean error over the seeds of every task."""
    lines = [f"{'task':<50}{'dims':>7}{'seeds':>7}{'truth':>8}" + "".join(f"{name:>9}" for name in ESTIMATORS)]
    for name in dict.fromkeys(task.name for task in tasks):
        rows = [row for row, task in enumerate(tasks) if task.name == name]
        task = tasks[rows[0]]
        means = "".join(f"{mean:>+9.3f}" for mean in errors[rows].mean(axis=0))
        lines.append(f"{name:<50}{task.dims:>7}{len(rows):>7}{task.truth:>8.3f}{means}")
    return "\n".join(lines)


def by_dims(tasks: Sequence[Task], errors: np.ndarray) -> str:
    """Lay out the mean absolute error by dims: over the seeds of a task first, then over the tasks."""
    lines = [f"{'dims':<7}{'tasks':>7}" + "".join(f"{name:>9}" for name in ESTIMATORS)]
    for dims in dict.fromkeys(task.dims for task in tasks):
        names = dict.fromkeys(task.name for task in tasks if task.dims == dims)
        rows = [[row for row, task in enumerate(tasks) if task.name == name] for name in names]
        means = np.mean([np.abs(errors[row]).mean(axis=0) for row in rows], axis=0)
        lines.append(f"{dims:<7}{len(names):>7}" + "".join(f"{mean:>9.3f}" for mean in means))
    return "\n".join(lines)


def main() -> None:
    tasks = load_tasks()
    errors = errors_of(tasks)
    print(f"Estimate minus truth in nats, mean over seeds, n = {len(tasks[0].x)}\n\n{each_task(tasks, errors)}")
    for title, wanted in (("without Student-t", False), ("Student-t, also under asinh", True)):
        rows = [row for row, task in enumerate(tasks) if task.is_student_t is wanted]
        print(f"\nMean absolute error in nats, {title}\n\n{by_dims([tasks[row] for row in rows], errors[rows])}")


if __name__ == "__main__":
    main()
