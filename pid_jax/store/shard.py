"""One shard of an activation store: a safetensors file with its ids, columns and checksums in the header."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pid_jax.store.container import (
    ContainerError,
    Place,
    arrange,
    decode_header,
    decode_places,
    digest,
    encode_header,
    header_size,
    normalize,
)
from pid_jax.store.folder import Folder, join_path

_KEY = "pid_jax.shard"
# Read at once where every read is a request; most headers are shorter.
_FIRST_READ = 1 << 16
# Bytes that are read at most for each one that is wanted, to have all by one read.
_LARGEST_DETOUR = 2


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
        manifest: Checksum of the manifest that the shard was made for.
        digests: Checksum of every tensor.
        versions: Versions of the packages that made it, by name; empty where it records none.
        places: Where every tensor stands in the file.
        digest: Checksum of this header, and through `digests` of the whole file.
        size: Bytes of the file.
    """

    ids: tuple[str, ...]
    columns: tuple[Mapping[str, Any], ...]
    failures: tuple[Failure, ...]
    manifest: str
    digests: Mapping[str, str]
    versions: Mapping[str, str]
    places: Mapping[str, Place]
    digest: str
    size: int

    @property
    def all_ids(self) -> list[str]:
        """Ids of rows and failures."""
        return [*self.ids, *(failure.id for failure in self.failures)]


@dataclass(frozen=True, kw_only=True)
class ShardBrief:
    """What has to be known of a shard to read its tensors.

    Attributes:
        text: Ids, columns and all else, as JSON inside JSON.
        rows: Number of rows.
        manifest: Checksum of the manifest that the shard was made for.
        digests: Checksum of every tensor.
        versions: Versions of the packages that made it, by name; empty where it records none.
        places: Where every tensor stands in the file.
    """

    text: bytes
    rows: int
    manifest: str
    digests: Mapping[str, str]
    versions: Mapping[str, str]
    places: Mapping[str, Place]

    def starts_with(self, sample: str) -> bool:
        """Whether the first row is that of the sample with this id."""
        written = '{"ids":[' + json.dumps(sample, ensure_ascii=False)
        return self.text.startswith(json.dumps(written, ensure_ascii=False)[1:-1].encode())


def shard_name(index: int) -> str:
    """Name the file of a shard."""
    return f"shard-{index:05d}.safetensors"


def write_shard(
    folder: Folder,
    name: str,
    ids: Sequence[str],
    columns: Sequence[Mapping[str, Any]],
    tensors: Mapping[str, Any],
    failures: Sequence[Failure] = (),
    *,
    manifest: str,
    versions: Mapping[str, str] | None = None,
) -> None:
    """Write one shard, whole or not at all.

    Args:
        folder: Where.
        name: Name of the file.
        ids: One id a row.
        columns: One mapping a row: what JSON has, and scalars of NumPy and PyTorch.
        tensors: Array-likes (rows, d) by name, float16 to float64; bfloat16 becomes float32.
        failures: Samples without a row.
        manifest: Checksum of the store's manifest.
        versions: Versions of the packages that made it, by name; not recorded if there are none.

    Raises:
        TypeError: If a column holds anything else, or an array no real numbers.
        ValueError: If the numbers of rows differ, or an array is of another form.
    """
    arrays = {key: _checked(key, array) for key, array in tensors.items()}
    rows = {"columns": len(columns)} | {key: len(array) for key, array in arrays.items()}
    for key, count in rows.items():
        if count != len(ids):
            raise ValueError(f"{key} has {count} rows for {len(ids)} ids of shard {name}; give one row an id.")
    order = arrange(arrays)
    body = {
        "ids": list(ids),
        "columns": [dict(row) for row in columns],
        "failures": [vars(failure) for failure in failures],
        "manifest": manifest,
        "digests": {key: digest(arrays[key].data) for key in order},
        **({"versions": dict(versions)} if versions else {}),
    }
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=_scalar)
    header = encode_header(_KEY, text, arrays)
    folder.write(name, (header, *(arrays[key].data for key in order)))


def check_rows(
    ids: Sequence[str], columns: Sequence[Mapping[str, Any]], failures: Sequence[Failure]
) -> tuple[list[str], list[Failure]]:
    """Return ids and failures as lists.

    Raises:
        TypeError: If one of them, or a row of `columns`, is of another type.
    """
    wanted = {
        "ids": (ids, str, "texts, one a row"),
        "columns": (columns, Mapping, "mappings, one a row, such as table.to_dict('records')"),
        "failures": (failures, Failure, "Failure(id=..., stage=..., message=...)"),
    }
    for name, (values, kind, what) in wanted.items():
        is_list = not isinstance(values, str | Mapping) and hasattr(values, "__len__") and hasattr(values, "__iter__")
        wrong = [value for value in values if not isinstance(value, kind)] if is_list else [values]
        if wrong:
            raise TypeError(f"{name} must be a list of {what}, got {type(wrong[0]).__name__}.")
    return [*ids], [*failures]


def read_header(folder: Folder, name: str) -> ShardHeader:
    """Read and check the header of a shard.

    Raises:
        StoreError: If the file is missing, truncated, changed or no shard.
    """
    try:
        content, size = _read_first_bytes(folder, name)
        found, text, places = decode_header(_KEY, content, size)
        fields = json.loads(text)
        return ShardHeader(
            ids=tuple(fields["ids"]),
            columns=tuple(fields["columns"]),
            failures=tuple(Failure(**failure) for failure in fields["failures"]),
            manifest=fields["manifest"],
            digests=fields["digests"],
            versions=fields.get("versions", {}),
            places=places,
            digest=found,
            size=size,
        )
    except (ValueError, KeyError, TypeError, OSError) as error:  # also for a file that another program made
        raise _refused(folder, name, error) from error


def read_brief(folder: Folder, name: str) -> ShardBrief:
    """Read and check the header of a shard, and leave its ids and columns unread: those of many rows take long.

    Raises:
        StoreError: If the file is missing, truncated, changed or no shard.
    """
    try:
        text, places = decode_places(_KEY, *_read_first_bytes(folder, name))
        last = text[text.rindex(rb",\"manifest\":\"") + 1 :].decode()
        fields = json.loads("{" + json.loads(f'"{last}"'))
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise _refused(folder, name, error) from error
    rows = next((place.shape[0] for place in places.values()), 0)
    return ShardBrief(
        text=text,
        rows=rows,
        manifest=fields["manifest"],
        digests=fields["digests"],
        versions=fields.get("versions", {}),
        places=places,
    )


def _read_first_bytes(folder: Folder, name: str) -> tuple[bytes, int]:
    """Read what stands before the tensors, and the size of the file."""
    size = folder.size(name)
    content = folder.read(name, 0, min(size, _FIRST_READ))
    length = header_size(content)
    if length > size:
        raise ContainerError("it is truncated, or its length was changed")
    return (content[:length] if length <= len(content) else folder.read(name, 0, length)).tobytes(), size


def read_tensor(folder: Folder, name: str, header: ShardHeader | ShardBrief, tensor: str) -> np.ndarray:
    """Read one tensor, only its bytes, and check them.

    Raises:
        StoreError: If the bytes changed since they were written.
    """
    place = header.places[tensor]
    try:
        content = folder.read(name, place.start, place.stop)
        return decode_tensor(content, header, tensor)
    except (ContainerError, OSError) as error:
        raise _refused(folder, name, error) from error


def read_tensors(
    folder: Folder, name: str, header: ShardHeader | ShardBrief, tensors: Collection[str]
) -> dict[str, np.ndarray]:
    """Read some tensors and check them, by one read where they are neighbors.

    Raises:
        StoreError: If the bytes changed since they were written.
    """
    places = [header.places[tensor] for tensor in tensors]
    start, stop = min(place.start for place in places), max(place.stop for place in places)
    if stop - start > _LARGEST_DETOUR * sum(place.stop - place.start for place in places):
        return {tensor: read_tensor(folder, name, header, tensor) for tensor in tensors}
    try:
        content = folder.read(name, start, stop)
        return {
            tensor: decode_tensor(content[place.start - start : place.stop - start], header, tensor)
            for tensor, place in zip(tensors, places, strict=True)
        }
    except (ContainerError, OSError) as error:
        raise _refused(folder, name, error) from error


def read_whole(folder: Folder, name: str) -> tuple[ShardHeader, np.ndarray]:
    """Read all bytes of a shard, and check them.

    Raises:
        StoreError: If any byte changed since it was written.
    """
    header = read_header(folder, name)
    try:
        content = folder.read(name)
        if decode_header(_KEY, content[: header_size(content)].tobytes(), len(content))[0] != header.digest:
            raise ContainerError("it was changed while it was read")
        for tensor, place in header.places.items():
            decode_tensor(content[place.start : place.stop], header, tensor)
    except (ContainerError, OSError) as error:
        raise _refused(folder, name, error) from error
    return header, content


def decode_tensor(content: np.ndarray, header: ShardHeader | ShardBrief, tensor: str) -> np.ndarray:
    """Check the bytes of one tensor, and give them type and shape.

    Raises:
        ContainerError: If they are not those that were written.
    """
    if digest(content.data) != header.digests[tensor]:
        raise ContainerError(f"the bytes of {tensor} do not fit their checksum")
    place = header.places[tensor]
    return content.view(place.dtype).reshape(place.shape)


def _checked(name: str, values: Any) -> np.ndarray:
    if type(values) is not np.ndarray or values.dtype.kind != "f":
        from pid_jax.runtime.arrays import to_numpy  # loads JAX, which who writes plain arrays can do without

        values = to_numpy(name, values)
    if values.ndim != 2 or not values.shape[1]:
        raise ValueError(f"{name} must have shape (rows, d) with d > 0, got {values.shape}.")
    if values.dtype.name == "bfloat16":  # of JAX; float32 holds all its values
        values = values.astype(np.float32)
    try:
        return normalize(values)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _scalar(value: Any) -> Any:
    """Return a scalar of NumPy, PyTorch or JAX as JSON has it."""
    if getattr(value, "shape", None) == ():
        return value.item()
    kind = type(value).__name__
    raise TypeError(f"columns must hold texts, numbers and truth values, got {value!r} ({kind}): convert it.")


def _refused(folder: Folder, name: str, error: Exception) -> StoreError:
    place = join_path(folder.path, name)
    if isinstance(error, FileNotFoundError):
        return StoreError(f"Shard {place} is missing: run the same extraction again to make it.")
    if isinstance(error, OSError):
        return StoreError(f"Shard {place} cannot be read ({error}): check the disk, the network and your permissions.")
    return StoreError(
        f"Shard {place} is damaged ({error}). If it was replaced since the store was opened, open that again. Else: "
        "Delete this file and run the same extraction again: it makes this shard anew and keeps all others."
    )
