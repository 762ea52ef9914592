"""Decomposition of a model's own decision, from its posteriors of the answer given one modality and both."""

from dataclasses import dataclass, replace
from typing import Any, get_args

import jax
import numpy as np

from pid_jax.categorical.assemble import Pointwise, atoms_of, information_of, intervals, quantities
from pid_jax.categorical.decision_input import (
    RAREST,
    Answer,
    DecisionInput,
    Posteriors,
    describe_limits,
    find_problem,
    label_of,
    read_posteriors,
)
from pid_jax.categorical.decision_result import DecisionPID
from pid_jax.categorical.recalibrate import Recalibrated, influence, recalibrate
from pid_jax.categorical.union import Union, number_of_cells, union_of_posteriors
from pid_jax.discrete.tables import entropy_of
from pid_jax.gaussian.information import Information
from pid_jax.gaussian.status import Status
from pid_jax.pid.atoms import QUANTITIES, PIDQuantities
from pid_jax.runtime.checks import check_between, check_key, check_positive_int
from pid_jax.runtime.devices import use_devices

CELLS, LEVEL = 64, 0.95


def decision_pid(
    posteriors: Posteriors,
    *,
    answer: Answer = "model",
    cells: int = CELLS,
    level: float = LEVEL,
    key: jax.Array,
) -> DecisionPID:
    """Decompose a model's information about its answer from image (source_1) and question (source_2), without a probe.

    The answer of sample i is distributed as a(y | i): p(answer | image and question) of the model ("model"), or all at
    the gold answer ("gold"). Classes have the frequencies p(y), the mean of a over the samples of a task.

    A posterior from one modality is confident and wrong where the modality was cut, too confident where it is the
    average of few replacements, and its mean is not p. It is therefore recalibrated: q_k(y | i) ∝ exp(b_y)
    p_k(y | i)^(1 / T), with the temperature T and offsets b of the largest expected log likelihood under a. Then the
    mean of q_k is p, q_k claims as much information as it has, and this is not negative:

        I_k  = mean over i of Σ_y a(y | i) log q_k(y | i) / p(y),
        I_12 = mean over i of Σ_y a(y | i) log a(y | i) / p(y), or with p_both, recalibrated, for gold answers.

    The union information of BROJA needs the pairs (q_k, answer) alone. The q_k are cut into cells, for which it is
    bounded from both sides; the upper bound counts what cells lose. A sample's own is Σ_y a(y | i) (λ(y, cell of q_1)
    + μ(y, cell of q_2) − log p(y)) with its dual variables.

    Args:
        posteriors: `DecisionPosteriors` of one task or several, as `read_decision` returns them. Each task is
            decomposed by itself, over its own candidates.
        answer: "model" for what the model answers, "gold" for what is right. Samples without a gold answer among the
            candidates are left out of the latter.
        cells: Cells into which the posteriors of each source are cut at most; see `CategoricalSpec`.
        level: Probability with which an interval covers the value that more samples would have.
        key: A JAX random key.

    Returns:
        Atoms in nats of every task with standard errors and intervals, informations, entropy of the answer, the share
        of every sample, and what the posteriors claimed.

    Raises:
        TypeError: If `posteriors` lacks an attribute of `DecisionPosteriors`, or the key is invalid.
        ValueError: For shapes that differ, fewer than two candidates, or settings out of range; if no task has
            posteriors that are distributions, two samples and two answers. If there are others, such a task has NaN, a
            status and a note.

    Not guaranteed: intervals are conditional on the posteriors, not on how well these are the model's own. Information
    that a posterior lost, by the cut or by few draws, is missing from I_1 and I_2 and appears as synergy.

    Source: Bertschinger, Rauh, Olbrich, Jost & Ay (2014), Entropy 16(4), 2161, for the measure.
    """
    if answer not in get_args(Answer):
        raise ValueError(f"answer must be 'model' or 'gold', got {answer!r}.")
    check_positive_int("cells", cells)
    check_between("level", level, 0, 1)
    check_key(key)
    read = read_posteriors(posteriors, answer)
    names = list(dict.fromkeys(read.tasks.tolist()))
    rows = [np.flatnonzero(read.tasks == name) for name in names]
    found: list[_Task] = []
    with use_devices():
        for number, (name, own) in enumerate(zip(names, rows, strict=True)):
            found.append(_decompose(read, own, name, cells, level, jax.random.fold_in(key, number)))
    if all(one.problem for one in found):
        raise ValueError(f"posteriors cannot be decomposed: {found[0].problem}.")
    order = np.concatenate(rows)
    shares = {name: np.concatenate([getattr(one.values[2], name)[0] for one in found]) for name in QUANTITIES}
    settings = {"answer": answer, "cells": cells, "level": level}
    labels = tuple(label_of(answers) for answers in posteriors.candidates)
    return DecisionPID(
        **_stacked(found),
        pointwise=PIDQuantities(**shares),
        ids=read.ids[order],
        task_index=np.repeat(np.arange(len(rows)), [len(own) for own in rows]),
        tasks=np.array(names),
        counts=np.array([len(own) for own in rows]),
        classes=labels,
        answer=answer,
        method=str(posteriors.method),
        draws=int(posteriors.draws),
        level=level,
        notes=(
            *read.notes,
            *(f"{one.problem}: left out" for one in found if one.problem),
            *describe_limits(posteriors),
        ),
        settings=settings,
    )


@dataclass(frozen=True, kw_only=True)
class _Task:
    """The result for one task: values, standard errors and shares, and all other fields by their names."""

    values: tuple[PIDQuantities, PIDQuantities, PIDQuantities]
    ends: tuple[PIDQuantities, PIDQuantities]
    fields: dict[str, Any]
    status: Status = Status.OK
    problem: str = ""


def _decompose(read: DecisionInput, rows: np.ndarray, name: str, cells: int, level: float, key: jax.Array) -> _Task:
    """Decompose one task, or say why that cannot be done."""
    given, answers = read.posteriors[:, rows], read.answers[rows]
    status, problem = find_problem(given, answers, read.ids[rows])
    if status != Status.OK:
        return _without(len(rows), status, f"task {name!r}: {problem}")
    kept = np.flatnonzero(answers.mean(axis=0) > RAREST)
    answers = answers[:, kept] / answers[:, kept].sum(axis=1, keepdims=True)
    given = np.maximum(given[:, :, kept], 0)
    classes = answers.mean(axis=0)
    single = [recalibrate(one, answers) for one in given[:2]]
    both = (
        recalibrate(given[2], answers)
        if read.is_gold
        else Recalibrated(posteriors=answers, temperature=1.0, logs=given[2])
    )
    every = (*single, both)
    each = np.stack([_expected(answers, one.posteriors, classes) for one in every])[None]
    nothing = np.zeros((1, 3))
    pointwise = Pointwise(each=each, held_out=each.mean(axis=-1), learning=nothing)
    size = number_of_cells(cells, len(kept), len(rows))
    union, duals = union_of_posteriors(np.stack([one.posteriors for one in single]), answers, size, key)
    # Where nothing is known, 2 n times a fitted information is a χ² variable with the freedom of one temperature.
    freedom = np.diag([1.0, 1.0, float(read.is_gold)])[None] / (2 * len(rows) ** 2)
    estimate, _, shares = quantities(pointwise, union, freedom)
    moves = [influence(dual, one, answers) for dual, one in zip(duals, single, strict=True)]
    of_samples = np.sum(moves, axis=0) - answers @ np.log(classes)
    error = quantities(pointwise, replace(union, each=of_samples[None]), freedom)[1]
    entropy = entropy_of(classes, 1)
    return _Task(
        values=(estimate, error, shares),
        ends=intervals(estimate, error, level),
        fields=_found(union, entropy, given, answers) | {"temperature": [one.temperature for one in every]},
    )


def _expected(answers: np.ndarray, posteriors: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the mean of log q(y) / p(y) over each sample's answer (n,); −inf where q excludes a possible one."""
    with np.errstate(divide="ignore"):
        gains = np.log(posteriors) - np.log(classes)
    return np.sum(answers * np.where(answers > 0, gains, 0), axis=1)


def _found(union: Union, entropy: np.ndarray, given: np.ndarray, answers: np.ndarray) -> dict[str, Any]:
    """Collect fields of the result that are not atoms; `given` are the posteriors (3, n, K) as they came."""
    classes = answers.mean(axis=0)
    own = given / np.maximum(given.sum(axis=2, keepdims=True), np.finfo(float).tiny)
    return {
        "entropy": entropy,
        "union_lower": union.lower[0],
        "union_upper": union.upper[0],
        "cell_loss": union.loss[0],
        "claimed": entropy - entropy_of(own, 1).mean(axis=1),
        "uncalibrated": np.array([_expected(answers, one, classes).mean() for one in own]),
        "shift": np.abs(own.mean(axis=1) - classes).sum(axis=1) / 2,
    }


def _without(samples: int, status: Status, problem: str) -> _Task:
    """Return NaN for a task that cannot be decomposed."""
    none = PIDQuantities(**{name: np.full(1, np.nan) for name in QUANTITIES})
    shares = PIDQuantities(**{name: np.full((1, samples), np.nan) for name in QUANTITIES})
    sizes = {"entropy": (), "union_lower": (), "union_upper": (), "cell_loss": 2}
    sizes |= dict.fromkeys(("claimed", "uncalibrated", "shift", "temperature"), 3)
    fields = {name: np.full(shape, np.nan) for name, shape in sizes.items()}
    return _Task(values=(none, none, shares), ends=(none, none), fields=fields, status=status, problem=problem)


def _stacked(found: list[_Task]) -> dict[str, Any]:
    """Join tasks along a first axis, by the names of the result."""

    def join(parts: list[PIDQuantities]) -> PIDQuantities:
        return PIDQuantities(**{name: np.concatenate([getattr(one, name) for one in parts]) for name in QUANTITIES})

    estimate = join([one.values[0] for one in found])
    fields = {name: np.array([one.fields[name] for one in found], float) for name in found[0].fields}
    named = {name: information_of(fields.pop(name)) for name in ("claimed", "uncalibrated")}
    return {
        "atoms": atoms_of(estimate),
        "information": Information(i_1=estimate.i_1, i_2=estimate.i_2, i_12=estimate.i_12),
        "status": np.array([one.status for one in found], np.int32),
        "standard_error": join([one.values[1] for one in found]),
        "lower": join([one.ends[0] for one in found]),
        "upper": join([one.ends[1] for one in found]),
        **fields,
        **named,
    }
