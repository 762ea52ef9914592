"""Shards that belong to a manifest: checked, read, and their rows collected."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from pid_jax.store.folder import Folder, join_path
from pid_jax.store.manifest import Manifest
from pid_jax.store.readout import READOUT, read_readout
from pid_jax.store.shard import ShardBrief, ShardHeader, StoreError, read_brief, read_header, read_tensor, shard_name

_OTHER_STORE = "it belongs to another store, which has another manifest"
_OTHER_TENSORS = "it does not hold the tensors that the manifest lists"


def read_own_header(folder: Folder, manifest: Manifest, index: int) -> ShardHeader:
    """Read the header of a shard, and refuse what is whole, but not the shard that belongs here.

    Raises:
        StoreError: If it is damaged, or the shard of another place or store.
    """
    return _own(folder, manifest, index, read_header(folder, shard_name(index)))


def read_own_brief(folder: Folder, manifest: Manifest, index: int) -> ShardBrief:
    """Read what `read_own_header` reads, less ids and columns.

    A shard that belongs to the manifest holds the ids of its place and no others, so that the first tells where it
    belongs.

    Raises:
        StoreError: If it is damaged, or the shard of another place or store.
    """
    brief = read_brief(folder, shard_name(index))
    if brief.manifest != manifest.digest:
        problem = _OTHER_STORE
    elif set(brief.places) != set(manifest.tensors if brief.rows else ()):
        problem = _OTHER_TENSORS
    elif brief.rows and not any(brief.starts_with(sample) for sample in manifest.shard_ids(index)):
        problem = f"shard {index} does not hold the ids that the manifest gives it"
    else:
        return brief
    raise _foreign(folder, index, problem)


def find_problems(folder: Folder, manifest: Manifest) -> list[str]:
    """Check every byte and every id of a store; return one line a problem, none if all is well."""
    there = folder.names()
    missing = [index for index in range(manifest.shard_count) if shard_name(index) not in there]
    found = {index: f"shard {index} is missing: run the same extraction again to make it" for index in missing}
    seen: dict[int, list[str]] = {}

    def check(index: int) -> None:
        try:
            header = read_header(folder, shard_name(index))
            seen[index] = header.all_ids
            for name in _own(folder, manifest, index, header).places:
                read_tensor(folder, shard_name(index), header, name)
        except StoreError as error:
            found[index] = str(error)

    folder.each(check, sorted(set(range(manifest.shard_count)) - set(missing)))
    ids = [i for one in seen.values() for i in one]
    double = len(ids) - len(set(ids))
    problems = [found[index] for index in sorted(found)]
    if double:
        problems.append(f"{double} ids stand in more than one place")
    if READOUT in there:
        try:
            read_readout(folder, manifest.digest)
        except StoreError as error:
            problems.append(str(error))
    return problems


def _own(folder: Folder, manifest: Manifest, index: int, header: ShardHeader) -> ShardHeader:
    if sorted(header.all_ids) != sorted(manifest.shard_ids(index)):
        problem = f"shard {index} does not hold the ids that the manifest gives it"
    elif header.manifest != manifest.digest:
        problem = _OTHER_STORE
    elif set(header.places) != set(manifest.tensors if header.ids else ()):
        problem = _OTHER_TENSORS
    else:
        return header
    raise _foreign(folder, index, problem)


def _foreign(folder: Folder, index: int, problem: str) -> StoreError:
    return StoreError(
        f"Shard {join_path(folder.path, shard_name(index))} is not the one that belongs here ({problem}). Delete this "
        "file and run the same extraction again."
    )


def gather_rows(folder: Folder, headers: Mapping[int, ShardHeader], tensor: str, wanted: np.ndarray) -> np.ndarray:
    """Read the rows of one tensor; every shard is mapped or fetched, checked, copied and let go.

    Args:
        folder: Where the shards are.
        headers: Headers of shards with rows, whose rows are numbered one after the other.
        tensor: Name of the tensor.
        wanted: Number of the row that goes into each place of the result.

    Returns:
        Rows (len(wanted), d), of the widest type that occurs in a shard.

    Raises:
        StoreError: If bytes were changed, or shards do not fit together.
    """
    width = _common_width(folder, headers, tensor)
    places = [header.places[tensor] for header in headers.values()]
    rows = np.empty((len(wanted), width), np.result_type(*(place.dtype for place in places)).newbyteorder("="))
    ends = np.cumsum([len(header.ids) for header in headers.values()])
    targets = np.argsort(wanted, kind="stable")
    limits = np.searchsorted(wanted[targets], [0, *ends])
    parts = {index: targets[a:b] for index, (a, b) in zip(headers, pairwise(limits), strict=True)}
    first_of = dict(zip(headers, [0, *ends[:-1]], strict=True))

    def copy(index: int) -> None:
        states = read_tensor(folder, shard_name(index), headers[index], tensor)
        own = wanted[parts[index]] - first_of[index]
        is_all = len(own) == len(states) and bool((np.diff(own) == 1).all())
        rows[parts[index]] = states if is_all else states[own]

    folder.each(copy, [index for index, part in parts.items() if len(part)])
    return rows


def _common_width(folder: Folder, headers: Mapping[int, ShardHeader], tensor: str) -> int:
    widths = {index: header.places[tensor].shape[1] for index, header in headers.items()}
    first = next(iter(widths.values()))
    for index, width in widths.items():
        if width != first:
            raise StoreError(
                f"Shard {join_path(folder.path, shard_name(index))} has {width} values a row in {tensor}, others have "
                f"{first}: it was made with another model. Delete it and run the same extraction again."
            )
    return first
