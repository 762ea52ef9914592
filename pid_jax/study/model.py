"""The stores of one model, and which of their samples a study uses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pid_jax.settings.estimate import is_shrunk
from pid_jax.store import Activations
from pid_jax.store.decision import decision_of
from pid_jax.store.manifest import describe_differences
from pid_jax.store.shard import StoreError
from pid_jax.store.targets import Answer
from pid_jax.study.conditions import BASELINE, name_of
from pid_jax.study.spec import StudySpec

_COLUMNS = ("task", "gold", "correct")


@dataclass(frozen=True, kw_only=True)
class StudyModel:
    """The stores of one model.

    Attributes:
        name: What the model is called in the study.
        baseline: States of the model as it is.
        knockouts: States of the same model on the same samples, each with other attention cut.
        decision: Stores of `pid-extract decision`, with the image absent and with the question absent, one or more
            draws of each; none if the model's own decision is not studied.
        excluded: Ids of samples that are left out of all conditions.
    """

    name: str
    baseline: Activations
    knockouts: tuple[Activations, ...] = ()
    decision: tuple[Activations, ...] = ()
    excluded: frozenset[str] = frozenset()

    @property
    def stores(self) -> tuple[Activations, ...]:
        """The baseline, then the knockouts."""
        return (self.baseline, *self.knockouts)

    @property
    def last_layer(self) -> int:
        """The last layer recorded."""
        return self.baseline.layers[-1]


def condition_name(store: Activations) -> str:
    """Name the condition of a store: "unnamed" if nobody did."""
    return name_of(store.manifest.condition)


def check_model(model: StudyModel) -> tuple[StudyModel, list[str]]:
    """Leave out knockouts that do not belong to the baseline.

    Returns:
        The model without them, and a line for each that says why.

    Raises:
        ValueError: If the baseline itself cannot be used.
    """
    baseline = model.baseline
    if baseline.manifest.condition.get("edges") or condition_name(baseline) != BASELINE:
        raise ValueError(
            f"model {model.name!r}: the first store must be a baseline, with a condition of the name {BASELINE!r}, got "
            f"{condition_name(baseline)!r} at {baseline.path}: give the store of the model as it is."
        )
    kept: list[Activations] = []
    problems = []
    for store in model.knockouts:
        try:
            problem = _problem(store, baseline, [condition_name(one) for one in (baseline, *kept)])
        except (ValueError, OSError) as error:
            problem = str(error).rstrip(".")
        if problem is None:
            kept.append(store)
        else:
            problems.append(f"model {model.name!r}: {store.path} is left out: {problem}.")
    return replace(model, knockouts=tuple(kept)), problems


def _problem(store: Activations, baseline: Activations, names: Sequence[str]) -> str | None:
    """Say what keeps a knockout from being compared with its baseline."""
    own, other = store.manifest, baseline.manifest
    if absent := decision_of(own.condition).get("absent"):
        return (
            f"it is no knockout: it holds decisions with the {absent} absent, without states of layers; list it as "
            "`decision`"
        )
    if condition_name(store) in names:
        return f"another store of this model is {condition_name(store)!r} already"
    if different := describe_differences(other.deciding_settings, own.deciding_settings, ("in the baseline", "here")):
        return (
            f"it was not made like {baseline.path} ({different}); make it with "
            f"`pid-extract knockout --baseline {baseline.path}`"
        )
    if set(own.tensors) != set(other.tensors):
        return (
            f"it has layers {store.layers} and roles {store.roles}, the baseline has {baseline.layers} and "
            f"{baseline.roles}; extract it again with the same"
        )
    missing = set(other.ids) - set(own.ids)
    if missing or len(own.ids) != len(other.ids):
        count = len(missing) or len(own.ids) - len(other.ids)
        return f"its samples are not those of the baseline ({count} of {len(other.ids)} ids differ); extract it again"
    read_columns(store)
    return None


def read_columns(store: Activations) -> Mapping[str, np.ndarray]:
    """Read what a store says of its samples.

    Raises:
        StoreError: If it is not complete or damaged, or has no task, gold or correct.
    """
    lacking = [name for name in _COLUMNS if name not in store.columns]
    if lacking:
        raise StoreError(f"{store.path} has no column {', '.join(lacking)}: a study needs {', '.join(_COLUMNS)}.")
    return store.columns


@dataclass(frozen=True, kw_only=True)
class TaskRows:
    """The samples of one task.

    Attributes:
        ids: Their ids, sorted.
        rows: Their rows in every store of the model.
        gold: Their gold answers, "" where there is none.
        problem: What keeps the task from being studied, "" if nothing does.
    """

    ids: np.ndarray
    rows: tuple[np.ndarray, ...]
    gold: np.ndarray
    problem: str = ""


def task_rows(model: StudyModel, spec: StudySpec) -> dict[str, TaskRows]:
    """Find the samples of every task that all stores of a model have.

    Raises:
        ValueError: If correct answers are asked for and there are no gold answers.
    """
    columns = read_columns(model.baseline)
    chosen = np.ones(len(model.baseline.ids), bool)
    if spec.keep == "correct":
        if not is_graded(columns).any():
            raise ValueError(f'keep="correct" needs gold answers, and {model.baseline.path} has none: use keep="all".')
        chosen &= columns["correct"].astype(bool)
    if model.excluded:
        chosen &= ~np.isin(model.baseline.ids, [*model.excluded])
    ids = model.baseline.ids[chosen]
    for store in model.knockouts:
        ids = np.intersect1d(ids, store.ids)
    at = np.searchsorted(model.baseline.ids, ids)
    labels = columns["task"][at]
    every = [np.searchsorted(store.ids, ids) for store in model.stores]
    names = list(dict.fromkeys(columns["task"].tolist()))
    tasks = {}
    for name in names if spec.tasks is None else [name for name in spec.tasks if name in names]:
        own = labels == name
        gold = columns["gold"][at][own]
        problem = _task_problem(own.sum(), int((columns["task"] == name).sum()), gold, spec)
        tasks[name] = TaskRows(ids=ids[own], rows=tuple(rows[own] for rows in every), gold=gold, problem=problem)
    return tasks


def _task_problem(count: int, before: int, gold: np.ndarray, spec: StudySpec) -> str:
    if not count:
        lost = "no sample is answered correctly" if spec.keep == "correct" else "no sample is in all stores"
        return f"{lost}: leave the task out, or look at the answers with `pid-extract info`"
    answers = np.unique(gold[gold != ""])
    if len(answers) == 1 and not isinstance(spec.target, Answer):
        return (
            f"all {count} gold answers are {str(answers[0])!r}, so there is nothing to predict: leave the task out or "
            "add samples with other answers"
        )
    if isinstance(spec.target, Answer):
        return ""
    needed = sum(dim or 0 for dim in spec.dims) + 2
    if any(spec.dims) and count < needed and not is_shrunk(spec.pid.covariance):
        kept = f"{count} of {before} samples are answered correctly" if spec.keep == "correct" else f"{count} samples"
        return (
            f"{kept}, and {spec.dims} dimensions need at least {needed}, better ten times as many: add samples or "
            "reduce further"
        )
    return ""


def describe_answers(gold: np.ndarray) -> dict[str, Any]:
    """Count samples, and describe the spread of gold answers in nats; NaN where there are none."""
    counts = np.unique(gold[gold != ""], return_counts=True)[1]
    shares = counts / counts.sum() if counts.size else np.array([np.nan])
    return {
        "n_samples": len(gold),
        "answer_entropy": float(-(shares * np.log(shares)).sum()),
        "majority_rate": float(shares.max()),
    }


def answered(store: Activations, rows: np.ndarray) -> np.ndarray:
    """Return 1 where an answer is right and 0 where it is wrong, NaN where nobody knows."""
    correct = store.columns["correct"][rows].astype(float)
    return np.where(is_graded(store.columns)[rows], correct, np.nan)


def is_graded(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return for which samples it is known whether the answer is right: by a gold answer, or a column `graded`."""
    known = columns["gold"] != ""
    return known | columns["graded"].astype(bool) if "graded" in columns else known
