"""A model's own posteriors of its answers from both modalities, the question alone and the image alone.

They come from a baseline and the stores that `pid-extract decision` makes of it. Needs no JAX.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Literal

import numpy as np

from pid_jax.store.activations import Activations
from pid_jax.store.manifest import BASELINE, NORM, describe_differences
from pid_jax.store.readout import Candidate
from pid_jax.store.shard import StoreError
from pid_jax.store.targets import AnswerLogits, target_reader

NO_GOLD = -1
"""Index of a gold answer that is unknown, or begins with no candidate."""

_FEWEST = 2
_FREE = ("roles", "layers", "dtype")  # settings that a decision may have of its own: what is recorded, and how
_LONGEST = 300  # characters of a message on settings that differ
_COLUMNS = ("task", "gold", "predicted")

Stores = Activations | Sequence[Activations]
Candidates = Literal["task", "all"]


@dataclass(frozen=True, kw_only=True, eq=False)
class DecisionPosteriors:
    """What a model decides from both modalities and from each alone: probabilities of the candidate answers.

    Every row of each posterior sums to one. It is the softmax of the logits, at temperature 1, over the candidates of
    the row's task alone: what the model gives to other tokens is not known. Candidates of other tasks have zeros.

    Attributes:
        p_both: p(answer | image and question), of the model as it is: (n, K), float64.
        p_image: p(answer | image): (n, K).
        p_question: p(answer | question): (n, K).
        ids: Ids of the samples, sorted: (n,).
        tasks: Their tasks: (n,).
        gold: Gold answers as the data write them, empty where they are hidden: (n,).
        gold_index: Candidate of each gold answer, or `NO_GOLD`: integers (n,).
        predicted: Answers that the model generated from both modalities: (n,).
        candidates: Gold answers of each candidate, K tuples. A candidate is the token that answers begin with; one of
            several answers cannot tell these apart.
        method: How a modality was made absent: "cut" or "replaced".
        draws: Number of replacements that p_image and p_question are averages of; 1 for "cut".
    """

    p_both: np.ndarray
    p_image: np.ndarray
    p_question: np.ndarray
    ids: np.ndarray
    tasks: np.ndarray
    gold: np.ndarray
    gold_index: np.ndarray
    predicted: np.ndarray
    candidates: tuple[tuple[str, ...], ...]
    method: str
    draws: int

    @property
    def answers(self) -> tuple[str, ...]:
        """Labels of the candidates (K): their answers, joined by " | " where several begin with one token."""
        return tuple(" | ".join(answers) for answers in self.candidates)

    @property
    def merged(self) -> tuple[tuple[str, ...], ...]:
        """Candidates of several answers, which begin with one token."""
        return tuple(answers for answers in self.candidates if len(answers) > 1)

    def of_task(self, task: str) -> "DecisionPosteriors":
        """Keep one task, and the candidates that it has.

        Raises:
            ValueError: If there is no such task.
        """
        rows = np.flatnonzero(self.tasks == task)
        if not len(rows):
            raise ValueError(f"task must be one of {sorted(set(self.tasks.tolist()))}, got {task!r}.")
        return self._take(rows)

    def _take(self, rows: np.ndarray) -> "DecisionPosteriors":
        own = np.flatnonzero((self.p_both + self.p_image + self.p_question)[rows].any(axis=0))
        index = np.full(len(self.candidates) + 1, NO_GOLD)  # the last entry is that of NO_GOLD
        index[own] = np.arange(len(own))
        return replace(
            self,
            **{name: getattr(self, name)[np.ix_(rows, own)] for name in ("p_both", "p_image", "p_question")},
            **{name: getattr(self, name)[rows] for name in ("ids", "tasks", "gold", "predicted")},
            gold_index=index[self.gold_index[rows]],
            candidates=tuple(self.candidates[k] for k in own),
        )

    def __repr__(self) -> str:
        tasks = ", ".join(dict.fromkeys(self.tasks.tolist()))
        how = f"{self.method}, {self.draws} draws" if self.method == "replaced" else self.method
        same = f"; one first token: {'; '.join(' | '.join(one) for one in self.merged)}" if self.merged else ""
        return (
            f"DecisionPosteriors({len(self.ids)} samples of {tasks}; {len(self.candidates)} candidate answers; "
            f"absent modality {how}{same})"
        )


def read_decision(
    baseline: Activations,
    question_only: Stores,
    image_only: Stores,
    task: str | None = None,
    candidates: Candidates = "task",
) -> DecisionPosteriors:
    """Read a model's posteriors of its answers from the stores of `pid-extract decision`.

    Samples that lack a row in one of the stores are left out.

    Args:
        baseline: The store of the model as it is, with a readout.
        question_only: The store with the image absent, or those of several draws, whose posteriors are averaged.
        image_only: The store with the question absent, or those of several draws.
        task: The task to read; all if None, each with its own candidates.
        candidates: "task" for the answers that are gold answers within the task, "all" for those of all tasks.

    Raises:
        StoreError: If a store is of another kind, model or samples, or incomplete; if the baseline has no readout; or a
            task has fewer than two candidates.
        TypeError: If an argument is no store.
        ValueError: If there is no such task.
    """
    if candidates not in ("task", "all"):
        raise ValueError(f"candidates must be 'task' or 'all', got {candidates!r}.")
    questions, images = _listed("question_only", question_only), _listed("image_only", image_only)
    _check_baseline(baseline)
    for name, absent, stores in (("question_only", "image", questions), ("image_only", "question", images)):
        _check_stores(name, absent, stores, baseline)
    method = _method(questions, images)
    reader = target_reader(AnswerLogits(), baseline)
    columns = _columns_of(baseline)
    tasks, golds = columns["task"].astype(str), columns["gold"]
    if task is not None and task not in tasks:
        raise ValueError(f"task must be one of {sorted(set(tasks.tolist()))}, got {task!r}.")
    wanted = np.ones(len(tasks), bool) if task is None else tasks == task
    listed = reader.readout.candidates if reader.readout else ()
    is_possible = _possible(listed, tasks, golds, wanted, candidates, baseline)
    kept = np.flatnonzero(is_possible.any(axis=0))
    ids = reduce(np.intersect1d, [store.ids for store in (*questions, *images)], baseline.ids[wanted])
    if not len(ids):
        raise StoreError(f"{baseline.path} has no sample with a row in all stores: see `pid-extract info` of each.")
    rows = np.searchsorted(baseline.ids, ids)

    def posterior(stores: Sequence[Activations]) -> np.ndarray:
        made = [_softmax(reader.read(one, NORM, np.searchsorted(one.ids, ids)), is_possible[rows]) for one in stores]
        return np.mean(made, axis=0)[:, kept]

    own = [listed[k] for k in kept]
    return DecisionPosteriors(
        p_both=posterior([baseline]),
        p_image=posterior(images),
        p_question=posterior(questions),
        ids=ids,
        tasks=tasks[rows],
        gold=golds[rows],
        gold_index=np.array([_index_of(gold, own) for gold in golds[rows]]),
        predicted=columns["predicted"][rows],
        candidates=_answers_of(own, golds[wanted]),
        method=method,
        draws=len(questions),
    )


def _possible(
    candidates: Sequence[Candidate],
    tasks: np.ndarray,
    golds: np.ndarray,
    is_wanted: np.ndarray,
    which: Candidates,
    baseline: Activations,
) -> np.ndarray:
    """Mark the candidates of every wanted row: booleans (rows, all candidates)."""
    is_possible = np.zeros((len(tasks), len(candidates)), bool)
    for task in dict.fromkeys(tasks[is_wanted].tolist()):
        own = {_normalized(gold) for gold in golds[tasks == task]}
        has = np.array([which == "all" or bool(own.intersection(one.answers)) for one in candidates])
        if has.sum() < _FEWEST:
            raise StoreError(
                f"task {task!r} of {baseline.path} has {has.sum()} candidate answers, wanted at least {_FEWEST}: its "
                "gold answers are too few, or begin with one token. Read other tasks, or give candidates='all'."
            )
        is_possible[tasks == task] = has
    return is_possible


def _softmax(logits: np.ndarray, is_possible: np.ndarray) -> np.ndarray:
    """Return probabilities over the possible candidates of every row."""
    given = np.where(is_possible, logits.astype(np.float64), -np.inf)
    weights = np.exp(given - given.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def _answers_of(candidates: Sequence[Candidate], golds: np.ndarray) -> tuple[tuple[str, ...], ...]:
    """List the answers of each candidate that are gold answers; all of a candidate that has none."""
    there = {_normalized(gold) for gold in golds}
    return tuple(tuple(one for one in c.answers if one in there) or c.answers for c in candidates)


def _index_of(gold: str, candidates: Sequence[Candidate]) -> int:
    wanted = _normalized(gold)
    return next((k for k, one in enumerate(candidates) if wanted in one.answers), NO_GOLD)


def _normalized(answer: Any) -> str:
    """Bring an answer to the form that candidates have, see `extraction.datasets.sample.normalize_answer`."""
    return str(answer).strip().lower().removesuffix(".").strip()


def _listed(name: str, stores: Stores) -> list[Activations]:
    found = [stores] if isinstance(stores, Activations) else list(stores) if isinstance(stores, Sequence) else []
    if not found or not all(isinstance(store, Activations) for store in found):
        raise TypeError(
            f"{name} must be an ActivationStore or a list of them, got {stores!r}: open it by ActivationStore.open."
        )
    return found


def _check_baseline(baseline: Activations) -> None:
    if not isinstance(baseline, Activations):
        raise TypeError(f"baseline must be an ActivationStore, got {baseline!r}: open it by ActivationStore.open.")
    if (name := baseline.manifest.condition.get("name")) != BASELINE:
        raise StoreError(f"baseline {baseline.path} holds states under {name!r}: give the store of the model as it is.")


def _columns_of(baseline: Activations) -> Mapping[str, np.ndarray]:
    if lacking := [name for name in _COLUMNS if name not in baseline.columns]:
        raise StoreError(f"{baseline.path} has no column {', '.join(lacking)}: a decision needs {', '.join(_COLUMNS)}.")
    return baseline.columns


def _check_stores(name: str, absent: str, stores: Sequence[Activations], baseline: Activations) -> None:
    """Refuse stores that do not lack the modality, or do not belong to the baseline."""
    seen: set[str] = set()
    for store in stores:
        condition = store.manifest.condition
        found = decision_of(condition).get("absent")
        if found != absent:
            what = f"lacks the {found}" if found else f"holds states under {condition.get('name', 'unnamed')!r}"
            raise StoreError(
                f"{name} {store.path} must have the {absent} absent, and it {what}: give a store that `pid-extract "
                f"decision --baseline {baseline.path}` makes."
            )
        own, other = ({k: v for k, v in s.manifest.deciding_settings.items() if k not in _FREE}
                      for s in (store, baseline))  # fmt: skip
        different = describe_differences(other, own, ("in the baseline", "here"))
        if not different and set(store.manifest.ids) != set(baseline.manifest.ids):
            different = (
                f"{len(store.manifest.ids)} samples here, {len(baseline.manifest.ids)} in the baseline, or others"
            )
        if different:
            shown = different if len(different) <= _LONGEST else f"{different[:_LONGEST]} ..."
            raise StoreError(
                f"{name} {store.path} does not belong to {baseline.path} ({shown}): make it by `pid-extract "
                f"decision --baseline {baseline.path}`."
            )
        if (label := str(condition.get("name"))) in seen:
            raise StoreError(f"{name} has {label!r} more than once ({store.path}): give every draw once.")
        seen.add(label)


def _method(questions: Sequence[Activations], images: Sequence[Activations]) -> str:
    """Return how modalities were made absent, which must be one method for all."""
    methods = {str(decision_of(store.manifest.condition).get("method")) for store in (*questions, *images)}
    if len(methods) > 1:
        raise StoreError(
            f"question_only and image_only have modalities made absent by {' and '.join(sorted(methods))}: give stores "
            "of one method."
        )
    if len(questions) != len(images):
        raise StoreError(
            f"question_only has {len(questions)} draws and image_only has {len(images)}: give as many of both."
        )
    return methods.pop()


def decision_of(condition: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a condition says of an absent modality: `kept`, `absent`, `method`; empty for other conditions."""
    found = condition.get("decision")
    return found if isinstance(found, Mapping) else {}
