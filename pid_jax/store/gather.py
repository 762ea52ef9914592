"""Rows of one tensor, collected from all shards in the order wanted."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from pid_jax.store.folder import Folder, join_path
from pid_jax.store.shard import ShardHeader, StoreError, read_tensor, shard_name


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
