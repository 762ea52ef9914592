"""One shard of an activation store: a safetensors file with its ids, columns and checksums in the header."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pid_jax.atomic import atomic_write

# One entry, checksum and text: the order of several would differ from file to file.
_KEY = "pid_jax.shard"


class StoreError(ValueError):
    """A store that cannot be used as it is; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A sample that could not be extracted.

    Attributes:
        id: Its id.
        stage: Where it failed: image, prompt, states, ...
        message: Why.
    """

    id: str
    stage: str
    message: str


@dataclass(frozen=True, kw_only=True)
class ShardHeader:
    """What a shard says about itself.

    Attributes:
        ids: Ids of the rows, in the order of the rows.
        columns: One mapping a row: task, answers, counts.
        failures: Samples of this shard that have no row.
        sha256: Checksum of every tensor.
    """

    ids: tuple[str, ...]
    columns: tuple[Mapping[str, Any], ...]
    failures: tuple[Failure, ...]
    sha256: Mapping[str, str]


def write_shard(
    path: Path,
    ids: Sequence[str],
    columns: Sequence[Mapping[str, Any]],
    tensors: Mapping[str, np.ndarray],
    failures: Sequence[Failure] = (),
) -> None:
    """Write one shard, whole or not at all.

    Args:
        path: The file.
        ids: One id a row.
        columns: One mapping a row, JSON-ready.
        tensors: Arrays (rows, d) by name.
        failures: Samples without a row.

    Raises:
        ValueError: If the numbers of rows differ.
    """
    rows = {"columns": len(columns)} | {name: len(array) for name, array in tensors.items()}
    for name, count in rows.items():
        if count != len(ids):
            raise ValueError(f"{name} has {count} rows for {len(ids)} ids of shard {path.name}; give one row an id.")
    contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    body = json.dumps(
        {
            "ids": list(ids),
            "columns": [dict(row) for row in columns],
            "failures": [vars(failure) for failure in failures],
            "sha256": {name: _digest(array) for name, array in contiguous.items()},
        },
        ensure_ascii=False,
    )
    with atomic_write(path) as temporary:
        save_file(contiguous, temporary, metadata={_KEY: f"{_digest(body.encode())} {body}"})


def read_header(path: Path) -> ShardHeader:
    """Read and check the header of a shard.

    Raises:
        StoreError: If the file is truncated, changed or no shard.
    """
    with _opened(path) as opened:
        metadata = opened.metadata() or {}
        names = set(opened.keys())
    digest, _, body = metadata.get(_KEY, "").partition(" ")
    if _digest(body.encode()) != digest:
        raise _damaged(path, "its header does not fit its checksum")
    fields = json.loads(body)
    if names != set(fields["sha256"]):
        raise _damaged(path, "its tensors are not those its header lists")
    return ShardHeader(
        ids=tuple(fields["ids"]),
        columns=tuple(fields["columns"]),
        failures=tuple(Failure(**failure) for failure in fields["failures"]),
        sha256=fields["sha256"],
    )


def read_tensor(path: Path, name: str, sha256: str) -> np.ndarray:
    """Read one tensor, only its bytes, and check them.

    Raises:
        StoreError: If the bytes changed since they were written.
    """
    with _opened(path) as opened:
        try:
            array = opened.get_tensor(name)
        except SafetensorError as error:
            raise _damaged(path, str(error)) from error
    if _digest(array) != sha256:
        raise _damaged(path, f"the bytes of {name} do not fit their checksum")
    return array


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="numpy")
    except (SafetensorError, OSError) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> StoreError:
    return StoreError(
        f"Shard {path} is damaged ({why}). Delete this file and run the same extraction again: it makes this shard "
        "anew and keeps all others."
    )


def _digest(data: bytes | np.ndarray) -> str:
    """Hash bytes, or an array with its type and shape."""
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    hashed = hashlib.sha256(f"{data.dtype.str} {data.shape}".encode())
    hashed.update(data.data.cast("B"))
    return hashed.hexdigest()
