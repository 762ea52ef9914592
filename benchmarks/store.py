"""Writing an activation store and reading it by layer, against files of safetensors, npy, HDF5 and zarr.

Ids are in no order, so that rows have to be put in order when they are read. Reading comes right after writing, so that
all files are in the page cache, and once more after the kernel was asked to forget them.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.floors import floor_seconds
from benchmarks.measure import Cost, repeats_apart
from benchmarks.record import write_results
from benchmarks.store_formats import BY_LAYER, LAYERS, SAMPLES, SHARD, WAYS, WIDTH
from benchmarks.tables import Row

MEGABYTES = SAMPLES * LAYERS * WIDTH * 2 / 1e6
REPEATS, FILES = 5, -(-SAMPLES // SHARD)
STEPS = ("write, with fsync", "write, without fsync", "read, page cache", "read, from disk")


def draw() -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Make the tensors of every shard; rows are the same in all shards, plus the number of the shard."""
    base = np.random.default_rng(0).standard_normal((LAYERS, SHARD, WIDTH), dtype=np.float32).astype(np.float16)
    for index in range(FILES):
        rows = min(SHARD, SAMPLES - index * SHARD)
        base[:, :, 0] = index
        yield index, {f"{layer:03d}/image": np.ascontiguousarray(base[layer, :rows]) for layer in range(LAYERS)}


def measure(name: str) -> dict[str, dict[str, float]]:
    """Write, read, delete in this process; return the cost of every step."""
    costs = {step: Cost() for step in STEPS}
    for is_flushed in (True, False):
        if not is_flushed:
            os.fsync = lambda descriptor: None
        with tempfile.TemporaryDirectory(prefix="pid_jax_bench_") as temporary:
            way = WAYS[name](Path(temporary) / "store")
            os.sync()
            for index, tensors in draw():
                with costs[STEPS[0] if is_flushed else STEPS[1]]:
                    way.write(index, tensors)
            if is_flushed:
                read(way, costs["read, page cache"])
                forget_pages(way.folder)
                read(way, costs["read, from disk"])
    return {step: {"s": cost.wall, "CPU s": cost.cpu, "peak MB": cost.peak} for step, cost in costs.items()}


def read(way: Any, cost: Cost) -> None:
    expected = LAYERS * sum(index * min(SHARD, SAMPLES - index * SHARD) for index in range(FILES))
    with cost:
        total = way.read()
    assert total == expected, f"{total} instead of {expected}"


def forget_pages(folder: Path) -> None:
    for path in (path for path in folder.rglob("*") if path.is_file()):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def summary(step: str, name: str, runs: dict[str, list[dict[str, dict[str, float]]]]) -> Row:
    """Make the row of one step and way: medians over repeats."""
    found, own = (
        {key: np.array([run[step][key] for run in runs[one]]) for key in ("s", "CPU s", "peak MB")}
        for one in (name, "pid_jax")
    )
    return {
        "step": step,
        "way": name,
        "MB/s": f"{MEGABYTES / np.median(found['s']):.0f}",
        "range": f"{MEGABYTES / found['s'].max():.0f} to {MEGABYTES / found['s'].min():.0f}",
        "CPU s": np.median(found["CPU s"]),
        "throughput of pid_jax / this, wall": np.median(found["s"] / own["s"]),
        "throughput of pid_jax / this, CPU": np.median(found["CPU s"] / own["CPU s"]),
        "peak memory MB": np.median(found["peak MB"]),
    }


def main() -> None:
    runs = repeats_apart(measure, WAYS, REPEATS)
    rows = [summary(step, name, runs) for step in STEPS for name in runs if name != BY_LAYER or step.startswith("read")]
    floor = floor_seconds(0, MEGABYTES * 1e6)
    floors = [{"step": "reading once, at the speed of memory", "MB/s": f"{MEGABYTES / floor:.0f}", "CPU s": floor}]
    text = (
        f"{SAMPLES} samples, {LAYERS} layers, {WIDTH} values in float16, {SHARD} samples a file: {MEGABYTES:.0f} MB in "
        f"{FILES} files of safetensors. Medians over repeats in turns ({REPEATS}), each a process of its own, on a "
        "machine that others use too; ratios are medians of those within a repeat. fsync: of file and folder after "
        "every file, for all. CPU seconds are of user and system. pid_jax checks every byte and puts rows in the order "
        "of ids; the others do neither. Peak memory: above what the process held before, mapped pages of files "
        "included."
    )
    peers = ("safetensors", "xxhash", "h5py", "zarr")
    write_results("store", "Activation store", text, {"Write and read": rows, "Floor": floors}, *peers, runs=runs)


if __name__ == "__main__":
    main()
