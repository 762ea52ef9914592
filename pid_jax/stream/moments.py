"""Number, mean and scatter of samples that come in blocks, in float64 whatever the blocks are."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import get_blas_funcs

from pid_jax.gaussian.joint import block_slices
from pid_jax.stream.blocks import check_block

# Rows are turned into float64 in tiles that stay in a second-level cache; where rows are long, a tile has a few. The
# size was measured (decision 0021).
TILE_BYTES, FEWEST_TILE_ROWS = 5 * 2**17, 64
# Rows that share a shift. The scatter of a run loses at most this many units of rounding to cancellation.
RUN_ROWS = 2**15
# Columns of a matrix that are added at a time, so that what is computed beside them stays small.
PANEL = 256
CACHE_LINE = 64
# Smaller numbers have fewer digits.
SMALLEST_VARIANCE = float(np.finfo(np.float64).tiny)
_TOO_LARGE = "values are so large that the sum of their squares is infinite: divide the variable by a common number."
_TOO_SMALL = (
    f"values differ by so little that their variance is below {SMALLEST_VARIANCE:.0e}, where digits are lost: multiply "
    "the variable by a common number, or leave the column out."
)
_dsyrk, _dsyr = get_blas_funcs(("syrk", "syr"), dtype=np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Sufficient statistics of Gaussian samples.

    Attributes:
        count: Number n of samples.
        mean: Their mean x̄ (d,).
        scatter: Σ (x − x̄)(x − x̄)ᵀ (d, d).
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def of(cls, samples: ArrayLike) -> "Moments":
        """Compute the moments of samples (n, d) or (n,).

        Raises:
            TypeError: For anything but real numbers.
            ValueError: For another shape, no sample, NaN, infinity, masked values, or values whose squares are no
                numbers.
        """
        found = MomentSum(("samples",))
        found.add(samples)
        return found.moments()

    @property
    def cov(self) -> np.ndarray:
        """The unbiased sample covariance, zero for one sample."""
        return self.scatter / max(self.count - 1, 1)

    def merge(self, other: "Moments") -> "Moments":
        """Return the moments of the samples of both.

        With δ = x̄₂ − x̄₁ the scatter is S₁ + S₂ + (n₁ n₂ / n) δ δᵀ: a sum of positive terms, in which nothing cancels.

        Raises:
            ValueError: If they are of another number of columns, or the squares of their difference are no numbers.

        Source: Chan, Golub & LeVeque (1983), Am. Stat. 37, 242.
        """
        if self.mean.shape != other.mean.shape:
            raise ValueError(
                f"other has moments of {len(other.mean)} columns, these are of {len(self.mean)}: merge moments of the "
                "same variables only."
            )
        count = self.count + other.count
        apart = other.mean - self.mean
        between = self.count * other.count / count
        with np.errstate(over="ignore"):
            scatter = self.scatter + other.scatter + between * np.outer(apart, apart)
        check_range(np.diagonal(scatter) / count, apart != 0, "column {}".format)
        return Moments(count=count, mean=self.mean + apart * (other.count / count), scatter=scatter)

    def in_units(self, units: np.ndarray) -> "Moments":
        """Return the moments of the samples divided by a number for each column."""
        return Moments(count=self.count, mean=self.mean / units, scatter=self.scatter / units / units[:, None])

    def columns(self, chosen: slice) -> "Moments":
        """Return the moments of some columns."""
        return Moments(count=self.count, mean=self.mean[chosen], scatter=self.scatter[chosen, chosen])


class MomentSum:
    """Moments of samples that are added block by block.

    Rows are copied into a tile of float64, shifted by the mean of the first tile of their run, and multiplied by one
    symmetric BLAS product a tile. The scatter of a run about its own mean is added to that of all runs before by the
    formula of `Moments.merge`, with the rounding of every sum carried along. Where blocks end makes no difference, to
    the last bit; in which order rows come makes one of rounding.

    A shift that is k standard deviations from the mean costs k² units of rounding. It cannot be farther off than the
    number of rows of a run allows, so that their scatter keeps 11 digits whatever the data are.

    Args:
        names: What the parts of a block are called in messages; their columns stand side by side.

    Source: Chan, Golub & LeVeque (1983), Am. Stat. 37, 242, for the merge; Neumaier (1974), Z. Angew. Math. Mech. 54,
    39, for the sums.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.widths: tuple[int, ...] = ()
        self.count = 0
        self._blocks = 0

    def add(self, *parts: ArrayLike, block: int | None = None) -> None:
        """Add the rows of one block.

        Args:
            parts: One array (n, p) for each name, row i of each from the same sample.
            block: Number of the block in messages; they are counted if not given.

        Raises:
            TypeError: For anything but real numbers.
            ValueError: For parts that do not fit together or to the blocks before, masked values, NaN, infinity, or
                values so large that their squares are infinite. What was added before is lost then.
        """
        number = self._blocks if block is None else block
        self._blocks += 1
        arrays = check_block(self.names, parts, number, self.widths)
        if not self.widths:
            self._start(tuple(array.shape[1] for array in arrays))
        rows, done = len(arrays[0]), 0
        with np.errstate(invalid="ignore", over="ignore"):  # looked for in every tile
            while done < rows:
                taken = min(rows - done, len(self._tile) - self._filled)
                stop = self._filled + taken
                for array, columns in zip(arrays, self._columns, strict=True):
                    columns[self._filled : stop] = array[done : done + taken]
                self._origins.append((self._filled, number, done))
                self._filled, done = stop, done + taken
                if stop == len(self._tile):
                    self._add_tile()

    def moments(self) -> Moments:
        """Return the moments of all rows so far; more may be added afterwards.

        Raises:
            ValueError: If there is no row, or a column varies by so little that its squares are no numbers.
        """
        if self._is_empty():
            raise ValueError(f"{' and '.join(self.names)}: no block has a row; check how the samples were selected.")
        with np.errstate(invalid="ignore", over="ignore"):
            self._add_tile()
            self._end_run()
        lower = self._scatter + self._carry
        check_range(np.diagonal(lower) / self.count, self._varies, self._describe)
        return Moments(
            count=self.count,
            mean=self._origin + self._total / self.count,
            scatter=lower + np.tril(lower, -1).T,
        )

    def all_moments(self) -> list[Moments | None]:
        """Return the moments as those of one matrix; None if no row was added."""
        return [None if self._is_empty() else self.moments()]

    def _is_empty(self) -> bool:
        return not self.widths or not self.count + self._run + self._filled

    def _start(self, widths: tuple[int, ...]) -> None:
        size = sum(widths)
        self.widths = widths
        self._places = block_slices(widths)
        rows = min(RUN_ROWS, max(FEWEST_TILE_ROWS, TILE_BYTES // (8 * size)))
        self._tile, self._ones = _aligned(rows, size), np.ones(rows)
        self._columns = [self._tile[:, place] for place in self._places]
        self._shifts = _aligned(rows, size)  # one a row: twice as fast as one for all rows
        self._filled, self._origins = 0, []
        # The run: rows, shift, and sums of values and products after the shift. Lower triangles only.
        self._run, self._shift, self._sums = 0, np.zeros(size), np.zeros(size)
        self._products = np.zeros((size, size), order="F")
        # All runs: a first shift, the sum of what is beyond it, the scatter, and what rounding took from that.
        self._origin, self._total = np.zeros(size), np.zeros(size)
        self._scatter, self._carry = (np.zeros((size, size), order="F") for _ in range(2))
        self._varies = np.zeros(size, bool)  # known where the scatter is too small to show it

    def _add_tile(self) -> None:
        tile = self._tile[: self._filled]
        if not len(tile):
            return
        if not self._run:
            self._shift = self._checked(_center(tile))
            self._shifts[...] = self._shift
        tile -= self._shifts[: len(tile)]
        self._sums += self._checked(self._ones[: len(tile)] @ tile)
        self._products = _dsyrk(1.0, tile.T, beta=1.0, c=self._products, lower=1, overwrite_c=1)
        small = np.diagonal(self._products) < SMALLEST_VARIANCE
        if small.any():
            self._varies[small] |= tile[:, small].any(axis=0)
        self._run += len(tile)
        self._filled, self._origins = 0, []
        if self._run >= RUN_ROWS:
            self._end_run()

    def _end_run(self) -> None:
        """Add the moments of the run to those of all before, and start another."""
        if not self._run:
            return
        self._checked(np.diagonal(self._products))
        if not self.count:
            self._origin = self._shift
        offset = self._sums / self._run
        products = _dsyr(-self._run, offset, a=self._products, lower=1, overwrite_a=1)
        from_origin = self._shift - self._origin + offset
        if self.count:
            apart = from_origin - self._total / self.count
            between = self.count * self._run / (self.count + self._run)
            products = _dsyr(between, apart, a=products, lower=1, overwrite_a=1)
            self._varies |= apart != 0
        self._total = self._total + self._run * from_origin
        _add_compensated(self._scatter, self._carry, products)
        self.count += self._run
        products[...] = 0
        self._products, self._run = products, 0
        self._sums = np.zeros_like(self._sums)

    def _checked(self, sums: np.ndarray) -> np.ndarray:
        """Return sums over rows if they are finite, else say what is not: sums find it faster than a search does."""
        if math.isfinite(sums.dot(sums)) or np.isfinite(sums).all():
            return sums
        is_bad = ~np.isfinite(self._tile[: self._filled])
        if not is_bad.any():
            raise ValueError(f"{self._describe(int(np.flatnonzero(~np.isfinite(sums))[0]))}: {_TOO_LARGE}")
        row, column = (int(i) for i in np.argwhere(is_bad)[0])
        start, block, first = next(origin for origin in reversed(self._origins) if origin[0] <= row)
        name, place = self._locate(column)
        raise ValueError(
            f"block {block}: {name} holds NaN or infinity in column {place}, row {row - start + first} of the block: "
            "leave that sample out of all variables, or repair it."
        )

    def _locate(self, column: int) -> tuple[str, int]:
        """Name the variable of a column of all variables, and its column there."""
        part = next(i for i, place in enumerate(self._places) if column < place.stop)
        return self.names[part], column - self._places[part].start

    def _describe(self, column: int) -> str:
        return "{} in column {}".format(*self._locate(column))


def check_range(variance: np.ndarray, varies: np.ndarray, describe: Callable[[int], str]) -> None:
    """Refuse columns whose squares are infinite, or so small that they have lost digits.

    Args:
        variance: Of each column.
        varies: Whether the column has more than one value.
        describe: Names a column.
    """
    for is_bad, problem in (
        (~np.isfinite(variance), _TOO_LARGE),
        (varies & (variance < SMALLEST_VARIANCE), _TOO_SMALL),
    ):
        if is_bad.any():
            raise ValueError(f"{describe(int(np.flatnonzero(is_bad)[0]))}: {problem}")


def memory_needed(*sizes: int) -> int:
    """Bytes that sums of so many columns each take, with what is computed from them."""
    return sum(8 * size * (6 * size + 2 * max(FEWEST_TILE_ROWS, TILE_BYTES // (8 * size))) for size in sizes)


def _aligned(rows: int, columns: int) -> np.ndarray:
    """Make a matrix that starts with a line of the cache: all of the above takes a tenth longer where it does not."""
    raw = np.empty(rows * columns + CACHE_LINE // 8)
    start = -raw.ctypes.data % CACHE_LINE // 8
    return raw[start : start + rows * columns].reshape(rows, columns)


def _center(tile: np.ndarray) -> np.ndarray:
    """Average rows; a column with one value has exactly this, so that nothing is left of it."""
    return np.where((tile == tile[0]).all(axis=0), tile[0], tile.mean(axis=0))


def _add_compensated(total: np.ndarray, carry: np.ndarray, new: Any) -> None:
    """Add a matrix to a total in place, and what rounding takes from the sum to a carry."""
    for start in range(0, total.shape[1], PANEL):
        columns = slice(start, start + PANEL)
        old, more = total[:, columns], new[:, columns]
        summed = old + more
        of_new = summed - old
        carry[:, columns] += (old - (summed - of_new)) + (more - of_new)
        total[:, columns] = summed
