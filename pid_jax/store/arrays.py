"""Hidden states that other tools wrote, read where they are: nothing is copied."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xxhash

from pid_jax.store.activations import Activations
from pid_jax.store.formats.array import FormatError, LazyArray
from pid_jax.store.manifest import Manifest
from pid_jax.store.masks import Mask
from pid_jax.store.shard import StoreError

# Of states with tokens, in memory at a time.
_CHUNK_BYTES = 2**26


@dataclass(frozen=True, kw_only=True)
class Part:
    """Where the states of one role at one layer are.

    Attributes:
        arrays: One array with an axis for samples, or one array a sample, in the order of the table.
        axes: What the axes are.
        layer: Index on the axis of layers, None without such an axis.
        mask: Tokens that are averaged, None without an axis of tokens.
    """

    arrays: tuple[LazyArray, ...]
    axes: tuple[str, ...]
    layer: int | None = None
    mask: Mask | None = None

    def read(self, first: int, stop: int) -> np.ndarray:
        """Read the states of some samples (n, d), in the order of the table."""
        if "sample" not in self.axes:
            return np.stack([self._pool(array, None, row, row + 1)[0] for row, array in self._rows(first, stop)])
        (array,) = self.arrays
        if self.mask is None:
            return self._pool(array, slice(first, stop), first, stop)
        step = max(1, _CHUNK_BYTES * array.shape[self.axes.index("sample")] // max(1, _size(array)))
        starts = range(first, stop, step)
        return np.concatenate(
            [self._pool(array, slice(a, min(a + step, stop)), a, min(a + step, stop)) for a in starts]
        )

    def _rows(self, first: int, stop: int) -> list[tuple[int, LazyArray]]:
        return list(enumerate(self.arrays[first:stop], first))

    def _pool(self, array: LazyArray, samples: slice | None, first: int, stop: int) -> np.ndarray:
        """Read samples of an array, and average their tokens if it has any."""
        index = tuple(
            self.layer if axis == "layer" and self.layer is not None else samples if axis == "sample" else slice(None)
            for axis in self.axes
        )
        values = array.read(tuple(slice(None) if one is None else one for one in index))
        left = [axis for axis in self.axes if axis != "layer"]
        order = [left.index(axis) for axis in ("sample", "token", "feature") if axis in left]
        values = values.transpose(order)
        if "sample" not in left:
            values = values[None]
        if "feature" not in left:
            values = values[..., None]
        values = values if values.dtype.kind == "f" else values.astype(_float_of(values.dtype))
        return values if self.mask is None else self.mask.average(values, first, stop, array.where)


class ArrayActivations(Activations):
    """States in arrays of other tools, one row a sample.

    `open_activations` opens them.
    """

    def __init__(
        self, path: str, manifest: Manifest, columns: Mapping[str, np.ndarray], parts: Mapping[str, Part]
    ) -> None:
        self._path = path
        self.manifest = manifest
        self._parts_by_name = dict(parts)
        given = np.array(manifest.ids, dtype=np.str_)
        self._order = np.argsort(given, kind="stable")
        self._ids = given[self._order]
        self._columns = {name: values[self._order] for name, values in columns.items() if name != "id"}

    @property
    def path(self) -> str:
        """Where the states are, for messages."""
        return self._path

    @property
    def ids(self) -> np.ndarray:
        """Ids of all rows, sorted."""
        return self._ids

    @property
    def columns(self) -> Mapping[str, np.ndarray]:
        """Values of samples (task, gold, predicted, correct, ...) in the order of `ids`."""
        return self._columns

    @property
    def reading_order(self) -> np.ndarray:
        """Rows in the order of the arrays."""
        return np.argsort(self._order, kind="stable")

    @cached_property
    def content_digests(self) -> list[str]:
        """Checksums of all arrays, masks and columns; every value is read once for them."""
        arrays = {id(array): array for part in self._parts_by_name.values() for array in part.arrays}
        masks = {id(part.mask): part.mask for part in self._parts_by_name.values() if part.mask is not None}
        columns = [f"{name}:{values.tolist()}" for name, values in sorted(self._columns.items())]
        return [
            *(_hash(array) for array in arrays.values()),
            *(mask.digest for mask in masks.values()),
            xxhash.xxh3_128_hexdigest("\n".join(columns).encode()),
        ]

    def read(self, *, role: str, layer: int | str, rows: Any = None) -> np.ndarray:
        """Read one role at one layer; see `Activations.read`."""
        part = self._parts_by_name[self.tensor(role, layer)]
        wanted = self._order if rows is None else self._order[rows]
        if not len(wanted):
            return part.read(0, 1)[:0]
        first, stop = int(wanted.min()), int(wanted.max()) + 1
        try:
            states = part.read(first, stop)
        except FormatError as error:
            raise StoreError(str(error)) from error
        is_whole = len(wanted) == len(states) and bool((np.diff(wanted) == 1).all())
        return np.ascontiguousarray(states) if is_whole else states[wanted - first]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.path}, {len(self.ids)} samples, roles {self.roles}, layers {self.layers}, "
            f"condition {self.manifest.condition['name']!r})"
        )


def _size(array: LazyArray) -> int:
    return int(np.prod(array.shape)) * array.dtype.itemsize


def _float_of(kind: np.dtype) -> type:
    """Return the type of floats that holds all numbers of a type, as far as there is one."""
    return np.float32 if kind.itemsize <= 2 else np.float64


def _hash(array: LazyArray) -> str:
    """Hash type, shape and values."""
    found = xxhash.xxh3_128(f"{array.dtype}{array.shape}".encode())
    rows = array.shape[0]
    step = max(1, _CHUNK_BYTES * rows // max(1, _size(array)))
    for start in range(0, rows, step):
        found.update(np.ascontiguousarray(array.read((slice(start, start + step),))).data)
    return found.hexdigest()
