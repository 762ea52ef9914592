"""Parts of the labelled data set of a study: what was found in each cell, and what the stores say of it."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from pid_jax.result import ATOMS, INFORMATION, STATUS_FLAGS, PIDEstimate
from pid_jax.scores import Scores
from pid_jax.store import ActivationStore


def cell_data(estimates: Sequence[PIDEstimate], scores: Sequence[Scores]) -> xr.Dataset:
    """Label what was found in all layers of one task and condition, by every measure."""
    first = estimates[0]
    nats = {"units": "nats"}
    per_measure = {n: (np.stack([getattr(e.atoms, n) for e in estimates]), nats) for n in ATOMS}
    if first.lower is not None:
        ends = [(n, end) for n in ATOMS for end in ("lower", "upper")]
        per_measure |= {f"{n}_{e}": (np.stack([getattr(getattr(x, e), n) for x in estimates]), nats) for n, e in ends}
    per_measure |= {"gap": (np.stack([e.gap for e in estimates]), nats)}
    per_measure |= {"status": (np.stack([e.status for e in estimates]), STATUS_FLAGS)}
    data: dict[str, Any] = {name: (("measure", "layer"), *value) for name, value in per_measure.items()}
    data |= {name: ("layer", getattr(first.information, name), nats) for name in INFORMATION}
    data["findings"] = ((), json.dumps([*first.notes, *first.findings]))
    data["gaussianized_by"] = ("layer", np.asarray(first.gaussianizer, dtype=object))
    for suffix, variable in zip(("1", "2", "target"), scores, strict=True):
        for name, value, unit in (
            ("explained_variance", variable.explained_variance, "1"),
            ("reduction_angle", variable.angle, "rad"),
        ):
            data[f"{name}_{suffix}"] = ("layer", np.broadcast_to(value, first.gap.shape[:1]), {"units": unit})
    return xr.Dataset(data)


def unknown_intervals(data: xr.Dataset) -> list[str]:
    """Name the ends of intervals if none is known: flows without Gaussian refits have none."""
    ends = [f"{name}_{end}" for name in ATOMS for end in ("lower", "upper") if f"{name}_{end}" in data]
    return ends if all(bool(data[name].isnull().all()) for name in ends) else []


def coordinates(stores: Sequence[ActivationStore], tasks: Sequence[str]) -> dict[str, Any]:
    """Name tasks, conditions and layers."""
    conditions = [store.manifest.condition for store in stores]
    return {
        "task": list(tasks),
        "condition": [c["name"] for c in conditions],
        "condition_label": ("condition", [c["label"] for c in conditions]),
        "cut_first": ("condition", [c["first"] for c in conditions]),
        "cut_last": ("condition", [c["last"] for c in conditions]),
        "layer": list(stores[0].layers),
    }


def task_data(baseline: ActivationStore, rows: np.ndarray, labels: np.ndarray, tasks: Sequence[str]) -> dict[str, Any]:
    """Count the samples of each task, and describe their gold answers."""
    gold = baseline.columns["gold"][rows]
    shares = [_answer_shares(gold[labels == task]) for task in tasks]
    return {
        "n_samples": ("task", [int((labels == task).sum()) for task in tasks]),
        "answer_entropy": ("task", [float(-(p * np.log(p)).sum()) for p in shares], {"units": "nats"}),
        "majority_rate": ("task", [float(p.max()) for p in shares], {"units": "1"}),
    }


def accuracy(store: ActivationStore, rows: np.ndarray) -> float:
    """Compute the accuracy on the rows that have a gold answer; NaN without any."""
    has_answer = store.columns["gold"][rows] != ""
    return float(store.columns["correct"][rows][has_answer].mean()) if has_answer.any() else np.nan


def _answer_shares(gold: np.ndarray) -> np.ndarray:
    """Frequencies of the gold answers; NaN where there are none."""
    counts = np.unique(gold[gold != ""], return_counts=True)[1]
    return counts / counts.sum() if counts.size else np.array([np.nan])
