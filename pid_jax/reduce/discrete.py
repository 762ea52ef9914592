"""Variables with few distinct values: how many, and their entropy."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from numpy.typing import ArrayLike

from pid_jax.runtime.arrays import to_numpy
from pid_jax.runtime.checks import DISTINCT_VALUES, is_discrete

# A few values count as few, whatever the samples, if each has four on average.
FEW_VALUES, FEWEST_EACH = 10, 4
# Distinct rows up to which they are counted where samples come in blocks.
MOST_COUNTED = 256
# Rows that are searched for repeated values first: of a column that is discrete some agree.
ROWS = 100


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class DiscreteValues:
    """How far one variable is discrete, for each problem, or for all if it is the same in all.

    Attributes:
        distinct: Number of distinct rows where these are few, otherwise zero.
        entropy: Entropy of their frequencies in nats, infinite where rows are not few: no information about the
            variable exceeds it.
        columns: Number of columns with few distinct values, or one that many samples share, where rows are not few.
        width: Number of all columns.
    """

    distinct: np.ndarray
    entropy: np.ndarray
    columns: np.ndarray
    width: int


def find_discrete(samples: np.ndarray) -> DiscreteValues:
    """Find out which problems have few distinct rows of a variable, or columns with few distinct values.

    Rows decide before columns: a one-hot code is discrete as a whole, and remains so after a rotation.

    Args:
        samples: Samples (problems, n, p), finite.
    """
    frequencies = [_few_rows(x) for x in samples]
    entropy = [np.inf if f is None else float(-(f * np.log(f)).sum()) for f in frequencies]
    columns = [_discrete_columns(x) if f is None else 0 for f, x in zip(frequencies, samples, strict=True)]
    return DiscreteValues(
        distinct=np.array([0 if f is None else len(f) for f in frequencies]),
        entropy=np.array(entropy),
        columns=np.array(columns),
        width=samples.shape[-1],
    )


class DiscreteTally:
    """Counts of the distinct rows of several variables whose samples come in blocks.

    Args:
        blocks: Blocks with one array (n, p) a variable.
        variables: Number of variables.
    """

    def __init__(self, blocks: Iterable[Sequence[ArrayLike]], variables: int) -> None:
        self._blocks = blocks
        self._counts: list[dict[bytes, int] | None] = [{} for _ in range(variables)]
        self._widths = [0] * variables
        self._is_read = False

    def watch(self) -> Iterable[Sequence[ArrayLike]]:
        """Return the same blocks, which are counted when they are read first; an iterator if they are one."""
        return iter(self) if isinstance(self._blocks, Iterator) else self

    def __iter__(self) -> Iterator[Sequence[ArrayLike]]:
        """Read all blocks."""
        is_first, self._is_read = not self._is_read, True
        for block in self._blocks:
            if is_first:
                self._add([_array(part) for part in block])
            yield block

    def values(self) -> list[DiscreteValues | None]:
        """How far each variable is discrete; None if it is not, or has more distinct rows than are counted."""
        return [self._values(counts, width) for counts, width in zip(self._counts, self._widths, strict=True)]

    def _add(self, parts: Sequence[np.ndarray]) -> None:
        for place, (array, counts) in enumerate(zip(parts, self._counts, strict=False)):
            if counts is None or array.ndim != 2 or not array.size:
                continue
            rows, found = (None, None) if len(np.unique(array[:, 0])) > MOST_COUNTED else _count_rows(array)
            if rows is not None and found is not None:
                for row, count in zip(rows, found.tolist(), strict=True):
                    counts[row.tobytes()] = counts.get(row.tobytes(), 0) + count
            is_few = rows is not None and len(counts) <= MOST_COUNTED
            self._counts[place], self._widths[place] = counts if is_few else None, array.shape[1]

    def _values(self, counts: dict[bytes, int] | None, width: int) -> DiscreteValues | None:
        found = np.array(list((counts or {}).values()))
        if not 1 < len(found) <= _most(int(found.sum())):
            return None
        shares = found / found.sum()
        entropy = np.array([-(shares * np.log(shares)).sum()])
        return DiscreteValues(distinct=np.array([len(found)]), entropy=entropy, columns=np.zeros(1, int), width=width)


def _array(part: ArrayLike) -> np.ndarray:
    """Return samples as an array; an empty one where they cannot be read, which those who add them up refuse."""
    try:
        return to_numpy("block", part)
    except (TypeError, ValueError):
        return np.empty((0, 0))


def _few_rows(samples: np.ndarray) -> np.ndarray | None:
    """Compute the frequencies of distinct rows (n, p); None if they are not few, or all alike."""
    most = _most(len(samples))
    if len(np.unique(samples[:, 0])) > most:
        return None
    _, counts = _count_rows(samples)
    return counts / len(samples) if 1 < len(counts) <= most else None


def _most(samples: int) -> float:
    """Return how many distinct rows are few."""
    return max(DISTINCT_VALUES * samples, min(FEW_VALUES, samples / FEWEST_EACH))


def _count_rows(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find distinct rows (n, p), as bytes, and count them."""
    rows = np.ascontiguousarray(samples + samples.dtype.type(0))  # no negative zeros
    return np.unique(rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))), return_counts=True)


def _discrete_columns(samples: np.ndarray) -> int:
    """Count columns with few distinct values, or one that many samples share; not those with one in all."""
    some = np.sort(np.ascontiguousarray(samples[:: max(1, len(samples) // ROWS)].T), axis=1)
    repeated = samples[:, (some[:, 1:] == some[:, :-1]).any(axis=1)]
    varying = repeated[:, np.ptp(repeated, axis=0) > 0]
    return int(is_discrete(varying).sum()) if varying.size else 0
