"""Posteriors of a model's own answers as `decision_pid` reads them: checked, and with the answers they are held to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from pid_jax.gaussian.status import Status
from pid_jax.runtime.arrays import to_numpy

Answer = Literal["model", "gold"]
# Candidates of a smaller frequency in a task are left out of it.
RAREST = 1e-9
_NAMES = ("p_image", "p_question", "p_both")
_OTHERS = ("ids", "tasks", "gold_index", "candidates", "method", "draws")
_SUM_TOLERANCE = 1e-6
_FEWEST = 2


class Posteriors(Protocol):
    """The attributes of `DecisionPosteriors` that `decision_pid` reads."""

    @property
    def p_both(self) -> np.ndarray:
        """p(answer | image and question) (n, K)."""
        ...

    @property
    def p_image(self) -> np.ndarray:
        """p(answer | image) (n, K)."""
        ...

    @property
    def p_question(self) -> np.ndarray:
        """p(answer | question) (n, K)."""
        ...

    @property
    def ids(self) -> np.ndarray:
        """Ids of the samples (n,)."""
        ...

    @property
    def tasks(self) -> np.ndarray:
        """Their tasks (n,)."""
        ...

    @property
    def gold_index(self) -> np.ndarray:
        """Candidate of each gold answer, negative where unknown: integers (n,)."""
        ...

    @property
    def candidates(self) -> Sequence[Sequence[str]]:
        """Answers of each candidate (K)."""
        ...

    @property
    def method(self) -> str:
        """The method by which a modality was made absent."""
        ...

    @property
    def draws(self) -> int:
        """Replacements that p_image and p_question are averages of."""
        ...


@dataclass(frozen=True, kw_only=True)
class DecisionInput:
    """Checked input; posteriors (3, n, K) in the order of `_NAMES`, and answers (n, K)."""

    posteriors: np.ndarray
    answers: np.ndarray
    ids: np.ndarray
    tasks: np.ndarray
    is_gold: bool
    notes: tuple[str, ...]


def read_posteriors(posteriors: Posteriors, answer: Answer) -> DecisionInput:
    """Check shapes, and leave out samples without a gold answer where these are the answers.

    Raises:
        TypeError: If an attribute is missing or holds no numbers.
        ValueError: For shapes that differ, no samples, fewer than two candidates, two of the same name, or gold answers
            out of range.
    """
    if lacking := [name for name in (*_NAMES, *_OTHERS) if not hasattr(posteriors, name)]:
        raise TypeError(
            f"posteriors needs DecisionPosteriors, as read_decision returns them, got {type(posteriors).__name__} "
            f"without {', '.join(lacking)}."
        )
    _check_candidates(posteriors.candidates)
    arrays = [to_numpy(f"posteriors.{name}", getattr(posteriors, name)).astype(np.float64) for name in _NAMES]
    shape, classes = arrays[-1].shape, len(posteriors.candidates)
    for name, array in zip(_NAMES, arrays, strict=True):
        if array.ndim != 2 or array.shape != shape or array.shape[1] != classes:
            raise ValueError(
                f"posteriors.{name} has shape {array.shape}, p_both {shape}, and there are {classes} candidates: one "
                "row per sample and one column per candidate is needed in all."
            )
    ids, tasks, gold = (np.asarray(getattr(posteriors, name)) for name in ("ids", "tasks", "gold_index"))
    for name, values in (("ids", ids), ("tasks", tasks), ("gold_index", gold)):
        if values.shape != shape[:1]:
            raise ValueError(
                f"posteriors.{name} has shape {values.shape}, wanted one entry for each of {shape[0]} rows."
            )
    if not shape[0]:
        raise ValueError("posteriors has no samples: read a task that has some.")
    if classes < _FEWEST:
        raise ValueError(f"posteriors.candidates has {classes} answers, wanted at least {_FEWEST}: read more of them.")
    if answer == "model":
        return DecisionInput(
            posteriors=np.stack(arrays), answers=arrays[-1], ids=ids, tasks=tasks.astype(str), is_gold=False, notes=()
        )
    known = np.flatnonzero(_check_gold(gold, classes))
    missing = shape[0] - len(known)
    note = f"{missing} samples without a gold answer among the candidates are left out"
    return DecisionInput(
        posteriors=np.stack(arrays)[:, known],
        answers=np.eye(classes)[gold[known]],
        ids=ids[known],
        tasks=tasks[known].astype(str),
        is_gold=True,
        notes=(note,) if missing else (),
    )


def label_of(candidate: Sequence[str]) -> str:
    """Return the name of a candidate: that of its answer, or of all that begin alike."""
    return " | ".join(candidate)


def _check_candidates(candidates: Sequence[Sequence[str]]) -> None:
    if any(isinstance(one, str) for one in candidates):
        raise TypeError("posteriors.candidates needs a tuple of answers for each candidate, got text: write ('yes',).")
    labels = [label_of(one) for one in candidates]
    if len(set(labels)) < len(labels):
        twice = next(one for one in labels if labels.count(one) > 1)
        raise ValueError(
            f"posteriors.candidates needs answers that differ, got {twice!r} for two candidates: merge their columns."
        )


def _check_gold(gold: np.ndarray, classes: int) -> np.ndarray:
    """Return which samples have a gold answer: a number of a candidate that is not negative."""
    if gold.dtype.kind not in "iu" or gold.max(initial=-1) >= classes:
        raise ValueError(
            f"posteriors.gold_index needs whole numbers below {classes}, negative for unknown ones, got "
            f"{gold.dtype} up to {gold.max(initial=-1)}."
        )
    if not (gold >= 0).any():
        raise ValueError("posteriors.gold_index is unknown for all samples: use answer='model'.")
    return gold >= 0


def find_problem(given: np.ndarray, answers: np.ndarray, ids: np.ndarray) -> tuple[Status, str]:
    """Check the posteriors (3, n, K) of one task, and return what is wrong."""
    for name, array in zip(_NAMES, given, strict=True):
        if len(bad := np.argwhere(~np.isfinite(array))):
            return (
                Status.NOT_FINITE,
                f"{name} is NaN or infinite for {len(bad)} entries, first of {str(ids[bad[0][0]])!r}",
            )
        off = (np.abs(array.sum(axis=1) - 1) > _SUM_TOLERANCE) | (array < -_SUM_TOLERANCE).any(axis=1)
        if off.any():
            first = int(np.argmax(off))
            return Status.NOT_A_DISTRIBUTION, (
                f"{name} is no distribution in {int(off.sum())} rows, first of {str(ids[first])!r} (sum "
                f"{array[first].sum():.6g}, least entry {array[first].min():.3g})"
            )
    if len(ids) < _FEWEST:
        return Status.CONSTANT, f"{len(ids)} sample, wanted at least {_FEWEST}"
    if (answers.mean(axis=0) > RAREST).sum() < _FEWEST:
        return Status.CONSTANT, "the answer is the same in all samples"
    return Status.OK, ""


def describe_limits(posteriors: Posteriors) -> list[str]:
    """Describe what limits posteriors of this kind."""
    notes = []
    if merged := [label_of(answers) for answers in posteriors.candidates if len(answers) > 1]:
        notes.append(f"answers that begin with one token are one class: {'; '.join(merged)}")
    if posteriors.method == "cut":
        notes.append(
            "a prompt with a cut modality is unlike any of the model's training: the information of the other modality "
            "may be underestimated, and synergy overestimated"
        )
    elif posteriors.method == "replaced":
        notes.append(
            f"posteriors of one modality are averages of {posteriors.draws} draws, whose entropy is too low by about "
            f"(K - 1) / {2 * posteriors.draws} nats for K classes; what few draws miss appears as synergy"
        )
    return notes
