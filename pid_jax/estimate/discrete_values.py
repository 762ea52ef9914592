"""What it means that a variable is discrete, and when what a Gaussian finds is impossible."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from pid_jax.gaussian.information import Information
from pid_jax.gaussian.status import Status
from pid_jax.normality.sentences import name_problems
from pid_jax.reduce.discrete import DiscreteValues

# Nats above the entropy that sampling may explain: 3 standard errors of I_12 at 3 x 16 dims, n = 1000.
SAMPLING = 0.05


def describe_discrete(values: Sequence[DiscreteValues | None], labels: Sequence[str], problem: str) -> tuple[str, ...]:
    """Return notes about variables that are discrete in some problems, and what that means.

    Args:
        values: Of source_1, source_2 and target; None where nothing is known.
        labels: What they are called.
        problem: What a problem is called.
    """
    count, notes = max((len(one.distinct) for one in values if one is not None), default=1), []

    def where(is_meant: np.ndarray) -> str:
        return f" in {name_problems(is_meant, count, problem)}" if count > 1 else ""

    for label, one in zip(labels, values, strict=True):
        if one is None:
            continue
        is_few, is_mixed = one.distinct > 0, one.columns > 0
        if is_few.any():
            notes.append(
                f"{label} is discrete{where(is_few)}, with {_span(one.distinct[is_few])} "
                f"distinct values: atoms of a Gaussian depend on how they are coded, and no information about {label} "
                f"exceeds their entropy of {_span(one.entropy[is_few])} nats"
            )
        if is_mixed.any():
            notes.append(
                f"{label} has {_span(one.columns[is_mixed])} of {one.width} columns with few distinct values, or one "
                f"that many samples share{',' * (count > 1)}{where(is_mixed)}: atoms of a Gaussian depend on "
                "how they are coded"
            )
    return tuple(notes)


def refuse_impossible(
    decomposed: Mapping[str, Any], values: Sequence[DiscreteValues | None], labels: Sequence[str]
) -> dict[str, Any]:
    """Set to NaN what exceeds the entropy of a discrete variable, as a status of the problem.

    Args:
        decomposed: Fields of `PIDEstimate`, with one leading axis.
        values: Of source_1, source_2 and target; None where nothing is known.
        labels: What they are called.

    Raises:
        ValueError: If that is so in all problems.
    """
    information, status = decomposed["information"], decomposed["status"]
    is_impossible = exceeds_entropy(values, information, status)
    if is_impossible.all():
        raise ValueError(_refusal(values, information, labels))
    if not is_impossible.any():
        return dict(decomposed)
    numbers = {name: value for name, value in decomposed.items() if name != "status"}
    kept = jax.tree.map(lambda x: np.where(is_impossible, np.nan, x), numbers)
    return {**kept, "status": np.where(is_impossible, Status.EXCEEDS_ENTROPY, status).astype(status.dtype)}


def exceeds_entropy(
    values: Sequence[DiscreteValues | None], information: Information, status: np.ndarray
) -> np.ndarray:
    """Tell in which problems the sources seem to tell more than a discrete variable holds.

    Args:
        values: Of source_1, source_2 and target; None where nothing is known.
        information: In nats (problems,).
        status: `Status` of each problem, which tells where the information is infinite.
    """
    one, two, target = (np.full(1, np.inf) if x is None else x.entropy for x in values)
    limits = (np.minimum(one, target), np.minimum(two, target), np.minimum(one + two, target))
    found = (information.i_1, information.i_2, information.i_12)
    is_above = [value > limit + SAMPLING for value, limit in zip(found, limits, strict=True)]
    is_infinite = (status == Status.INFINITE_INFORMATION) & np.isfinite(limits[2])
    return np.logical_or.reduce(np.broadcast_arrays(is_infinite, *is_above))


def _refusal(values: Sequence[DiscreteValues | None], information: Information, labels: Sequence[str]) -> str:
    """Return what to tell a caller whose first problem is impossible."""
    known = [(one, label) for one, label in zip(values, labels, strict=True) if one is not None]
    one, label = min(reversed(known), key=lambda pair: pair[0].entropy[0])  # of equals the target
    found = np.array([x[0] for x in (information.i_1, information.i_2, information.i_12)])
    amount = f"{found.max():.3g} nats" if np.isfinite(found).all() else "an infinite amount"
    return (
        f"{label} takes {one.distinct[0]} distinct values, and no information about it exceeds their entropy of "
        f"{one.entropy[0]:.3g} nats, but a Gaussian finds {amount}: it does not describe these variables, and its "
        "atoms would be meaningless. Use a continuous representation of what the values stand for, such as hidden "
        "states or logits, or test dependence alone with permutation_test."
    )


def _span(values: np.ndarray) -> str:
    return " to ".join(dict.fromkeys(f"{value:.4g}" for value in (values.min(), values.max())))
