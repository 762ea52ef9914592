"""Data sets of an HDF5 file, read slice by slice."""

from pathlib import Path
from typing import Any

import numpy as np

from pid_jax.store.formats.array import LazyArray, reading


def open_hdf5(path: Path) -> dict[str, LazyArray]:
    """Open the data sets of all groups; names have slashes. Texts are read as texts."""
    return reading(str(path), lambda: _datasets(path), "write it again with h5py")


def _datasets(path: Path) -> dict[str, LazyArray]:
    import h5py

    found: dict[str, LazyArray] = {}

    def add(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or item.shape is None:
            return
        is_text = h5py.check_string_dtype(item.dtype) is not None
        found[name] = LazyArray(
            where=f"{path}/{name}",
            shape=item.shape,
            dtype=np.dtype("U") if is_text else item.dtype,
            load=lambda index: _read(path, name, index, is_text),
        )

    with h5py.File(path, "r") as file:
        file.visititems(add)
    return found


def _read(path: Path, name: str, index: tuple[int | slice, ...], is_text: bool) -> np.ndarray:
    import h5py

    with h5py.File(path, "r") as file:
        item: Any = file[name]
        return np.asarray(item.asstr()[index] if is_text else item[index])
