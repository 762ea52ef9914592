"""A store read shard by shard: blocks of paired rows of three tensors, for what does not fit in memory."""

import queue
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pid_jax.store.activations import Activations
from pid_jax.store.read import read_own_brief
from pid_jax.store.shard import ShardBrief, ShardHeader, StoreError, read_tensors, shard_name
from pid_jax.store.store import ActivationStore

Part = tuple[str, int | str]
Block = tuple[np.ndarray, ...]
# Small shards go from thread to thread together: one by one, that would take longer than to read them.
_HANDED_OVER_BYTES = 2**21
# Of arrays that are no shards.
_ROWS = 512


@dataclass(frozen=True, kw_only=True)
class StoreBlocks:
    """Rows of three tensors of a store, one shard a block, or some rows of arrays; each iteration reads all once.

    Blocks come in the order of shards, in which samples were extracted, not in that of ids. Every byte is checked as
    `ActivationStore.read` does. One more shard is read by a thread while a block is used.

    Attributes:
        store: The store, which must be complete, or what `open_activations` returns.
        source_1: (role, layer) of `ActivationStore.read`.
        source_2: The same.
        target: The same; the layer may be `NORM`.
        ids: Samples wanted; all if not given.
        where: Values of columns that samples must have, such as {"task": "ChooseAttr"}.

    Example:
        >>> from pid_jax import StoreBlocks
        >>> def layer_of(store, layer):
        ...     parts = {"source_1": ("image", layer), "source_2": ("question", layer), "target": ("last", "norm")}
        ...     return StoreBlocks(store=store, **parts, where={"task": "ChooseAttr"})
    """

    store: Activations
    source_1: Part
    source_2: Part
    target: Part
    ids: Collection[str] | None = None
    where: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("source_1", "source_2", "target"):
            part = getattr(self, name)
            if not isinstance(part, tuple) or len(part) != 2:
                raise ValueError(f"{name} needs (role, layer), such as ('image', 12), got {part!r}.")
            self.store.tensor(*part)
        if self.ids is not None:
            object.__setattr__(self, "ids", frozenset(self.ids))
            foreign = sorted(set(self.ids or ()) - set(self.store.manifest.ids))
            if foreign or not self.ids:
                raise ValueError(
                    f"ids needs samples of the store at {self.store.path}; {len(foreign)} of those given are not, such "
                    f"as {foreign[:3]}."
                    if foreign
                    else "ids is empty: leave it out to take all samples."
                )

    def __iter__(self) -> Iterator[Block]:
        """Yield (source_1, source_2, target) of the rows wanted of each shard that has any.

        Raises:
            StoreError: If shards are missing or bytes were changed, a column of `where` is missing, or samples of `ids`
                have no row because they failed.
        """
        if not isinstance(self.store, ActivationStore):
            return read_ahead(self._from_arrays())
        self.store.check_complete()
        return read_ahead(self._from_shards(self.store))

    def _from_arrays(self) -> Iterator[Block]:
        """Read rows in the order in which they are stored, some at a time."""
        wanted = np.ones(len(self.store.ids), bool)
        if self.ids is not None:
            wanted &= np.isin(self.store.ids, [*self.ids])
        for name, value in self.where.items():
            if name not in self.store.columns:
                raise StoreError(f"{self.store.path} has no column {name!r}, asked for by where.")
            wanted &= self.store.columns[name] == value
        rows = self.store.reading_order
        rows = rows[wanted[rows]]
        for start in range(0, len(rows), _ROWS):
            some = rows[start : start + _ROWS]
            parts = (self.source_1, self.source_2, self.target)
            yield tuple(self.store.read(role=role, layer=layer, rows=some) for role, layer in parts)

    def _from_shards(self, store: ActivationStore) -> Iterator[Block]:
        found = 0
        for index in range(store.manifest.shard_count):
            if self.ids is not None and not any(sample in self.ids for sample in store.shard_ids(index)):
                continue
            if self.ids is None and not self.where:
                header: ShardHeader | ShardBrief = read_own_brief(store.folder, store.manifest, index)
                chosen = None
                rows = header.rows
            else:
                header = store.header(index)
                chosen = self._chosen(header)
                rows = len(chosen)
                chosen = None if rows == len(header.ids) else chosen
            found += rows
            if rows:
                yield self._read(store, index, header, chosen)
        if self.ids is not None and not self.where and found < len(self.ids):
            raise StoreError(
                f"{len(self.ids) - found} of {len(self.ids)} samples asked for have no row in {self.store.path}, since "
                "they failed: leave them out; `store.failures` has their ids."
            )

    def _chosen(self, header: ShardHeader) -> np.ndarray:
        """Find the rows wanted of a shard."""
        for name in self.where:
            if any(name not in row for row in header.columns):
                raise StoreError(
                    f"{self.store.path} has samples without a column {name!r}, asked for by where; there are "
                    f"{sorted(header.columns[0])}."
                )
        return np.array(
            [
                place
                for place, (sample, row) in enumerate(zip(header.ids, header.columns, strict=True))
                if (self.ids is None or sample in self.ids) and all(row[k] == v for k, v in self.where.items())
            ],
            dtype=np.intp,
        )

    def _read(
        self, store: ActivationStore, index: int, header: ShardHeader | ShardBrief, chosen: np.ndarray | None
    ) -> Block:
        names = [store.tensor(*part) for part in (self.source_1, self.source_2, self.target)]
        found = read_tensors(store.folder, shard_name(index), header, sorted(set(names)))
        if chosen is not None:
            found = {name: states[chosen] for name, states in found.items()}
        return tuple(found[name] for name in names)


def read_ahead(blocks: Iterator[Block]) -> Iterator[Block]:
    """Take blocks from an iterator in a thread, one ahead of who uses them, or some where they are small."""
    ready: queue.Queue[tuple[list[Block], BaseException | None]] = queue.Queue(maxsize=1)
    is_over = threading.Event()

    def put(some: list[Block], error: BaseException | None) -> bool:
        while not is_over.is_set():
            try:
                ready.put((some, error), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def take() -> None:
        some: list[Block] = []
        try:
            for block in blocks:
                some.append(block)
                if sum(part.nbytes for part in block) * len(some) >= _HANDED_OVER_BYTES:
                    if not put(some, None):
                        return
                    some = []
            put(some, StopIteration())
        except BaseException as error:  # raised where the block is wanted
            put(some, error)

    thread = threading.Thread(target=take, name="pid_jax.store.blocks", daemon=True)
    thread.start()
    try:
        while True:
            some, error = ready.get()
            yield from some
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
    finally:
        is_over.set()
        thread.join()
