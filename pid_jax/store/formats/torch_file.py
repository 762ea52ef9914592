"""Tensors of PyTorch files, loaded as weights only: no code of a file is ever run."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pid_jax.store.formats.array import FormatError, LazyArray, from_memory, reading

_REMEDY = (
    "save a tensor or a dict of tensors by torch.save, such as {name: tensor.cpu()} or cache.cache_dict of "
    "TransformerLens"
)


def open_torch(path: Path) -> dict[str, LazyArray]:
    """Open a tensor, or all tensors in dicts, lists and tuples, whose names are joined by slashes.

    The file is mapped into memory where its format allows.

    Raises:
        FormatError: If it holds anything but tensors, numbers and texts, or PyTorch is missing.
    """
    found = reading(str(path), lambda: _load(path), _REMEDY)
    arrays = {}
    for name, value in _walk(found):
        where = f"{path}/{name}" if name else str(path)
        arrays[name] = from_memory(where, value)
    return arrays


def read_tensor_bytes(where: str, content: bytes) -> Any:
    """Read what torch.save wrote into a database.

    Raises:
        FormatError: If it is no tensor, or PyTorch is missing.
    """
    torch = _torch(where)
    load = lambda: torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")  # noqa: E731
    return reading(where, load, _REMEDY)


def _load(path: Path) -> Any:
    torch = _torch(str(path))
    try:
        return torch.load(path, weights_only=True, map_location="cpu", mmap=True)
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        return torch.load(path, weights_only=True, map_location="cpu")  # the format before zip files


def _torch(where: str) -> Any:
    try:
        import torch
    except ModuleNotFoundError:
        raise FormatError(f"{where} is a file of PyTorch, which is missing: run `pip install torch`.") from None
    return torch


def _walk(value: Any, name: str = "") -> list[tuple[str, Any]]:
    """Find all tensors; other values, such as the settings of a run, are left out."""
    if hasattr(value, "detach"):
        return [(name, value)]
    if isinstance(value, Mapping):
        parts: Sequence[tuple[Any, Any]] = list(value.items())
    elif isinstance(value, list | tuple):
        parts = list(enumerate(value))
    else:
        return []
    return [found for key, one in parts for found in _walk(one, f"{name}/{key}" if name else str(key))]
