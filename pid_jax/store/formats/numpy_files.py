"""Arrays of NumPy: .npy, which is mapped into memory, and .npz. Nothing is unpickled."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from pid_jax.store.formats.array import FormatError, LazyArray, reading, unusable

_PICKLED = ("Object arrays", "objects")
_OBJECTS = "holds Python objects, wanted numbers: save it after .astype(float)"
# What NumPy makes of bfloat16 in a file: two bytes of no known type.
_TWO_BYTES = np.dtype("V2")


def open_npy(path: Path) -> dict[str, LazyArray]:
    """Open one array; its name is empty, as it is that of the file."""
    mapped = reading(str(path), lambda: _refuse_objects(path, _load(path)), "write it again with numpy.save")
    return {"": _lazy(str(path), mapped.shape, mapped.dtype, mapped.__getitem__)}


def open_npz(path: Path) -> dict[str, LazyArray]:
    """Open an archive; a member is read whole when a part of it is wanted, and let go."""
    remedy = "write it again with numpy.savez"
    if not zipfile.is_zipfile(path):
        raise FormatError(f"{path} is no .npz archive: {remedy}.")
    return reading(str(path), lambda: _members(path), remedy)


def _load(path: Path) -> np.ndarray:
    if not path.stat().st_size:
        raise ValueError("it is empty")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        if not any(sign in str(error) for sign in _PICKLED):
            raise
        raise FormatError(f"{path} {_OBJECTS}.") from error


def _refuse_objects(path: Path, loaded: Any) -> np.ndarray:
    if not isinstance(loaded, np.ndarray):
        raise FormatError(f"{path} is an archive of several arrays, wanted one: give it the ending .npz.")
    return loaded


def _members(path: Path) -> dict[str, LazyArray]:
    found = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            name = member.removesuffix(".npy")
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                shape, _, dtype = _header(file, version)
            where = f"{path}/{name}"
            lazy = _lazy(where, shape, dtype, lambda index, name=name: _member(path, name)[index])
            found[name] = unusable(where, _OBJECTS) if dtype.hasobject else lazy
    return found


def _header(file: Any, version: tuple[int, int]) -> tuple[tuple[int, ...], bool, np.dtype]:
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)


def _member(path: Path, name: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as archive:
        return archive[name]


def _lazy(where: str, shape: tuple[int, ...], dtype: np.dtype, load: Any) -> LazyArray:
    if dtype != _TWO_BYTES:
        return LazyArray(where=where, shape=shape, dtype=dtype, load=load)
    from ml_dtypes import bfloat16

    kind = np.dtype(bfloat16)
    return LazyArray(where=where, shape=shape, dtype=kind, load=lambda index: np.asarray(load(index)).view(kind))
