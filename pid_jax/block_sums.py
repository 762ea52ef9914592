"""Moments of blocks of several variables, added by several threads."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import reduce
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from pid_jax.moments import Moments, MomentSum, check_block
from pid_jax.threads import LARGE, one_blas_thread

Block = Sequence[ArrayLike]
# Rows that are projected at a time.
_ROWS = 512


class BlockSum(Protocol):
    """What blocks are added to."""

    def add(self, *parts: ArrayLike, block: int | None = None) -> None:
        """Add the rows of one block."""
        ...

    def all_moments(self) -> list[Moments | None]:
        """Moments of what was added; None where nothing was."""
        ...


class JointSum(MomentSum):
    """Joint moments of all variables."""

    def all_moments(self) -> list[Moments | None]:
        """The joint moments."""
        return [None if self.is_empty else self.moments()]


class MarginalSum:
    """Moments of every variable by itself.

    Args:
        names: What the variables are called.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._sums = [JointSum((name,)) for name in names]

    def add(self, *parts: ArrayLike, block: int | None = None) -> None:
        """Add the rows of one block."""
        arrays = check_block(self._names, parts, block or 0)
        for one, array in zip(self._sums, arrays, strict=True):
            one.add(array, block=block)

    def all_moments(self) -> list[Moments | None]:
        """The moments of each variable."""
        return [found for one in self._sums for found in one.all_moments()]


class ScoreSum(JointSum):
    """Joint moments of the coordinates of each variable along some axes.

    Args:
        names: What the variables are called.
        means: What is subtracted from each.
        axes: Directions (p, d) of each.
    """

    def __init__(self, names: Sequence[str], means: Sequence[np.ndarray], axes: Sequence[np.ndarray]) -> None:
        super().__init__(names)
        self._means, self._axes = means, axes

    def add(self, *parts: ArrayLike, block: int | None = None) -> None:
        """Add the coordinates of the rows of one block."""
        widths = [len(mean) for mean in self._means]
        arrays = check_block(self.names, parts, block or 0, widths)
        for start in range(0, len(arrays[0]), _ROWS):
            rows = [np.asarray(array[start : start + _ROWS], dtype=np.float64) for array in arrays]
            scores = [(x - m) @ a for x, m, a in zip(rows, self._means, self._axes, strict=True)]
            super().add(*scores, block=block)


def add_blocks(blocks: Iterable[Block], make: Callable[[], BlockSum], size: int, threads: int) -> list[Moments]:
    """Add blocks to sums, one a thread, and merge these.

    Block i goes to thread i modulo their number, so that the result depends on how many there are, by rounding, and on
    nothing else.

    Args:
        blocks: The blocks, taken one after the other in the thread that calls.
        make: Makes an empty sum.
        size: Columns of the largest matrix.
        threads: Number of threads. Large matrices are added by one, with as many BLAS threads as there are.

    Raises:
        ValueError: If there is no row, or as `MomentSum.add` does.
    """
    sums = [make() for _ in range(1 if size >= LARGE else threads)]
    with one_blas_thread(size):
        if len(sums) == 1:
            for number, block in enumerate(blocks):
                sums[0].add(*block, block=number)
        else:
            _add_in_threads(blocks, sums)
        found = [one.all_moments() for one in sums]
    merged = [reduce(Moments.merge, there) for some in zip(*found, strict=True) if (there := [m for m in some if m])]
    if not merged:
        raise ValueError("blocks has no row at all: check how the samples were selected.")
    return merged


def _add_in_threads(blocks: Iterable[Block], sums: Sequence[BlockSum]) -> None:
    """Add blocks in turns; a block is taken when the one that its thread had before is done."""
    pools = [ThreadPoolExecutor(1) for _ in sums]
    last: list[Future | None] = [None] * len(sums)
    try:
        for number, block in enumerate(blocks):
            turn = number % len(sums)
            before = last[turn]
            if before is not None:
                before.result()
            last[turn] = pools[turn].submit(sums[turn].add, *block, block=number)
        for one in last:
            if one is not None:
                one.result()
    finally:
        for pool in pools:
            pool.shutdown()
