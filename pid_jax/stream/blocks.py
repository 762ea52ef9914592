"""Blocks of samples: paired parts, one for each variable."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pid_jax.runtime.arrays import to_numpy
from pid_jax.runtime.checks import check_same_labels


def check_block(
    names: Sequence[str], parts: Sequence[ArrayLike], block: int, widths: Sequence[int] = ()
) -> list[np.ndarray]:
    """Return the parts of a block as arrays.

    Args:
        names: What the parts are called.
        parts: What came; an array of n numbers is one column.
        block: Number of the block.
        widths: Columns that each part must have; any if not given.

    Raises:
        TypeError: For anything but real numbers.
        ValueError: For parts that do not fit to one another or to `widths`, and for masked or missing values.
    """
    if len(parts) != len(names):
        raise ValueError(f"block {block} has {len(parts)} parts, wanted {len(names)}: {', '.join(names)}.")
    arrays = [_read_part(f"block {block}: {name}", part) for name, part in zip(names, parts, strict=True)]
    for name, array in zip(names, arrays, strict=True):
        if array.ndim != 2 or not array.shape[1]:
            raise ValueError(f"block {block}: {name} must have shape (n, p) with p > 0, got {array.shape}.")
        if len(array) != len(arrays[0]):
            raise ValueError(
                f"block {block}: {name} has {len(array)} samples, {names[0]} has {len(arrays[0])}; they must be "
                "paired: row i of every variable must come from the same sample."
            )
    if any(type(part) is not np.ndarray for part in parts):
        check_same_labels([(f"block {block}: {name}", part) for name, part in zip(names, parts, strict=True)])
    for name, array, width in zip(names, arrays, widths, strict=False):
        if array.shape[1] != width:
            raise ValueError(
                f"block {block}: {name} has {array.shape[1]} columns, blocks before have {width}: all blocks must be "
                "of the same variables."
            )
    return arrays


def _read_part(label: str, part: ArrayLike) -> np.ndarray:
    array = to_numpy(label, part)
    return array[:, None] if array.ndim == 1 and hasattr(part, "shape") else array


def check_blocks(names: Sequence[str], blocks: Iterable[Sequence[ArrayLike]]) -> Iterator[list[np.ndarray]]:
    """Yield blocks as arrays; all must have the columns of the first."""
    widths: tuple[int, ...] = ()
    for number, parts in enumerate(blocks):
        arrays = check_block(names, parts, number, widths)
        widths = tuple(array.shape[1] for array in arrays)
        yield arrays


def look_ahead(blocks: Iterator[Any]) -> tuple[Any, Iterator[Any]]:
    """Return the first block, and all of them."""
    try:
        first = next(blocks)
    except StopIteration:
        raise ValueError("blocks is empty: check how the samples were selected.") from None
    return first, chain([first], blocks)
