"""The store and other ways to keep the arrays of `benchmarks.store` on disk; only the store checks what it reads.

Every way has `write`, called once for each shard of samples, and `read`, which adds up the first value of every row so
that all layers have to be read.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from pid_jax.store import ActivationStore, Manifest

SAMPLES, LAYERS, WIDTH, SHARD = 5525, 34, 4096, 128
NAMES = tuple(f"{layer:03d}/image" for layer in range(LAYERS))


def flush(*paths: Path) -> None:
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def first_values(states: np.ndarray) -> float:
    return float(states[:, 0].sum(dtype=np.float64))


def _rows(index: int, tensors: dict[str, np.ndarray]) -> slice:
    return slice(index * SHARD, index * SHARD + len(tensors[NAMES[0]]))


class Ours:
    """The store, whose layers come as one array each, rows by id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ids = tuple(f"{i:08x}" for i in np.random.default_rng(1).permutation(2**24)[:SAMPLES])
        manifest = Manifest(ids=ids, shard_size=SHARD, tensors=NAMES, condition={"name": "baseline"})
        self._store = ActivationStore.create(folder, manifest)
        self._row = {"task": "ChooseAttr", "question": "Is it red or blue?", "gold": "red", "predicted": "red"}

    def write(self, index: int, tensors: dict[str, np.ndarray]) -> None:
        ids = self._store.shard_ids(index)
        self._store.write_shard(index, ids, [self._row] * len(ids), tensors)

    def read(self) -> float:
        return sum(first_values(states) for _, states in ActivationStore.open(self.folder).iter_layers("image"))


class Plain:
    """Files of safetensors, whole files at a time: one after the other, none is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def write(self, index: int, tensors: dict[str, np.ndarray]) -> None:
        path = self.folder / f"{index}.safetensors"
        save_file(tensors, path)
        flush(path, self.folder)

    def read(self) -> float:
        return sum(first_values(x) for path in sorted(self.folder.iterdir()) for x in load_file(path).values())


class PlainByLayer(Plain):
    """Files of safetensors, one layer of all samples at a time, which is what a store returns; in no order."""

    def read(self) -> float:
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
        folder.mkdir()
        self.folder, self._path = folder, folder / "states.h5"
        with h5py.File(self._path, "w") as file:
            for name in NAMES:
                file.create_dataset(name, (SAMPLES, WIDTH), np.float16)

    def write(self, index: int, tensors: dict[str, np.ndarray]) -> None:
        states: Any
        with h5py.File(self._path, "r+") as states:
            for name in NAMES:
                states[name][_rows(index, tensors)] = tensors[name]
        flush(self._path, self.folder)

    def read(self) -> float:
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
            flush(chunk, chunk.parent)

    def read(self) -> float:
        import zarr

        group: Any = zarr.open_group(self.folder, mode="r")
        return sum(first_values(np.asarray(group[name][:])) for name in NAMES)


BY_LAYER = "safetensors, layer by layer"
WAYS: dict[str, Callable[[Path], Any]] = {
    "pid_jax": Ours,
    "safetensors, whole files": Plain,
    BY_LAYER: PlainByLayer,
    "npy, a file a layer": Npy,
    "HDF5": HDF5,
    "zarr": Zarr,
}
