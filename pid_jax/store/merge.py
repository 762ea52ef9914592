"""One store from several: parts of one extraction, made on several machines."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pid_jax.runtime.progress import Progress, no_progress
from pid_jax.store.manifest import describe_differences
from pid_jax.store.readout import READOUT, has_readout, read_readout
from pid_jax.store.shard import ShardHeader, StoreError, read_whole, shard_name
from pid_jax.store.store import ActivationStore


def merge_stores(paths: Sequence[str | Path], out: str | Path, *, progress: Progress = no_progress) -> ActivationStore:
    """Make one store from several with equal manifests, in which machines made some of the shards each.

    Shards are copied byte by byte. Every byte is checked on the way, and one shard is in memory at a time. A merge that
    was killed resumes when it is called again. The model's readout is copied from a store that has it.

    Args:
        paths: The stores: local paths or URLs.
        out: Where the result goes.
        progress: Called with shards done and all there are.

    Returns:
        The merged store. It lacks the shards that all the others lack.

    Raises:
        StoreError: If manifests differ, two stores have different versions of a shard, or one is damaged.
    """
    if not paths:
        raise ValueError("paths is empty: give the stores to merge.")
    stores = [ActivationStore.open(path) for path in paths]
    for store in stores:
        _check_manifest(stores[0], store)
    manifest = replace(stores[0].manifest, evidence=_common_evidence(stores))
    holders: dict[int, list[ActivationStore]] = {}
    for store in stores:
        for index in store.present_shards():
            holders.setdefault(index, []).append(store)
    for index, having in sorted(holders.items()):
        _check_equal(index, having)
    merged = ActivationStore.create(out, manifest)
    _check_manifest(stores[0], merged)
    missing = [index for index in merged.missing_shards() if index in holders]
    for index in sorted(set(holders) - set(missing)):  # there before: of this merge, or of another
        read_whole(merged.folder, shard_name(index))
        _check_equal(index, [*holders[index], merged])
    for done, index in enumerate(missing):
        progress(done, len(missing))
        content = read_whole(holders[index][0].folder, shard_name(index))[1]
        merged.folder.write(shard_name(index), [content.data])
    for store in [store for store in stores if has_readout(store.folder)][:1]:
        read_readout(store.folder, manifest.digest)
        merged.folder.write(READOUT, [store.folder.read(READOUT).data])
    progress(len(missing), len(missing))
    return merged


def _check_manifest(first: ActivationStore, other: ActivationStore) -> None:
    if first.manifest.digest != other.manifest.digest:
        contents = first.manifest.content, other.manifest.content
        different = describe_differences(*contents, ("in the first", "in the second"))
        raise StoreError(
            f"{first.path} and {other.path} are not parts of one extraction ({different}): merge stores with the same "
            "samples and settings."
        )


def _check_equal(index: int, stores: Sequence[ActivationStore]) -> None:
    """Refuse a shard that belongs elsewhere, and two that differ in more than the versions of packages."""
    headers = [store.header(index) for store in stores]
    for store, header in zip(stores, headers, strict=True):
        if _content(header) != _content(headers[0]):
            raise StoreError(
                f"Shards {stores[0].shard_path(index)} and {store.shard_path(index)} were made with equal settings and "
                "differ, perhaps since the hardware did or a sample failed in one: delete the one that you trust less."
            )


def _content(header: ShardHeader) -> tuple[object, ...]:
    return header.ids, header.columns, header.failures, header.digests


def _common_evidence(stores: Sequence[ActivationStore]) -> Mapping[str, Any]:
    """Return the evidence of all stores, once if it is the same."""
    evidence = [dict(store.manifest.evidence) for store in stores]
    return evidence[0] if all(one == evidence[0] for one in evidence) else {"merged": evidence}
