"""Samples of two sources and of a categorical answer, checked: what can be used, and what is set apart."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pid_jax.categorical.answers import Answers, read_answers
from pid_jax.discrete.measures import sample_measure_of
from pid_jax.gaussian.status import Status
from pid_jax.normality.sentences import name_places
from pid_jax.runtime.checks import check_finite, check_leading_axes, check_paired, read_samples
from pid_jax.runtime.leading import LeadingAxes
from pid_jax.settings.categorical import CategoricalSpec

SOURCES = ("source_1", "source_2")


@dataclass(frozen=True, kw_only=True)
class Classified:
    """Checked samples of two sources and an answer, as B problems.

    Attributes:
        sources: Samples (B or 1, n, p) of each source; noise where a problem cannot be used.
        codes: Class of each sample (B or 1, n).
        classes: Names of the classes.
        kept: Rows that are used, of those that were given.
        leading: Leading axes of the input.
        status: `Status` of each problem (B,).
        notes: What was pooled or left out.
        conditions: Names of the entries of the first leading axis, if these are conditions.
    """

    sources: tuple[np.ndarray, np.ndarray]
    codes: np.ndarray
    classes: tuple
    kept: np.ndarray
    leading: LeadingAxes
    status: np.ndarray
    notes: tuple[str, ...]
    conditions: tuple[str, ...] = ()

    def locate(self, problems: np.ndarray) -> str:
        """Return the beginning of a note about some of the problems; see `locate`."""
        return locate(problems, len(self.status), self.conditions)


def locate(problems: np.ndarray, count: int, conditions: tuple[str, ...] = ()) -> str:
    """Return the beginning of a note, such as "problems 0-3: ", or "" if there is one problem.

    Args:
        problems: Ascending numbers of the problems that are meant.
        count: Number of all problems.
        conditions: Names of the conditions, whose problems follow each other and are numbered separately.
    """
    each = count // max(len(conditions), 1)
    parts = []
    for index, condition in enumerate(conditions or ("",)):
        own = problems[problems // each == index] - index * each
        names = [name_places(own, "problem")] * (each > 1) + [condition] * bool(condition)
        if len(own) and names:
            parts.append(" of the ".join(names))
    return f"{' and '.join(parts)}: " if parts else ""


def read_classified(
    source_1: ArrayLike, source_2: ArrayLike, answer: Any, spec: CategoricalSpec, conditions: tuple[str, ...] = ()
) -> Classified:
    """Check sources and answers, pool or leave out rare answers, and set problems apart that hold NaN.

    The first leading axis is that of `conditions`, if there are any.
    """
    sample_measure_of(spec.redundancy, "CategoricalSpec(redundancy=...)")
    named = [(name, read_samples(name, value)) for name, value in zip(SOURCES, (source_1, source_2), strict=True)]
    answers = read_answers(answer, spec.rare, samples=named[0][1].shape[-2])
    as_columns = answers.codes[..., None]
    # Labels of rows are compared where an answer has samples alone; its first axis is that of problems otherwise.
    check_paired([*named, ("answer", as_columns)], (source_1, source_2, answer if as_columns.ndim == 2 else None))
    leading = check_leading_axes([*named, ("answer", as_columns)], (source_1, source_2, answer))
    kept = np.flatnonzero((answers.codes.reshape(-1, answers.codes.shape[-1]) >= 0).all(axis=0))
    codes = answers.codes.reshape(-1, answers.codes.shape[-1])[:, kept]
    arrays = [array.reshape(-1, *array.shape[-2:])[:, kept] for _, array in named]
    count = max(*(len(array) for array in arrays), len(codes))
    status, notes = np.full(count, Status.OK), list(answers.notes)
    for index, (name, _) in enumerate(named):
        arrays[index], bad = _without_nan(name, arrays[index], index)
        here = np.broadcast_to(bad, count)
        if here.all():
            check_finite(name, named[index][1])
        if here.any():
            status[here] = Status.NOT_FINITE
            notes.append(f"{locate(np.flatnonzero(here), count, conditions)}{name} holds NaN or infinity")
        is_constant = np.broadcast_to((np.ptp(arrays[index], axis=1) == 0).all(axis=1), count)
        if is_constant.any():
            where = locate(np.flatnonzero(is_constant), count, conditions)
            notes.append(f"{where}{name} is constant and has no information")
    notes += _check_classes(codes, answers, status, spec, conditions)
    return Classified(
        sources=(arrays[0], arrays[1]),
        codes=codes,
        classes=answers.classes,
        kept=kept,
        leading=leading,
        status=status,
        notes=tuple(notes),
        conditions=conditions,
    )


def _without_nan(name: str, array: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Replace problems that hold NaN by noise, and say which these are."""
    with np.errstate(over="ignore", invalid="ignore"):
        bad = ~np.isfinite(array.sum(axis=(-2, -1), dtype=np.float64))
    bad &= np.array([not np.isfinite(one).all() for one in array])
    if bad.any():
        array = array.copy()
        array[bad] = np.random.default_rng(index).standard_normal(array.shape[-2:])
    return array, bad


def _check_classes(
    codes: np.ndarray, answers: Answers, status: np.ndarray, spec: CategoricalSpec, conditions: tuple[str, ...]
) -> list[str]:
    """Refuse too few samples for the folds, and mark problems with one class only."""
    count, samples = len(answers.classes), codes.shape[-1]
    if samples < 2 * spec.folds or samples <= count:
        raise ValueError(
            f"{samples} samples are too few for {count} classes and {spec.folds} folds: add samples, or pool answers "
            "(CategoricalSpec(rare=PoolRare(...)))."
        )
    counts = np.stack([np.bincount(one, minlength=count) for one in codes])
    is_single = (counts > 0).sum(axis=1) < 2
    if is_single.all():
        raise ValueError(
            "answer is the same in all samples of every problem, so no source has information about it: add samples "
            "with other answers."
        )
    notes = []
    if is_single.any():
        here = np.broadcast_to(is_single, status.shape)
        status[here & (status == Status.OK)] = Status.CONSTANT
        where = locate(np.flatnonzero(here), len(status), conditions)
        notes.append(f"{where}all samples have the same answer")
    few = (counts > 0) & (counts < spec.folds)
    if few.any():
        problem, index = np.argwhere(few)[0]
        notes.append(
            f"answer {answers.classes[index]!r} has too few samples ({counts[problem, index]} for {spec.folds} folds) "
            "for a classifier to learn it"
        )
    return notes
