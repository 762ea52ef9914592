"""Tensors of a safetensors file, read slice by slice."""

from pathlib import Path
from typing import Any

import numpy as np

from pid_jax.store.formats.array import LazyArray, reading, unusable

_TYPES = {
    **{"F64": "f8", "F32": "f4", "F16": "f2", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1"},
    **{"U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1", "BOOL": "?"},
}


def open_safetensors(path: Path) -> dict[str, LazyArray]:
    """Open the tensors of a file."""
    return reading(str(path), lambda: _tensors(path), "write it again with safetensors")


def _tensors(path: Path) -> dict[str, LazyArray]:
    from safetensors import safe_open

    opened: Any = safe_open(path, framework="numpy")
    with opened as file:
        parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
        return {name: _lazy(path, name, part) for name, part in parts.items()}


def _lazy(path: Path, name: str, part: Any) -> LazyArray:
    where, kind = f"{path}/{name}", part.get_dtype()
    if kind not in _TYPES and kind != "BF16":
        return unusable(where, f"has values of type {kind}, which is not read: convert it to float32")
    shape = tuple(part.get_shape())
    return LazyArray(where=where, shape=shape, dtype=_dtype(kind), load=lambda index: _read(path, name, index))


def _read(path: Path, name: str, index: tuple[int | slice, ...]) -> np.ndarray:
    from safetensors import safe_open

    opened: Any = safe_open(path, framework="numpy")
    with opened as file:
        # Whole numbers drop their axis here as in NumPy; slices are read alone.
        return file.get_slice(name)[index] if index else file.get_tensor(name)


def _dtype(name: str) -> np.dtype:
    if name == "BF16":
        from ml_dtypes import bfloat16

        return np.dtype(bfloat16)
    return np.dtype(_TYPES[name])
