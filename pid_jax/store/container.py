"""The safetensors container, written and read here so that every byte of a file is covered by a checksum.

A file is the length of the header (8 bytes, little endian), the header (JSON), and the tensors one after the other. The
header starts with one entry of text in "__metadata__"; the first characters of that text are the checksum of length
and header with zeros in place of these characters. Any reader of safetensors can read such a file.

Source: the format as https://github.com/huggingface/safetensors describes it.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash

DIGEST_LENGTH = 32
LENGTH_BYTES = 8
_ALIGNMENT = 64
_NAMES = {"<f2": "F16", "<f4": "F32", "<f8": "F64"}
_TYPES = {name: np.dtype(code) for code, name in _NAMES.items()}


class ContainerError(ValueError):
    """Bytes that are not what was written."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a tensor stands in its file.

    Attributes:
        dtype: Type of its values.
        shape: Its shape.
        start: First byte, from the start of the file.
        stop: One after its last byte.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    start: int
    stop: int


def digest(data: bytes | memoryview) -> str:
    """Hash bytes by XXH3-128, as hexadecimal digits: what notices damage, not forgery (decision 0018)."""
    return xxhash.xxh3_128_hexdigest(data)


def normalize(array: np.ndarray) -> np.ndarray:
    """Bring an array into the form that is written: contiguous, little endian.

    Raises:
        ValueError: If its type cannot be stored.
    """
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    if array.dtype.str not in _NAMES:
        raise ValueError(f"dtype must be float16, float32 or float64, got {array.dtype}: convert it.")
    return array


def arrange(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Order names so that every tensor is aligned: wide types first, then by name."""
    return sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))


def encode_header(key: str, text: str, arrays: Mapping[str, np.ndarray]) -> bytes:
    """Write length and header of a file.

    Args:
        key: Name of the entry of text.
        text: The entry.
        arrays: The tensors, normalized.

    Returns:
        What stands before the tensors, which follow in the order of `arrange`.
    """
    entries: dict[str, Any] = {"__metadata__": {key: "0" * DIGEST_LENGTH + text}}
    end = 0
    for name in arrange(arrays):
        array, start = arrays[name], end
        end += array.nbytes
        entries[name] = {"dtype": _NAMES[array.dtype.str], "shape": array.shape, "data_offsets": [start, end]}
    header = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    header += b" " * (-(len(header) + LENGTH_BYTES) % _ALIGNMENT)
    content = len(header).to_bytes(LENGTH_BYTES, "little") + header
    at = LENGTH_BYTES + len(_opening(key))
    return content[:at] + digest(content).encode() + content[at + DIGEST_LENGTH :]


def header_size(first: bytes | np.ndarray) -> int:
    """Read from the first 8 bytes of a file how many stand before its tensors."""
    if len(first) < LENGTH_BYTES:
        raise ContainerError("it is truncated")
    return LENGTH_BYTES + int.from_bytes(bytes(first[:LENGTH_BYTES]), "little")


def decode_header(key: str, content: bytes, size: int) -> tuple[str, str, dict[str, Place]]:
    """Read and check length and header of a file.

    Args:
        key: Name of the entry of text.
        content: What stands before the tensors.
        size: Bytes of the whole file.

    Returns:
        The checksum, the entry of text, and the place of every tensor.

    Raises:
        ContainerError: If anything in `content` or `size` is not as it was written.
    """
    found = _checked_digest(key, content)
    entries = json.loads(content[LENGTH_BYTES:])
    text = entries.pop("__metadata__")[key]
    return found, text[DIGEST_LENGTH:], _places(entries, len(content), size)


def decode_places(key: str, content: bytes, size: int) -> tuple[bytes, dict[str, Place]]:
    """Read and check what `decode_header` does, and leave the entry of text as it is written: JSON inside JSON.

    Returns:
        The entry of text, escaped, and the place of every tensor.

    Raises:
        ContainerError: As `decode_header`.
    """
    _checked_digest(key, content)
    end = content.rfind(b'"},"')  # every quote inside the text has a backslash before it, and entries end with numbers
    entries = json.loads(b"{" + content[end + 3 :]) if end >= 0 else {}
    text = content[LENGTH_BYTES + len(_opening(key)) + DIGEST_LENGTH : end if end >= 0 else content.rfind(b'"')]
    return text, _places(entries, len(content), size)


def _checked_digest(key: str, content: bytes) -> str:
    opening = _opening(key)
    at = LENGTH_BYTES + len(opening)
    told = content[at : at + DIGEST_LENGTH]
    found = digest(content[:at] + b"0" * DIGEST_LENGTH + content[at + DIGEST_LENGTH :])
    if content[LENGTH_BYTES:at] != opening or told != found.encode():
        raise ContainerError("its header does not fit its checksum")
    return found


def _places(entries: Mapping[str, Any], base: int, size: int) -> dict[str, Place]:
    """Read where tensors stand, and check that they follow one another to the end of the file."""
    places = {name: _place(entry, base) for name, entry in entries.items()}
    end = base
    for place in places.values():
        if place.start != end or place.stop - end != math.prod(place.shape) * place.dtype.itemsize:
            raise ContainerError("its tensors do not follow one another")
        end = place.stop
    if end != size:
        raise ContainerError(f"it has {size} bytes, and its header says {end}")
    return places


def _place(entry: Mapping[str, Any], base: int) -> Place:
    start, stop = (base + offset for offset in entry["data_offsets"])
    if entry["dtype"] not in _TYPES:
        raise ContainerError(f"it holds values of type {entry['dtype']}")
    return Place(dtype=_TYPES[entry["dtype"]], shape=tuple(entry["shape"]), start=start, stop=stop)


def _opening(key: str) -> bytes:
    """Return how the JSON of every header begins, up to the checksum."""
    return f'{{"__metadata__":{{"{key}":"'.encode()
