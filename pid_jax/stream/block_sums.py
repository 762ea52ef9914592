"""Moments of blocks of several variables, added by several threads."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial, reduce

import numpy as np
from numpy.typing import ArrayLike

from pid_jax.runtime.checks import check_positive_int
from pid_jax.runtime.threads import LARGE, one_blas_thread, usable_cores
from pid_jax.stream.blocks import check_block, check_blocks, look_ahead
from pid_jax.stream.moments import Moments, MomentSum

Block = Sequence[ArrayLike]
# Rows that are projected at a time.
_ROWS = 512


class MarginalSum:
    """Moments of every variable by itself.

    Args:
        names: What the variables are called.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._sums = [MomentSum((name,)) for name in names]

    def add(self, *parts: ArrayLike, block: int | None = None) -> None:
        """Add the rows of one block."""
        arrays = check_block(self.names, parts, block or 0)
        for one, array in zip(self._sums, arrays, strict=True):
            one.add(array, block=block)

    def all_moments(self) -> list[Moments | None]:
        """The moments of each variable."""
        return [found for one in self._sums for found in one.all_moments()]


class ScoreSum(MomentSum):
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


def stream_moments(blocks: Iterable[ArrayLike | Sequence[ArrayLike]], *, threads: int | None = None) -> Moments:
    """Compute the joint moments of samples that come in blocks, in one pass and in float64.

    Args:
        blocks: Blocks of samples (n, p) or (n,), or of several variables whose columns are put side by side.
        threads: Blocks that are added at the same time; one a core if not given.

    Returns:
        Number, mean and scatter of all rows.

    Raises:
        TypeError: For arrays that hold no real numbers.
        ValueError: For no row at all, parts that do not fit together, NaN, masked or missing values, values whose
            squares are no numbers, or `threads` that is no count.

    Example:
        >>> import numpy as np
        >>> from pid_jax import stream_moments
        >>> samples = np.random.default_rng(0).normal(size=(1000, 3))
        >>> found = stream_moments(np.array_split(samples, 7))
        >>> bool(np.allclose(found.cov, np.cov(samples.T), rtol=0, atol=1e-14))
        True
    """
    if threads is not None:
        check_positive_int("threads", threads)
    parts = ((block,) if 0 < len(getattr(block, "shape", ())) < 3 else block for block in blocks)
    first, rest = look_ahead(iter(parts))
    names = ("samples",) if len(first) == 1 else tuple(f"variable {i}" for i in range(len(first)))
    size = sum(array.shape[1] for array in check_block(names, first, 0))
    (found,) = add_blocks(rest, partial(MomentSum, names), size, usable_cores() if threads is None else threads)
    return found


def add_blocks(
    blocks: Iterable[Block], make: Callable[[], MomentSum | MarginalSum], size: int, threads: int
) -> list[Moments]:
    """Add blocks to sums, one a thread, and merge these.

    Block i goes to thread i modulo their number, so that the result depends on how many there are, by rounding, and on
    nothing else.

    Args:
        blocks: The blocks, taken and checked one after the other in the thread that calls.
        make: Makes an empty sum.
        size: Columns of the largest matrix.
        threads: Number of threads. Large matrices are added by one, with as many BLAS threads as there are.

    Raises:
        ValueError: If there is no row, or as `MomentSum.add` does.
    """
    sums = [make() for _ in range(1 if size >= LARGE else threads)]
    checked = check_blocks(sums[0].names, blocks)
    with one_blas_thread(size):
        if len(sums) == 1:
            for number, block in enumerate(checked):
                sums[0].add(*block, block=number)
        else:
            _add_in_threads(checked, sums)
        found = [one.all_moments() for one in sums]
    merged = [reduce(Moments.merge, there) for some in zip(*found, strict=True) if (there := [m for m in some if m])]
    if not merged:
        raise ValueError("blocks has no row at all: check how the samples were selected.")
    return merged


def _add_in_threads(blocks: Iterable[Sequence[np.ndarray]], sums: Sequence[MomentSum | MarginalSum]) -> None:
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
