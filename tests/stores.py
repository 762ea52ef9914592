"""Small stores with known content."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pid_jax.store import NORM, ActivationStore, Failure, Manifest, tensor_name

TENSORS = (tensor_name("image", 0), tensor_name("image", 1), tensor_name("last", NORM))
IDS = tuple(f"{i * 7 % 10:02d}" for i in range(10))  # not in order
WIDTH = 3


def manifest(**changes: Any) -> Manifest:
    fields = {"ids": IDS, "shard_size": 4, "tensors": TENSORS, "condition": {"name": "baseline"}, "settings": {"a": 1}}
    return Manifest(**fields | changes)


def states(sample: str, name: str) -> np.ndarray:
    """Values of one sample that no other sample and tensor has."""
    return np.full(WIDTH, int(sample) + TENSORS.index(name) / 10, np.float32)


def layer_of(name: str) -> dict[str, Any]:
    """Arguments of `read` for a tensor."""
    prefix, role = name.split("/")
    return {"role": role, "layer": prefix if prefix == NORM else int(prefix)}


def read_all(store: ActivationStore) -> dict[str, np.ndarray]:
    return {name: store.read(**layer_of(name)) for name in store.manifest.tensors}


def columns(sample: str) -> dict[str, Any]:
    return {"task": "t", "correct": sample < "05"}


def write(
    store: ActivationStore,
    index: int,
    failed: Sequence[str] = (),
    dtype: type[np.floating] = np.float32,
    versions: dict[str, str] | None = None,
) -> None:
    ids = [i for i in store.shard_ids(index) if i not in failed]
    names = store.manifest.tensors
    tensors = {name: np.stack([states(i, name) for i in ids]).astype(dtype) for name in names} if ids else {}
    failures = [Failure(id=i, stage="image", message="gone") for i in store.shard_ids(index) if i in failed]
    store.write_shard(index, ids, [columns(i) for i in ids], tensors, failures, versions)


def fill(path: Any, made: Manifest | None = None, failed: Sequence[str] = (), only: Sequence[int] | None = None):
    """Make a store and write its missing shards, or `only` some, and open it again."""
    store = ActivationStore.create(path, manifest() if made is None else made)
    for index in store.missing_shards() if only is None else only:
        write(store, index, failed)
    return ActivationStore.open(path)
