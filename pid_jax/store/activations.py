"""What every source of hidden states offers to a study: a store, or arrays of other tools."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pid_jax.store.folder import Folder
from pid_jax.store.manifest import NORM, Manifest, tensor_name
from pid_jax.store.shard import Failure, ShardHeader, StoreError


class Activations(ABC):
    """Hidden states of one model under one condition, one row a sample, by role and layer.

    Attributes:
        manifest: What there is: ids, tensors, condition and settings.
    """

    manifest: Manifest

    @property
    @abstractmethod
    def path(self) -> Path | str:
        """Where the states are, for messages."""

    @property
    @abstractmethod
    def ids(self) -> np.ndarray:
        """Ids of all rows, sorted."""

    @property
    @abstractmethod
    def columns(self) -> Mapping[str, np.ndarray]:
        """Values of samples (task, gold, predicted, correct, ...) in the order of `ids`."""

    @property
    @abstractmethod
    def content_digests(self) -> Sequence[str]:
        """Checksums that cover every value."""

    @abstractmethod
    def read(self, *, role: str, layer: int | str, rows: Any = None) -> np.ndarray:
        """Read one role at one layer.

        Args:
            role: One of `roles`.
            layer: One of `layers`, or `NORM`.
            rows: Rows wanted, as indices, a mask or a slice of `ids`; all if not given.

        Returns:
            States (n, d), rows in the order of `ids`.

        Raises:
            StoreError: If there is no such tensor, or its values cannot be read.
            TypeError: If the layer is no number of a layer and no text.
        """

    @property
    def folder(self) -> Folder | None:
        """The folder of a store; None where the states are not in one, so that there is no readout either."""
        return None

    @property
    def headers(self) -> Mapping[int, ShardHeader]:
        """Headers of the shards of a store; none where the states are not in one."""
        return {}

    @property
    def failures(self) -> list[Failure]:
        """Samples without a row."""
        return []

    @property
    def reading_order(self) -> np.ndarray:
        """Rows in the order in which they are stored, which is the fastest to read them in."""
        return np.arange(len(self.ids))

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers recorded: 0 is the embeddings, l the output of decoder block l."""
        return tuple(sorted({layer for layer, _ in self.parts if isinstance(layer, int)}))

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles recorded."""
        return tuple(sorted({role for _, role in self.parts}))

    @property
    def parts(self) -> list[tuple[int | str, str]]:
        """Layers and roles of all tensors."""
        named = [name.split("/", 1) for name in self.manifest.tensors]
        return [(layer if layer == NORM else int(layer), role) for layer, role in named]

    def tensor(self, role: str, layer: int | str) -> str:
        """Name the tensor of a role at a layer, which must be there."""
        name = tensor_name(role, layer)
        if name not in self.manifest.tensors:
            raise StoreError(
                f"{self.path} has no states for role={role!r}, layer={layer!r}; it has roles {self.roles} and layers "
                f"{self.layers}, and {[n for n in self.manifest.tensors if n.startswith(NORM)]}."
            )
        return name

    def iter_layers(self, role: str) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (layer, states), one layer in memory at a time."""
        for layer in self.layers:
            yield layer, self.read(role=role, layer=layer)


def take_rows(
    states: Activations, ids: Sequence[str]
) -> tuple[list[str], list[dict[str, Any]], dict[str, np.ndarray], list[Failure]]:
    """Read all that there is of some samples.

    Args:
        states: Where from.
        ids: Some of its ids.

    Returns:
        Ids, values of columns, and tensors (rows, d) of the samples whose states are all finite; and the others.
    """
    rows = np.searchsorted(states.ids, ids)
    tensors = {}
    lost: dict[int, str] = {}
    for layer, role in states.parts:
        values = states.read(role=role, layer=layer, rows=rows)
        tensors[tensor_name(role, layer)] = values
        for row in np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist():
            lost.setdefault(row, f"{role} at layer {layer} has values that are not finite")
    kept = [row for row in range(len(ids)) if row not in lost]
    columns = [{name: values[rows[row]].item() for name, values in states.columns.items()} for row in kept]
    failures = [Failure(id=ids[row], stage="import", message=message) for row, message in sorted(lost.items())]
    return [ids[row] for row in kept], columns, {name: values[kept] for name, values in tensors.items()}, failures
