"""Answers of a task as classes that are the same in all conditions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pid_jax.categorical.answers import pooled_name
from pid_jax.settings.categorical import CategoricalSpec, PoolRare
from pid_jax.store import Activations
from pid_jax.store.sample_table import normal_form
from pid_jax.store.shard import StoreError
from pid_jax.store.targets import Answer

_COLUMNS = {"model": "predicted", "condition": "predicted", "gold": "gold", "correct": "correct"}
_VERDICTS = {True: "correct", False: "wrong"}


@dataclass(frozen=True, kw_only=True)
class TaskAnswers:
    """The answers of one task in every store of a model.

    Attributes:
        classes: Names of the classes, the same for all stores.
        codes: Class of each sample of each store; -1 where a sample is left out.
        notes: What was pooled, left out, or first seen under a knockout, for each store.
        problem: What keeps the answers from being studied, "" if nothing does.
    """

    classes: tuple[str, ...]
    codes: tuple[np.ndarray, ...]
    notes: tuple[tuple[str, ...], ...]
    problem: str = ""


def check_answers(target: Answer, baseline: Activations) -> None:
    """Refuse a store without the column that holds the answers.

    Raises:
        StoreError: If it lacks it.
    """
    column = _COLUMNS[target.of]
    if column not in baseline.columns:
        raise StoreError(
            f"target {target!r} needs the column {column!r}, and {baseline.path} has {', '.join(baseline.columns)}: "
            "write the answers with the states, or use target FinalNorm()."
        )


def task_answers(
    target: Answer, stores: Sequence[Activations], rows: Sequence[np.ndarray], spec: CategoricalSpec
) -> TaskAnswers:
    """Read the answers of one task, and number their classes alike in all conditions.

    Classes are the answers that the baseline has often enough; what else is answered, rare or unseen, is one more
    class, or is left out where `spec.rare` says so or where there is too little of it in every condition.

    Args:
        target: Which answer.
        stores: The baseline, then the knockouts.
        rows: Rows of the task's samples in every store.
        spec: Says which answers are rare, and what happens to them.
    """
    owners = [0 if target.of == "model" else index for index in range(len(stores))]
    texts = [answer_texts(target, stores[index], rows[index]) for index in owners]
    names, counts = np.unique(texts[0][texts[0] != ""], return_counts=True)
    classes = names[counts >= spec.rare.fewest].tolist()
    strange = [(~np.isin(own, classes)) & (own != "") for own in texts]
    is_pooled = isinstance(spec.rare, PoolRare) and max(int(one.sum()) for one in strange) >= spec.rare.fewest
    pooled = pooled_name(np.unique(np.concatenate(texts))) if is_pooled else ""
    every = [*classes, *([pooled] * is_pooled)]
    codes = []
    for own, other in zip(texts, strange, strict=True):
        found = np.searchsorted(classes, own).clip(max=max(len(classes) - 1, 0)) if classes else np.zeros(len(own), int)
        codes.append(np.where(own == "", -1, np.where(other, len(classes) if is_pooled else -1, found)))
    notes = [_notes(own, set(names.tolist()), one, pooled) for own, one in zip(texts, strange, strict=True)]
    problem = _problem(codes[0], every, target, spec)
    return TaskAnswers(classes=tuple(every), codes=tuple(codes), notes=tuple(notes), problem=problem)


def answer_texts(target: Answer, store: Activations, rows: np.ndarray) -> np.ndarray:
    """Return the answers of some rows of a store as texts; "" where a sample has none."""
    values, gold = store.columns[_COLUMNS[target.of]][rows], store.columns["gold"][rows]
    if target.of == "correct":
        return np.array([_VERDICTS[bool(one)] if has else "" for one, has in zip(values, gold != "", strict=True)])
    return np.array([normal_form(str(one)) for one in values])


def _notes(texts: np.ndarray, seen: set[str], strange: np.ndarray, pooled: str) -> tuple[str, ...]:
    """Return notes on rare answers, and on those that the baseline never gives."""
    notes = []
    if missing := int((texts == "").sum()):
        notes.append(f"{missing} samples without an answer are left out")
    if strange.any():
        what = f'pooled as "{pooled}"' if pooled else "left out"
        kinds = len(np.unique(texts[strange]))
        notes.append(f"{int(strange.sum())} samples with {kinds} answers that are rare in the baseline are {what}")
    if unseen := sorted(set(texts[strange].tolist()) - seen):
        notes.append(f"{len(unseen)} answers are never given with nothing cut, such as {unseen[0]!r}")
    return tuple(notes)


def _problem(codes: np.ndarray, classes: Sequence[str], target: Answer, spec: CategoricalSpec) -> str:
    """Return why the answers of the baseline cannot be studied, "" if they can."""
    kept = codes[codes >= 0]
    there = np.unique(kept)
    if len(there) < 2:
        many = (
            f"all {len(kept)} samples have the {target.label} {classes[there[0]]!r}"
            if len(there)
            else (f"no {target.label} has {spec.rare.fewest} samples")
        )
        return f"{many}, so there is no information to estimate: leave the task out or add samples with other answers"
    if len(kept) < max(2 * spec.folds, len(classes) + 1):
        return (
            f"{len(kept)} samples are too few for {len(classes)} classes and {spec.folds} folds: add samples, or pool "
            "answers"
        )
    return ""
