"""Which tokens of a sample are averaged to its state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from pid_jax.store.formats.array import FormatError, LazyArray, from_memory
from pid_jax.store.formats.listing import list_arrays
from pid_jax.store.layout import compile_pattern
from pid_jax.store.shard import StoreError


@dataclass(frozen=True, kw_only=True, eq=False)
class Mask:
    """The tokens of one role.

    Attributes:
        role: The role.
        values: By sample, a row of truth values, or the position of one token; positions below 0 count from the end.
    """

    role: str
    values: tuple[np.ndarray, ...]

    @property
    def digest(self) -> str:
        """Checksum."""
        found = xxhash.xxh3_128(self.role.encode())
        for one in self.values:
            found.update(f"{one.dtype}{one.shape}".encode() + one.tobytes())
        return found.hexdigest()

    def check(self, where: str, tokens: int | None, *, is_by_sample: bool) -> None:
        """Refuse an array with another number of tokens."""
        if tokens is None or is_by_sample:
            return
        for row, one in enumerate(self.values):
            if one.ndim and len(one) != tokens:
                raise StoreError(f"mask of {self.role!r} has {len(one)} tokens in row {row}, {where} has {tokens}.")
            if not one.ndim and not -tokens <= one < tokens:
                raise StoreError(f"mask of {self.role!r} has position {one} in row {row}, {where} has {tokens} tokens.")

    def average(self, values: np.ndarray, first: int, stop: int, where: str) -> np.ndarray:
        """Average tokens (n, tokens, d) of samples `first` to `stop`, in float64; one position is taken as it is."""
        found = np.empty((values.shape[0], values.shape[2]), values.dtype)
        for row, mask in enumerate(self.values[first:stop]):
            tokens = values.shape[1]
            if (mask.ndim and len(mask) != tokens) or (not mask.ndim and not -tokens <= mask < tokens):
                raise FormatError(f"{where} has {tokens} tokens, which the mask of {self.role!r} does not fit.")
            found[row] = values[row, mask].mean(axis=0, dtype=np.float64) if mask.ndim else values[row, int(mask)]
        return found


def read_masks(
    masks: Mapping[str, Any], arrays: Mapping[str, LazyArray], ids: Sequence[str], where: str
) -> dict[str, Mask]:
    """Read the masks of a layout.

    Args:
        masks: By role, see `ArrayLayout`.
        arrays: The arrays of the source, which masks may name.
        ids: Ids of the samples, in the order of the arrays.
        where: The source, for messages.

    Raises:
        StoreError: If a mask is missing, of another kind or shape, or selects no token of a sample.
    """
    try:
        return {role: Mask(role=role, values=_rows(role, one, arrays, ids, where)) for role, one in masks.items()}
    except FormatError as error:
        raise StoreError(str(error)) from error


def _rows(
    role: str, given: Any, arrays: Mapping[str, LazyArray], ids: Sequence[str], where: str
) -> tuple[np.ndarray, ...]:
    if isinstance(given, str) and "{sample}" in given:
        pattern = compile_pattern(given)
        found = {match["sample"]: arrays[name] for name in arrays if (match := pattern.fullmatch(name))}
        if missing := [one for one in ids if one not in found]:
            raise StoreError(
                f"mask of {role!r} is missing for {len(missing)} samples of {where}, such as {missing[:3]}."
            )
        rows = [found[one].read() for one in ids]
    else:
        rows = list(_whole(role, given, arrays, len(ids), where))
    return tuple(_check(role, row, number) for number, row in enumerate(rows))


def _whole(role: str, given: Any, arrays: Mapping[str, LazyArray], count: int, where: str) -> np.ndarray:
    if isinstance(given, bool) or not isinstance(given, int):
        values = _find(role, given, arrays, where)
    else:
        values = np.full(count, given)
    if values.ndim not in (1, 2) or len(values) != count:
        raise StoreError(
            f"mask of {role!r} has shape {values.shape}, wanted ({count}, tokens) truth values or ({count},) positions."
        )
    return values


def _find(role: str, given: Any, arrays: Mapping[str, LazyArray], where: str) -> np.ndarray:
    if not isinstance(given, str | Path):
        return from_memory(f"mask of {role!r}", given).read()
    if str(given) in arrays:
        return arrays[str(given)].read()
    if Path(given).is_file():
        found = list_arrays(given)
        if len(found) != 1:
            raise StoreError(f"mask of {role!r}: {given} holds {len(found)} arrays, wanted one.")
        return next(iter(found.values())).read()
    raise StoreError(f"mask of {role!r} is {given!r}, which is no array of {where} and no file.")


def _check(role: str, row: np.ndarray, number: int) -> np.ndarray:
    """Return a row of truth values or one position."""
    if row.ndim == 0 or (row.shape == (1,) and row.dtype.kind in "iu" and row.dtype != bool):
        if row.dtype.kind not in "iu":
            raise StoreError(f"mask of {role!r} has {row!r} in row {number}, wanted a position or truth values.")
        return row.reshape(())
    if row.ndim != 1 or (row.dtype != bool and not np.isin(row, (0, 1)).all()):
        raise StoreError(f"mask of {role!r} has values of type {row.dtype} in row {number}, wanted truth values.")
    if not row.any():
        raise StoreError(f"mask of {role!r} selects no token in row {number}: leave the sample out of all arrays.")
    return row.astype(bool)
