"""One store from several: of the same samples, made on several machines, or of different samples."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pid_jax.runtime.progress import Progress, no_progress
from pid_jax.store.manifest import Manifest, describe_differences
from pid_jax.store.readout_file import has_readout, join_readouts, read_readout, write_readout
from pid_jax.store.shard import Failure, StoreError, read_tensor, read_whole, shard_name
from pid_jax.store.store import ActivationStore

# How samples were chosen; what a merged store has where the choices differ, since it was chosen in no single way.
_CHOICE: Mapping[str, Any] = {"tasks": None, "per_task": None, "limit": None, "one_per_image": False, "seed": 0}
_DATA_DIGEST = "data_sha256"
_DATA_MODULUS = 2**256


def merge_stores(paths: Sequence[str | Path], out: str | Path, *, progress: Progress = no_progress) -> ActivationStore:
    """Make one store from several.

    Stores with equal manifests, in which machines made some of the shards each, become one with all their shards,
    copied byte by byte. Stores of different samples that are alike otherwise become one with the samples of all, in
    shards of the first store's size. Every byte is checked on the way, and one shard is in memory at a time. A merge
    that was killed goes on where it stopped when it is called again. The readouts of the model become one, with the
    candidate answers of all: of stores with different samples only where each has one.

    Args:
        paths: The stores: local paths or URLs.
        out: Where the result goes.
        progress: Called with shards done and all there are.

    Returns:
        The merged store. With equal manifests it lacks the shards that all the others lack.

    Raises:
        StoreError: If the stores do not belong together, or one is damaged or, with other samples, not complete.
    """
    if not paths:
        raise ValueError("paths is empty: give the stores to merge.")
    stores = [ActivationStore.open(path) for path in paths]
    if all(store.manifest.digest == stores[0].manifest.digest for store in stores):
        return _unite(stores, out, progress)
    return _join(stores, out, progress)


def _unite(stores: Sequence[ActivationStore], out: str | Path, progress: Progress) -> ActivationStore:
    """Copy the shards of stores with equal manifests."""
    manifest = replace(stores[0].manifest, evidence=_common_evidence(stores))
    holders: dict[int, list[ActivationStore]] = {}
    for store in stores:
        for index in sorted(set(range(manifest.shard_count)) - set(store.missing_shards())):
            holders.setdefault(index, []).append(store)
    for index, having in sorted(holders.items()):
        _check_equal(index, having)
    merged = ActivationStore.create(out, manifest)
    missing = [index for index in merged.missing_shards() if index in holders]
    for index in sorted(set(holders) - set(missing)):  # there before: of this merge, or of another
        read_whole(merged.folder, shard_name(index))
        _check_equal(index, [*holders[index], merged])
    for done, index in enumerate(missing):
        progress(done, len(missing))
        content = read_whole(holders[index][0].folder, shard_name(index))[1]
        merged.folder.write(shard_name(index), [content.data])
    _join_readouts([store for store in stores if has_readout(store.folder)], merged)
    progress(len(missing), len(missing))
    return merged


def _check_equal(index: int, stores: Sequence[ActivationStore]) -> None:
    """Refuse a shard that belongs elsewhere, and two versions of one."""
    headers = [store.header(index) for store in stores]
    for store, header in zip(stores, headers, strict=True):
        if header.digest != headers[0].digest:
            raise StoreError(
                f"Shards {stores[0].shard_path(index)} and {store.shard_path(index)} were made with equal settings and "
                "differ, perhaps since the hardware did or a sample failed in one: delete the one that you trust less."
            )


def _join(stores: Sequence[ActivationStore], out: str | Path, progress: Progress) -> ActivationStore:
    """Write the rows of stores with different samples into shards anew."""
    manifest = _joined_manifest(stores)
    for store in stores:
        if not store.is_complete:
            raise StoreError(
                f"{store.path} is not complete, and only complete stores of different samples can be merged: run its "
                "extraction again, it goes on where it stopped."
            )
    source = _Source(stores)
    _check_shapes(stores)
    merged = ActivationStore.create(out, manifest)
    missing = merged.missing_shards()
    for index in sorted(set(range(manifest.shard_count)) - set(missing)):
        merged.header(index)
        read_whole(merged.folder, shard_name(index))
    for done, index in enumerate(missing):
        progress(done, len(missing))
        ids = merged.shard_ids(index)
        rows = [i for i in ids if i not in source.failures]
        tensors = {name: source.states(rows, name) for name in manifest.tensors} if rows else {}
        failures = [source.failures[i] for i in ids if i in source.failures]
        merged.write_shard(index, rows, [source.columns[i] for i in rows], tensors, failures)
    _join_readouts(stores if all(has_readout(store.folder) for store in stores) else [], merged)
    progress(len(missing), len(missing))
    return merged


def _join_readouts(stores: Sequence[ActivationStore], merged: ActivationStore) -> None:
    """Give the merged store the readout of stores that have one."""
    if stores:
        readouts = [read_readout(store.folder, store.manifest.digest) for store in stores]
        write_readout(merged.folder, join_readouts(readouts), merged.manifest.digest)


class _Source:
    """Rows of several complete stores, by id."""

    def __init__(self, stores: Sequence[ActivationStore]) -> None:
        self._stores = stores
        self._places: dict[str, tuple[int, int, int]] = {}
        self.columns: dict[str, Mapping[str, Any]] = {}
        self.failures: dict[str, Failure] = {}
        for number, store in enumerate(stores):
            self.failures |= {failure.id: failure for failure in store.failures}
            for index, header in store.headers.items():
                self._places |= {one: (number, index, row) for row, one in enumerate(header.ids)}
                self.columns |= dict(zip(header.ids, header.columns, strict=True))

    def states(self, ids: Sequence[str], tensor: str) -> np.ndarray:
        """Read rows of one tensor (ids, d) from the shards that hold them."""
        places = [self._places[one] for one in ids]
        parts: dict[tuple[int, int], np.ndarray] = {}
        for number, index, _ in places:
            if (number, index) not in parts:
                store = self._stores[number]
                parts[number, index] = read_tensor(store.folder, shard_name(index), store.headers[index], tensor)
        dtype = np.result_type(*(part.dtype for part in parts.values()))
        return np.stack([parts[number, index][row] for number, index, row in places], dtype=dtype)


def _joined_manifest(stores: Sequence[ActivationStore]) -> Manifest:
    first = stores[0]
    settings = dict(first.manifest.settings)
    for store in stores[1:]:
        _check_alike(first, store)
    _check_disjoint(stores)
    if "data" in settings:
        settings["data"] = _common_data(stores)
    if _DATA_DIGEST in settings:
        total = sum(_number(store) for store in stores) % _DATA_MODULUS
        settings[_DATA_DIGEST] = f"{total:064x}"
    ids = tuple(one for store in stores for one in store.manifest.ids)
    return replace(first.manifest, ids=ids, settings=settings, evidence=_common_evidence(stores))


def _check_alike(first: ActivationStore, other: ActivationStore) -> None:
    """Refuse stores that differ in more than their samples."""
    contents = []
    for store in (first, other):
        content = {name: value for name, value in store.manifest.content.items() if name not in ("ids", "shard_size")}
        settings = content["settings"].items()
        of_samples = ("data", _DATA_DIGEST)
        contents.append(content | {"settings": {n: "given" if n in of_samples else value for n, value in settings}})
    if different := describe_differences(contents[0], contents[1], ("in the first", "in the second")):
        raise StoreError(
            f"{first.path} and {other.path} were not made alike ({different}): merge stores that differ in their "
            "samples only."
        )


def _check_disjoint(stores: Sequence[ActivationStore]) -> None:
    owner: dict[str, ActivationStore] = {}
    for store in stores:
        for one in store.manifest.ids:
            if one in owner:
                raise StoreError(
                    f"Sample {one!r} stands in {owner[one].path} and in {store.path}, whose manifests differ: extract "
                    "every sample once. Stores with equal manifests are merged by a call of their own."
                )
        owner |= dict.fromkeys(store.manifest.ids, store)


def _check_shapes(stores: Sequence[ActivationStore]) -> None:
    """Refuse stores whose rows have other columns or widths."""
    first: tuple[ActivationStore, object] | None = None
    for store in stores:
        for header in store.headers.values():
            if not header.ids:
                continue
            widths = {name: place.shape[1] for name, place in header.places.items()}
            shape = (sorted(set().union(*header.columns)), widths)
            if first is None:
                first = store, shape
            elif shape != first[1]:
                raise StoreError(
                    f"{first[0].path} and {store.path} have rows of other columns or widths: merge stores of one model "
                    "and one version."
                )


def _common_data(stores: Sequence[ActivationStore]) -> dict[str, Any]:
    """Keep what agrees of how data were chosen; a choice that differs becomes none."""
    data = [dict(store.manifest.settings["data"]) for store in stores]
    common = dict(data[0])
    for store, other in zip(stores[1:], data[1:], strict=True):
        for name in sorted({*data[0], *other}):
            if name in data[0] and name in other and data[0][name] == other[name]:
                continue
            if name not in _CHOICE:
                raise StoreError(
                    f"{store.path} has settings.data.{name} = {other.get(name)!r}, {stores[0].path} has "
                    f"{data[0].get(name)!r}: merge stores that were made from the same data."
                )
            common[name] = _CHOICE[name]
    return common | {name: _CHOICE[name] for name in ("limit", "per_task") if name in common}  # the sum exceeds them


def _common_evidence(stores: Sequence[ActivationStore]) -> Mapping[str, Any]:
    """Return the evidence of all stores, once if it is the same."""
    evidence = [dict(store.manifest.evidence) for store in stores]
    return evidence[0] if all(one == evidence[0] for one in evidence) else {"merged": evidence}


def _number(store: ActivationStore) -> int:
    value = store.manifest.settings[_DATA_DIGEST]
    try:
        return int(value, 16)
    except (TypeError, ValueError):
        raise StoreError(f"{store.path} has {_DATA_DIGEST} = {value!r}, which is no hexadecimal number.") from None
