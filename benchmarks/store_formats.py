"""Other ways to keep the arrays of `benchmarks.store` on disk; none of them checks what it reads.

Every way has `write`, called once for each shard of samples, and `read`, which adds up the first value of every row so
that all layers have to be read.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

SAMPLES, LAYERS, WIDTH, SHARD = 5525, 34, 4096, 128
NAMES = tuple(f"{layer:03d}/image" for layer in range(LAYERS))


def flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def first_values(states: np.ndarray) -> float:
    return float(states[:, 0].sum(dtype=np.float64))


def _rows(index: int, tensors: dict[str, np.ndarray]) -> slice:
    return slice(index * SHARD, index * SHARD + len(tensors[NAMES[0]]))


class Plain:
    """Files of safetensors, whole files at a time: one after the other, none is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def write(self, index: int, tensors: dict[str, np.ndarray]) -> None:
        from safetensors.numpy import save_file

        path = self.folder / f"{index}.safetensors"
        save_file(tensors, path)
        flush(path)
        flush(self.folder)

    def read(self) -> float:
        from safetensors.numpy import load_file

        total = 0.0
        for path in sorted(self.folder.iterdir()):
            total += sum(first_values(states) for states in load_file(path).values())
        return total


class PlainByLayer(Plain):
    """Files of safetensors, one layer of all samples at a time, which is what a store returns; in no order."""

    def read(self) -> float:
        from safetensors import safe_open

        total, paths = 0.0, sorted(self.folder.iterdir())
        for name in NAMES:
            parts = []
            for path in paths:
                with safe_open(path, framework="numpy") as file:
                    parts.append(file.get_tensor(name))
            total += first_values(np.concatenate(parts))
        return total


class Npy:
    """One .npy file a layer, written through a memory map by one process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._paths = [folder / f"{layer:03d}.npy" for layer in range(LAYERS)]
        for path in self._paths:
            np.lib.format.open_memmap(path, "w+", np.float16, (SAMPLES, WIDTH))

    def write(self, index: int, tensors: dict[str, np.ndarray]) -> None:
        for path, name in zip(self._paths, NAMES, strict=True):
            np.lib.format.open_memmap(path, "r+")[_rows(index, tensors)] = tensors[name]
            flush(path)
        flush(self.folder)

    def read(self) -> float:
        return sum(first_values(np.load(path)) for path in self._paths)


class HDF5:
    """One HDF5 file with a contiguous data set a layer, by one process."""

    def __init__(self, folder: Path) -> None:
        import h5py

        folder.mkdir()
        self.folder, self._path = folder, folder / "states.h5"
        with h5py.File(self._path, "w") as file:
            for name in NAMES:
                file.create_dataset(name, (SAMPLES, WIDTH), np.float16)

    def write(self, index: int, tensors: dict[str, np.ndarray]) -> None:
        import h5py

        states: Any
        with h5py.File(self._path, "r+") as states:
            for name in NAMES:
                states[name][_rows(index, tensors)] = tensors[name]
        flush(self._path)
        flush(self.folder)

    def read(self) -> float:
        import h5py

        states: Any
        with h5py.File(self._path) as states:
            return sum(first_values(states[name][:]) for name in NAMES)


class Zarr:
    """An array of zarr (format 3) a layer, in chunks of a shard's rows, not compressed, as are all other ways."""

    def __init__(self, folder: Path) -> None:
        import zarr

        self.folder = folder
        self._group: Any = zarr.create_group(folder)
        for name in NAMES:
            self._group.create_array(
                name, shape=(SAMPLES, WIDTH), chunks=(SHARD, WIDTH), dtype="float16", compressors=None
            )

    def write(self, index: int, tensors: dict[str, np.ndarray]) -> None:
        for name in NAMES:
            self._group[name][_rows(index, tensors)] = tensors[name]
            chunk = self.folder / name / "c" / str(index) / "0"
            flush(chunk)
            flush(chunk.parent)

    def read(self) -> float:
        import zarr

        group: Any = zarr.open_group(self.folder, mode="r")
        return sum(first_values(np.asarray(group[name][:])) for name in NAMES)
