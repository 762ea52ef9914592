"""Writing an activation store and reading it by layer, against files of safetensors, npy, HDF5 and zarr.

Run `make bench`. 5525 samples, 34 layers of one role, 4096 values in float16 (1.5 GB), 128 samples a file. pid_jax
checks every byte that it reads, the others none; npy and HDF5 files have one writer. Ids are in no order, so that rows
have to be put in order when they are read. Every repeat is a process of its own that writes, reads and deletes; ways
take turns.

Writing is timed with the data on disk (fsync of file and folder after each file, for all), and again without any fsync
for all. Reading comes right after writing, so that all files are in the page cache, and once more after the kernel was
asked to forget them. Prints a table and writes it to benchmarks/results/store.json and store.md.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.floors import floor_seconds
from benchmarks.pages import write_page
from benchmarks.store_formats import (
    HDF5,
    LAYERS,
    NAMES,
    SAMPLES,
    SHARD,
    WIDTH,
    Npy,
    Plain,
    PlainByLayer,
    Zarr,
    first_values,
)
from benchmarks.timing import circumstances

PACKAGES = ("pid_jax", "numpy", "safetensors", "xxhash", "h5py", "zarr")
MEGABYTES = SAMPLES * LAYERS * WIDTH * 2 / 1e6
REPEATS = 5

Shards = Iterator[tuple[int, dict[str, np.ndarray]]]


def draw() -> Shards:
    """Make the tensors of every shard; rows are the same in all shards, plus the number of the shard."""
    base = np.random.default_rng(0).standard_normal((LAYERS, SHARD, WIDTH), dtype=np.float32).astype(np.float16)
    for index in range(-(-SAMPLES // SHARD)):
        rows = min(SHARD, SAMPLES - index * SHARD)
        base[:, :, 0] = index
        yield index, {f"{layer:03d}/image": np.ascontiguousarray(base[layer, :rows]) for layer in range(LAYERS)}


class Ours:
    """The store."""

    def __init__(self, folder: Path) -> None:
        from pid_jax.store import ActivationStore, Manifest

        self.folder = folder
        ids = tuple(f"{i:08x}" for i in np.random.default_rng(1).permutation(2**24)[:SAMPLES])
        self._store = ActivationStore.create(
            folder, Manifest(ids=ids, shard_size=SHARD, tensors=NAMES, condition={"name": "baseline"})
        )
        self._row = {"task": "ChooseAttr", "question": "Is it red or blue?", "gold": "red", "predicted": "red"}

    def write(self, index: int, tensors: dict[str, np.ndarray]) -> None:
        ids = self._store.shard_ids(index)
        self._store.write_shard(index, ids, [self._row] * len(ids), tensors)

    def read(self) -> float:
        """Read every layer as one array, rows by id; return the sum of its first values."""
        from pid_jax.store import ActivationStore

        return sum(first_values(states) for _, states in ActivationStore.open(self.folder).iter_layers("image"))


BY_LAYER = "safetensors, layer by layer"
WAYS: dict[str, Callable[[Path], Any]] = {
    "pid_jax": Ours,
    "safetensors, whole files": Plain,
    BY_LAYER: PlainByLayer,
    "npy, a file a layer": Npy,
    "HDF5": HDF5,
    "zarr": Zarr,
}
STEPS = ("write, with fsync", "write, without fsync", "read, page cache", "read, from disk")


class Clock:
    """Wall and CPU seconds, and the peak of memory above the start, over all blocks."""

    def __init__(self) -> None:
        self.wall, self.cpu, self.peak = 0.0, 0.0, 0.0

    def __enter__(self) -> None:
        self._before = forget_peak()
        self._start = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.wall += time.perf_counter() - self._start[0]
        self.cpu += time.process_time() - self._start[1]
        self.peak = max(self.peak, status("VmHWM") - self._before)


def child(name: str) -> None:
    """Write, read, delete in this process; print seconds and memory."""
    clocks = {step: Clock() for step in STEPS}
    for is_flushed in (True, False):
        if not is_flushed:
            os.fsync = lambda descriptor: None
        with tempfile.TemporaryDirectory(prefix="pid_jax_bench_") as temporary:
            way = WAYS[name](Path(temporary) / "store")
            os.sync()
            for index, tensors in draw():
                with clocks["write, with fsync" if is_flushed else "write, without fsync"]:
                    way.write(index, tensors)
            if is_flushed:
                read(way, clocks["read, page cache"])
                forget_pages(way.folder)
                read(way, clocks["read, from disk"])
    print(json.dumps({step: {"s": c.wall, "CPU s": c.cpu, "peak MB": c.peak} for step, c in clocks.items()}))


def read(way: Any, clock: Clock) -> None:
    expected = LAYERS * sum(index * min(SHARD, SAMPLES - index * SHARD) for index in range(-(-SAMPLES // SHARD)))
    with clock:
        total = way.read()
    assert total == expected, f"{total} instead of {expected}"


def forget_pages(folder: Path) -> None:
    for path in (path for path in folder.rglob("*") if path.is_file()):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def forget_peak() -> float:
    """Start to measure the peak of memory anew; return what is held now, in MB. Linux only."""
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS")


def status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def summary(step: str, name: str, found: list[dict[str, float]], own: list[dict[str, float]]) -> dict[str, Any]:
    """Make the row of one step and way."""
    seconds = [run["s"] for run in found]
    ratios = {
        f"throughput of pid_jax / this, {unit}": float(
            np.median([theirs[key] / ours[key] for theirs, ours in zip(found, own, strict=True)])
        )
        for unit, key in (("wall", "s"), ("CPU", "CPU s"))
    }
    return {
        "step": step,
        "way": name,
        "MB/s": f"{MEGABYTES / np.median(seconds):.0f}",
        "range": f"{MEGABYTES / max(seconds):.0f} to {MEGABYTES / min(seconds):.0f}",
        "CPU s": float(np.median([run["CPU s"] for run in found])),
        **ratios,
        "peak memory MB": float(np.median([run["peak MB"] for run in found])),
    }


def main() -> None:
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in WAYS}
    for _ in range(REPEATS):
        for name in WAYS:
            command = [sys.executable, "-m", "benchmarks.store", name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            runs[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(name, runs[name][-1], flush=True)
    rows = [
        summary(step, name, [run[step] for run in found], [run[step] for run in runs["pid_jax"]])
        for step in STEPS
        for name, found in runs.items()
        if name != BY_LAYER or step.startswith("read")
    ]
    floor = floor_seconds(0, MEGABYTES * 1e6)
    floors = [{"step": "reading once, at the speed of memory", "MB/s": f"{MEGABYTES / floor:.0f}", "CPU s": floor}]
    files = -(-SAMPLES // SHARD)
    text = (
        f"{SAMPLES} samples, {LAYERS} layers, {WIDTH} values in float16, {SHARD} samples a file: {MEGABYTES:.0f} MB in "
        f"{files} files of safetensors. Medians over repeats in turns ({REPEATS}), each a process of its own, on a "
        "machine that others use too; ratios are medians of those within a repeat. fsync: of file and folder after "
        "every file, for all. CPU seconds are of user and system. pid_jax checks every byte and puts rows in the order "
        "of ids; the others do neither. Peak memory: above what the process held before, mapped pages of files "
        "included."
    )
    conditions = circumstances(*PACKAGES) | {"runs": runs}
    write_page("store", "Activation store", text, {"Write and read": rows, "Floor": floors}, conditions)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        child(sys.argv[1])
    else:
        main()
