"""Arrays of a zarr store, read slice by slice."""

from pathlib import Path
from typing import Any

from pid_jax.store.formats.array import FormatError, LazyArray, reading

# What a folder holds if it is a zarr store, of version 3 or 2.
MARKS = ("zarr.json", ".zgroup", ".zarray")


def is_zarr(path: Path) -> bool:
    """Return whether a folder is a zarr store."""
    return path.is_dir() and any((path / mark).is_file() for mark in MARKS)


def open_zarr(path: Path) -> dict[str, LazyArray]:
    """Open the arrays of all groups; names have slashes.

    Raises:
        FormatError: If it is damaged, or zarr is missing.
    """
    try:
        import zarr
    except ModuleNotFoundError:
        raise FormatError(f"{path} is a zarr store, and the package zarr is missing: run `pip install zarr`.") from None
    opened = reading(str(path), lambda: zarr.open(str(path), mode="r"), "write it again with zarr")
    return reading(str(path), lambda: dict(_walk(path, opened, "")), "write it again with zarr")


def _walk(path: Path, item: Any, name: str) -> list[tuple[str, LazyArray]]:
    if hasattr(item, "members"):
        return [one for key, part in item.members() for one in _walk(path, part, f"{name}/{key}" if name else key)]
    where = f"{path}/{name}" if name else str(path)
    return [(name, LazyArray(where=where, shape=tuple(item.shape), dtype=item.dtype, load=item.__getitem__))]
