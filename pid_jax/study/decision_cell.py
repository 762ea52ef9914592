"""The decision of a model about one task as labeled data: its own answers, and the gold answers."""

import json
from collections.abc import Mapping
from typing import Any, get_args

import jax
import numpy as np
import xarray as xr

from pid_jax.categorical.decision import decision_pid
from pid_jax.categorical.decision_input import Answer
from pid_jax.categorical.decision_result import DecisionPID
from pid_jax.categorical.result import PREDICTORS
from pid_jax.decompose.dataset import STATUS_FLAGS
from pid_jax.decompose.result import ATOMS
from pid_jax.gaussian.status import Status
from pid_jax.pid.atoms import QUANTITIES
from pid_jax.store.decision import DecisionPosteriors

DECIDED: tuple[str, ...] = get_args(Answer)
"""Whose answers: those of the model, and the gold answers."""
NATS, ONE = {"units": "nats"}, {"units": "1"}
_BY_MODALITY = ("temperature", "shift")
_BY_ANSWER = (*(f"{name}{end}" for name in QUANTITIES for end in ("", "_lower", "_upper")), "target_entropy", "gap")


def solve_decision(posteriors: DecisionPosteriors, level: float, key: jax.Array) -> xr.Dataset:
    """Decompose the decisions about one task, for the model's answer and for the gold answer.

    Args:
        posteriors: Those of one task.
        level: Level of the intervals.
        key: A JAX random key.

    Returns:
        The variables of `decision.nc` in docs/study_dataset.md that belong to one model and task. What cannot be
        decomposed for one of the two answers is NaN there, and `problem` says why.

    Raises:
        ValueError: If neither can be decomposed.
    """
    found: dict[str, DecisionPID | str] = {}
    for answer in DECIDED:
        try:
            found[answer] = decision_pid(posteriors, answer=answer, level=level, key=key)  # pyright: ignore[reportArgumentType]
        except (ValueError, ArithmeticError) as error:
            found[answer] = " ".join(str(error).split()) or type(error).__name__
    problems = [one for one in found.values() if isinstance(one, str)]
    if len(problems) == len(found):
        raise ValueError(problems[0])
    ids = posteriors.ids.astype(str)
    rows = [_nothing(len(ids), one) if isinstance(one, str) else _found(one, ids) for one in found.values()]
    data: dict[str, Any] = {}
    for name in (*_BY_ANSWER, "n_samples"):
        data[name] = ("answer", np.array([row[name] for row in rows], float), ONE if name == "n_samples" else NATS)
    for name in _BY_MODALITY:
        data[name] = (("answer", "predictor"), np.array([row[name] for row in rows], float), ONE)
    for name in ATOMS:
        shares = np.array([row[f"pointwise_{name}"] for row in rows], np.float32)
        data[f"pointwise_{name}"] = (("answer", "sample"), shares, NATS)
    data["status"] = ("answer", np.array([row["status"] for row in rows], np.int32), STATUS_FLAGS)
    for name in ("findings", "problem"):
        data[name] = ("answer", np.array([row[name] for row in rows], dtype=object))
    return xr.Dataset(data, coords={"answer": list(DECIDED), "predictor": list(PREDICTORS)})


def _found(found: DecisionPID, ids: np.ndarray) -> Mapping[str, Any]:
    """Return what was found, by the names of variables; shares are NaN where a sample was left out."""
    row: dict[str, Any] = {}
    for name in QUANTITIES:
        values = found.atoms if name in ATOMS else found.information
        row |= {name: getattr(values, name)[0]}
        row |= {f"{name}_{end}": getattr(getattr(found, end), name)[0] for end in ("lower", "upper")}
    places = np.searchsorted(ids, found.ids.astype(str))
    for name in ATOMS:
        row[f"pointwise_{name}"] = np.full(len(ids), np.nan)
        row[f"pointwise_{name}"][places] = getattr(found.pointwise, name)
    row |= {name: getattr(found, name)[0] for name in _BY_MODALITY}
    row |= {"target_entropy": found.entropy[0], "gap": found.gap[0], "n_samples": found.counts[0]}
    return row | {"status": found.status[0], "findings": json.dumps(list(found.notes)), "problem": ""}


def _nothing(count: int, problem: str) -> Mapping[str, Any]:
    row: dict[str, Any] = dict.fromkeys((*_BY_ANSWER, "n_samples"), np.nan)
    row |= {name: np.full(len(PREDICTORS), np.nan) for name in _BY_MODALITY}
    row |= {f"pointwise_{name}": np.full(count, np.nan) for name in ATOMS}
    return row | {"status": int(Status.CONSTANT), "findings": "[]", "problem": problem}
