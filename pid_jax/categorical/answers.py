"""Answers as whole numbers: which classes there are, and what happens to those with few samples."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from pid_jax.runtime.arrays import to_numpy
from pid_jax.settings.categorical import PoolRare, Rare

POOLED = "other (pooled)"


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Answers of n samples in one or several problems.

    Attributes:
        codes: Class of each sample (..., n); −1 where a sample is left out of all problems.
        classes: Name of each class, as it was given; the last one is text, `POOLED`, where rare answers are pooled.
        notes: What was pooled or left out, in plain words.
    """

    codes: np.ndarray
    classes: tuple[Any, ...]
    notes: tuple[str, ...] = ()


def read_answers(answer: Any, rare: Rare, samples: int | None = None) -> Answers:
    """Turn answers into class numbers, and pool or leave out rare ones.

    Args:
        answer: Whole numbers, booleans, strings, or objects of pandas or xarray that hold them, of shape (..., n).
        rare: What happens to answers with few samples, counted in all problems together.
        samples: Number of samples of the sources, if it is to be compared.

    Raises:
        TypeError: For numbers that are not whole, and for anything that is no answer.
        ValueError: For missing answers, a column of shape (n, 1) or other axis of samples, no samples, or fewer than
            two classes that are left.
    """
    name = "answer"
    values = as_labels(name, answer)
    if samples in values.shape[:-1] and values.shape[-1] != samples:
        raise ValueError(
            f"{name} needs the {samples} samples in its last axis, shape (..., {samples}), got {values.shape}: "
            "transpose it, or pass the column of one answer."
        )
    if values.ndim == 0 or values.size == 0:
        raise ValueError(f"{name} needs one answer for each sample, shape (..., n), got shape {values.shape}.")
    classes, codes = np.unique(values, return_inverse=True)
    codes = codes.reshape(values.shape)
    if len(classes) == 1:
        raise ValueError(
            f"{name} is {classes[0].item()!r} in all samples, so no source has information about it: leave the problem "
            "out, or add samples with other answers."
        )
    problems = int(np.prod(values.shape[:-1]))
    counts = np.bincount(codes.ravel(), minlength=len(classes)) / problems
    few = counts < rare.fewest
    if not few.any():
        return Answers(codes=codes, classes=_plain(classes))
    return _without_rare(codes, classes, counts, few, rare, name)


def pooled_name(answers: Iterable[Any]) -> str:
    """Return the name of the class of pooled answers: `POOLED`, numbered where an answer has that name."""
    taken = {str(one) for one in answers}
    names = (POOLED if number == 1 else f"{POOLED} {number}" for number in count(1))
    return next(name for name in names if name not in taken)


def _without_rare(
    codes: np.ndarray, classes: np.ndarray, counts: np.ndarray, few: np.ndarray, rare: Rare, name: str
) -> Answers:
    """Pool or leave out the classes that are rare."""
    is_pooled = isinstance(rare, PoolRare) and bool(counts[few].sum() >= rare.fewest)
    kept = np.flatnonzero(~few)
    if len(kept) + is_pooled < 2:
        raise ValueError(
            f"{name} has {len(classes)} classes, of which {len(kept)} have at least {rare.fewest} samples: two are "
            f"needed. Add samples, or lower {type(rare).__name__}(fewest=...)."
        )
    new = np.full(len(classes), len(kept) if is_pooled else -1)
    new[kept] = np.arange(len(kept))
    share = counts[few].sum() / counts.sum()
    pooled = [pooled_name(classes)] * is_pooled
    what = f'pooled as "{pooled[0]}"' if is_pooled else "left out"
    which = "1 answer" if few.sum() == 1 else f"{int(few.sum())} answers"
    verb = "is" if few.sum() == 1 else "are"
    note = f"{which} with fewer than {rare.fewest} samples ({share:.1%} of all) {verb} {what}"
    codes = new[codes]
    if not is_pooled and codes.ndim > 1:  # a sample is in all problems or in none
        codes = np.where((codes < 0).any(axis=tuple(range(codes.ndim - 1))), -1, codes)
    return Answers(codes=codes, classes=(*_plain(classes[kept]), *pooled), notes=(note,))


def class_shares(codes: np.ndarray, classes: int) -> np.ndarray:
    """Return the frequencies of the classes in each problem (B, K), given the class of each sample (B, n)."""
    return np.stack([np.bincount(one, minlength=classes) for one in codes]) / codes.shape[1]


def _plain(classes: np.ndarray) -> tuple[Any, ...]:
    return tuple(classes.tolist())


def as_labels(name: str, answer: Any) -> np.ndarray:
    """Return answers as an array of whole numbers, booleans or strings.

    Args:
        name: What the argument is called in errors.
        answer: Answers, see `read_answers`.

    Raises:
        TypeError: For numbers that are not whole, and for anything that is no answer.
        ValueError: For missing answers, and for a column of shape (n, 1).
    """
    labels = _read_labels(name, answer)
    _refuse_column(name, answer, labels.shape)
    return labels


def _refuse_column(name: str, answer: Any, shape: tuple[int, ...]) -> None:
    """Refuse problems of one sample each, which a column of a table reads as."""
    if len(shape) < 2 or shape[-1] != 1:
        return
    index, own = f"[{'...' if len(shape) > 2 else ':'}, 0]", name.split()[-1]
    if type(answer).__name__ == "DataFrame" and hasattr(answer, "iloc"):
        remedy = f"{own}.iloc{index}"
    else:
        remedy = f"{own}{index}" if hasattr(answer, "shape") else f"numpy.asarray({own}){index}"
    raise ValueError(
        f"{name} needs shape (n,) for n samples, or (problems, n), got {shape}, which is {math.prod(shape)} problems "
        f"of one sample each: pass the column itself, {remedy}."
    )


def _read_labels(name: str, answer: Any) -> np.ndarray:
    """Convert answers; see `as_labels`."""
    held = getattr(answer, "values", answer)  # a method of tensors
    raw = to_numpy(name, answer) if callable(held) else np.asarray(held)
    if raw.dtype.kind in "US" and isinstance(answer, (list, tuple)):
        raw = np.array(answer, dtype=object)  # NumPy would have made strings of missing ones
    if raw.dtype.kind in "US" or not raw.size:
        return raw.astype(str)
    if raw.dtype.kind == "O":
        return _from_objects(name, raw)
    if raw.dtype.kind in "mMcV":
        raise TypeError(
            f"{name} needs classes (whole numbers or strings), got {raw.dtype}: convert it, such as by .astype(str)."
        )
    array = to_numpy(name, answer)
    if array.dtype.kind == "f":
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            raise ValueError(
                f"{name} is missing or infinite for {_samples(len(bad))}, the first at index {tuple(bad[0].tolist())}: "
                "leave these samples out of all arguments."
            )
        raise TypeError(
            f"{name} needs classes (whole numbers or strings), got {array.dtype}: convert numbers that stand for "
            "classes with .astype(int), or use estimate_pid for a continuous target."
        )
    return array


def _from_objects(name: str, raw: np.ndarray) -> np.ndarray:
    """Read strings, booleans or whole numbers in an array of objects."""
    if not raw.ndim:
        raise TypeError(f"{name} needs one class for each sample, got {type(raw.item()).__name__}.")
    flat = raw.ravel()
    missing = [index for index, one in enumerate(flat) if _is_missing(one)]
    if missing:
        raise ValueError(
            f"{name} is missing for {_samples(len(missing))}, the first at position {missing[0]}: leave these samples "
            "out of all arguments."
        )
    for kinds, dtype in ((str, str), ((bool, np.bool_), bool), ((int, np.integer, bool, np.bool_), np.int64)):
        if all(isinstance(one, kinds) for one in flat):
            return raw.astype(dtype)
    found = sorted({type(one).__name__ for one in flat})
    raise TypeError(f"{name} needs classes that are all whole numbers or all strings, got {', '.join(found)}.")


def _samples(number: int) -> str:
    return f"{number} sample{'s' * (number != 1)}"


def _is_missing(one: Any) -> bool:
    """Return whether an answer is None, NaN, or the missing value of pandas."""
    return one is None or type(one).__name__ in ("NAType", "NaTType") or (isinstance(one, float) and one != one)
