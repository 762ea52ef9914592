"""Which problems of a batch have samples that can be decomposed, and what stands in for the others meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pid_jax.gaussian.status import Status
from pid_jax.normality.sentences import name_places
from pid_jax.runtime.checks import check_finite, check_not_constant

# Seed of the noise that stands in for samples: no number of it is in a result.
SEED = 23_571_113


@dataclass(frozen=True, kw_only=True)
class Usable:
    """Samples of several variables, all of which can be computed with.

    Attributes:
        arrays: Samples (problems or 1, n, p) of each variable; noise where a problem cannot be used.
        status: Why a problem cannot be used (problems,); `OK` for all others.
        notes: The same in plain words.
    """

    arrays: list[np.ndarray]
    status: np.ndarray
    notes: tuple[str, ...]


def find_usable(named: Sequence[tuple[str, np.ndarray]], is_whole: bool) -> Usable:
    """Set problems apart that hold NaN, infinity, or a variable that does not vary, so that the others are computed.

    Args:
        named: Samples (..., n, p) of each variable, by name, with the same leading axes or none.
        is_whole: Whether a variable must be constant altogether, or a single constant column is refused.

    Raises:
        ValueError: If no problem can be used.
    """
    flat = [(name, array.reshape(-1, *array.shape[-2:])) for name, array in named]
    count = max(len(array) for _, array in flat)
    status, notes, arrays = np.full(count, Status.OK), [], []
    for name, array in flat:
        is_finite, varies = _are_finite(array), _vary(array, is_whole)
        for is_bad, code, what in (
            (~is_finite, Status.NOT_FINITE, "holds NaN or infinity"),
            (is_finite & ~varies, Status.CONSTANT, "is constant" if is_whole else "has constant columns"),
        ):
            here = np.flatnonzero(np.broadcast_to(is_bad, count))
            if here.size:
                status[here] = np.where(status[here] == Status.OK, code, status[here])
                notes.append(f"{name_places(here, 'problem')}: {name} {what}, so there are no numbers")
        arrays.append(_replace(array, ~(is_finite & varies), len(arrays)))
    if (status != Status.OK).all():
        _refuse(named, is_whole)
    return Usable(arrays=arrays, status=status, notes=tuple(notes))


def _refuse(named: Sequence[tuple[str, np.ndarray]], is_whole: bool) -> None:
    """Raise the error of the first variable that cannot be used."""
    for name, array in named:
        check_finite(name, array)
    for name, array in named:
        check_not_constant(name, array, whole=is_whole)


def _are_finite(array: np.ndarray) -> np.ndarray:
    """Check every problem; a sum finds NaN without a copy, and overflows at worst."""
    with np.errstate(over="ignore", invalid="ignore"):
        is_finite = np.isfinite(array.sum(axis=(-2, -1)))
    for place in np.flatnonzero(~is_finite):
        is_finite[place] = np.isfinite(array[place]).all()
    return is_finite


def _vary(array: np.ndarray, is_whole: bool) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        varies = array.max(axis=-2) > array.min(axis=-2)
    return varies.any(axis=-1) if is_whole else varies.all(axis=-1)


def _replace(array: np.ndarray, is_bad: np.ndarray, variable: int) -> np.ndarray:
    """Put white noise in the place of some problems, independent of that of other variables."""
    if not is_bad.any():
        return array
    replaced = array.copy()
    replaced[is_bad] = np.random.default_rng([SEED, variable]).standard_normal(array.shape[-2:])
    return replaced
