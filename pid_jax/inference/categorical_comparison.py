"""Differences between two conditions of the same samples, in what sources tell about a categorical answer."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from pid_jax.categorical.answers import as_labels
from pid_jax.categorical.assemble import COMBINED, standard_error, union_limits
from pid_jax.categorical.closed_union import freedom_of, pointwise_of
from pid_jax.categorical.estimate import estimate_classified
from pid_jax.categorical.result import CategoricalPID
from pid_jax.categorical.samples import Classified, read_classified
from pid_jax.categorical.unseen import Unseen, union_response
from pid_jax.gaussian.status import Status
from pid_jax.inference.difference_result import AMOUNTS, Differences, describe_differences
from pid_jax.inference.intervals import in_errors, p_value_of, reach_of
from pid_jax.inference.multiplicity import false_discovery_rate, family_wise_by_maximum
from pid_jax.pid.atoms import PIDQuantities
from pid_jax.runtime.checks import (
    check_between,
    check_key,
    check_positive_int,
    check_same_ids,
    check_same_labels,
    read_samples,
)
from pid_jax.runtime.devices import use_devices
from pid_jax.runtime.leading import AxisLabels, join_axis_labels, read_axis_labels
from pid_jax.runtime.progress import Progress, no_progress
from pid_jax.settings.categorical import CategoricalSpec
from pid_jax.settings.estimate import spec_to_dict

_VARIABLES = ("source_1", "source_2", "answer")
_CONDITIONS = ("baseline", "intervention")
Condition = Sequence[ArrayLike]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CategoricalComparison(Differences, amounts=AMOUNTS):
    """Differences about a categorical answer, intervention minus baseline. Arrays have the leading axes of the input.

    Attributes:
        difference: Differences of atoms and informations.
        lower: Lower ends of the intervals.
        upper: Upper ends.
        standard_error: Their standard errors.
        p_value: Probability of a difference as large, of either sign, where there is none.
        false_discovery: P-values adjusted over all problems, for each quantity alone: rejecting those up to q makes a
            share q of false rejections on average at most (Benjamini & Hochberg).
        family_wise: P-values adjusted in the same way for the probability of any false rejection (step-down maxT).
        baseline: The decomposition of the baseline.
        intervention: The decomposition of the intervention.
        level: Probability with which an interval covers the truth.
        notes: What was pooled, left out, or speaks against intervals and p-values, in plain words.
        settings: What was chosen, JSON-ready.
        unit: "nats" or "bits".
    """

    baseline: CategoricalPID
    intervention: CategoricalPID

    def __repr__(self) -> str:
        """Show differences with intervals and p-values: those of one problem, or the ranges of many."""
        return "\n".join(describe_differences(self))


def compare_categorical(
    baseline: Condition,
    intervention: Condition,
    *,
    spec: CategoricalSpec,
    key: jax.Array,
    ids: tuple[Sequence[Any], Sequence[Any]] | None = None,
    resamples: int = 400,
    level: float | None = None,
    progress: Progress = no_progress,
) -> CategoricalComparison:
    """Compare what sources tell about a categorical answer in two conditions of the same samples; see `compare_pid`.

    Both conditions have the same folds and the same random numbers. Standard errors are those of the differences of
    every sample's shares, with what classifiers and cells add to them.

    Args:
        baseline: (source_1, source_2, answer), each with leading axes or without.
        intervention: The same for the other condition, row i from the same sample as row i of the baseline.
        spec: The settings.
        key: A JAX random key.
        ids: Names of the rows of both, to be sure that they belong together.
        resamples: Draws of the largest statistic under the null, for `family_wise`.
        level: Probability with which an interval covers the truth; that of `spec` if not given.
        progress: Called with steps done and all there are.

    Raises:
        TypeError: As `estimate_categorical_pid`, and for answers that are strings in one condition and numbers in the
            other.
        ValueError: As `estimate_categorical_pid`, for conditions that do not have the same samples, features and
            leading axes, and if no problem can be computed in both.
    """
    check_key(key)
    check_positive_int("resamples", resamples)
    level = spec.level if level is None else level
    check_between("level", level, 0, 1)
    pair = [_read_condition("baseline", baseline), _read_condition("intervention", intervention)]
    _check_labels(baseline, intervention)
    labels = _axis_labels(baseline, intervention)
    joined = _join(pair)
    if ids is not None:
        check_same_ids(ids, joined[2].shape[-1])
    with use_devices():
        samples = read_classified(joined[0], joined[1], joined[2], spec, _CONDITIONS)
        _check_status(samples)
        both = estimate_classified(samples, spec, key, progress, _pairs(samples)).on(samples.leading)
    before, after = (dataclasses.replace(both.take(index), leading_axes=labels) for index in (0, 1))
    found: dict[str, Any] = _infer(before, after, spec, resamples, level, np.asarray(jax.random.key_data(key)))
    comparison = CategoricalComparison(
        **found,
        baseline=before,
        intervention=after,
        level=level,
        notes=(*both.notes, *_describe_own(samples)),
        settings={"spec": spec_to_dict(spec), "resamples": int(resamples), "level": level},
        leading_axes=labels,
    )
    return comparison.without(comparison.status)


def _read_condition(name: str, condition: object) -> list[np.ndarray]:
    if not isinstance(condition, (tuple, list)) or len(condition) != len(_VARIABLES):
        raise TypeError(f"{name} needs (source_1, source_2, answer), got {type(condition).__name__}.")
    one, two, answer = condition
    return [
        read_samples(f"{name} source_1", one),
        read_samples(f"{name} source_2", two),
        as_labels(f"{name} answer", answer),
    ]


def _check_labels(baseline: Condition, intervention: Condition) -> None:
    """Refuse rows whose labels differ, and answers of which one are strings and the others numbers."""
    pairs = list(zip(_CONDITIONS, (baseline, intervention), strict=True))
    check_same_labels(
        [
            (f"{name} {label}", x)
            for name, condition in pairs
            for label, x in zip(_VARIABLES, condition, strict=True)
            if label != "answer" or np.ndim(x) == 1
        ]
    )
    kinds = [as_labels(f"{name} answer", condition[2]).dtype.kind == "U" for name, condition in pairs]
    if kinds[0] != kinds[1]:
        raise TypeError(
            "intervention answer and baseline answer need classes of one kind, got strings in one and numbers in the "
            "other: convert both to the same names."
        )


def _axis_labels(baseline: Condition, intervention: Condition) -> AxisLabels:
    """Return the names of the leading axes that all variables of both conditions have."""
    given = [
        (f"{condition} {name}", read_axis_labels(value, np.ndim(value) - (1 if name == "answer" else 2)))
        for condition, values in zip(_CONDITIONS, (baseline, intervention), strict=True)
        for name, value in zip(_VARIABLES, values, strict=True)
    ]
    return join_axis_labels(given)


def _join(pair: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Put both conditions on a new first axis; variables of one condition get the leading axes of its others."""
    joined = []
    for index, name in enumerate(_VARIABLES):
        one, other = pair[0][index], pair[1][index]
        if one.shape != other.shape:
            raise ValueError(
                f"intervention {name} has shape {other.shape}, that of the baseline has {one.shape}: both need the "
                "same samples, features and leading axes. Leave out samples that only one of them has, and reduce "
                "features first where they differ."
            )
        joined.append(np.stack([one, other]))
    wide = max((x for x in joined[:2]), key=np.ndim).ndim
    depth = max(wide - 2, joined[2].ndim - 1)  # leading axes of the problems, with that of the conditions
    leading = next(x.shape[:depth] for x, own in zip(joined, (2, 2, 1), strict=True) if x.ndim - own == depth)
    return [
        x
        if x.ndim - own == depth
        else np.broadcast_to(x.reshape(x.shape[0], *[1] * (depth - 1), *x.shape[1:]), (*leading, *x.shape[1:]))
        for x, own in zip(joined, (2, 2, 1), strict=True)
    ]


def _check_status(samples: Classified) -> None:
    """Refuse conditions of which no problem can be compared."""
    if (samples.status.reshape(2, -1) != Status.OK).any(axis=0).all():
        raise ValueError(
            "baseline and intervention have no problem that can be computed in both "
            f"({'; '.join(samples.notes)}): leave this comparison out, or repair its samples."
        )


def _describe_own(samples: Classified) -> list[str]:
    """Return notes on classes that one condition has and the other never: new answers, or other names of the same."""
    codes = samples.codes.reshape(2, -1)
    notes = []
    for index, (name, other) in enumerate((_CONDITIONS, _CONDITIONS[::-1])):
        if own := [samples.classes[k] for k in np.setdiff1d(codes[index], codes[1 - index])]:
            which = "1 class" if len(own) == 1 else f"{len(own)} classes"
            notes.append(f"{name}: {which} of {len(samples.classes)} that the {other} never has, such as {own[0]!r}")
    return notes


def _infer(
    before: CategoricalPID, after: CategoricalPID, spec: CategoricalSpec, resamples: int, level: float, seed: np.ndarray
) -> dict[str, PIDQuantities]:
    """Return differences, their standard errors, intervals and p-values."""
    shape, count = before.status.shape, before.samples
    unseen = [_unseen(one) for one in (before, after)]
    parts: dict[str, dict[str, np.ndarray]] = {}
    signs = np.random.default_rng(seed).standard_normal((resamples, count))
    for name in COMBINED:
        one, other = (getattr(x.pointwise, name).reshape(-1, count) for x in (before, after))
        moved = other - one
        difference = moved.mean(axis=1)
        error = standard_error(moved, unseen[1].variance_of_change(unseen[0], COMBINED[name]))
        distance = in_errors(difference, error)
        centered = moved - difference[:, None]
        scatter = np.sqrt((centered**2).mean(axis=1))
        drawn = np.abs(signs @ centered.T) / np.sqrt(count) / np.where(scatter > 0, scatter, 1)
        p_value, reach = p_value_of(distance), reach_of(error, level)
        parts[name] = {
            "difference": difference,
            "lower": difference - reach,
            "upper": difference + reach,
            "standard_error": error,
            "p_value": p_value,
            "false_discovery": false_discovery_rate(p_value),
            "family_wise": np.maximum(family_wise_by_maximum(distance, drawn), p_value),
        }
    return {
        part: PIDQuantities(**{name: values[part].reshape(shape) for name, values in parts.items()})
        for part in parts["i_12"]
    }


def _pairs(samples: Classified) -> np.ndarray:
    """Return a group for each pair of answers (B, n), so that a sample is in the same fold in both conditions."""
    before, after = np.broadcast_to(samples.codes, (len(samples.status), samples.codes.shape[-1])).reshape(
        2, -1, samples.codes.shape[-1]
    )
    pairs = before * len(samples.classes) + after
    return np.concatenate([pairs, pairs])


def _unseen(found: CategoricalPID) -> Unseen:
    """Return what the scatter of samples does not show of the estimates of one condition."""
    flat = found.reshape((found.status.size,))
    pointwise = pointwise_of(flat)
    return Unseen(
        learning=pointwise.learning,
        freedom=freedom_of(flat),
        response=union_response(np.add(flat.pointwise.unique_1, flat.pointwise.i_2), pointwise.each[:, :2]),
        width=np.subtract(*union_limits(flat.union_lower, flat.union_upper, pointwise.information)[::-1]),
        noise=flat.noise,
    )
