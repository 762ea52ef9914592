"""Moments of a store that is read shard by shard, against the plain product of the same numbers in memory.

Streamed: every byte is read and checked, turned into float64, shifted and added to the joint moments. NumPy gives the
plain product to the symmetric BLAS product.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy.linalg.blas import dsyrk
from threadpoolctl import threadpool_limits

from benchmarks.measure import Cost, apart, cost_of, resident_mb
from benchmarks.record import write_results
from benchmarks.tables import Row
from pid_jax import (
    ActivationStore,
    NoCorrection,
    NoGaussianization,
    PIDSpec,
    StoreBlocks,
    stream_moments,
    stream_pid,
)
from pid_jax.store import Manifest
from pid_jax.stream.moments import TILE_BYTES

SAMPLES, WIDTH, SHARD, SMALL_SHARD = 1_000_000, 64, 16_384, 256
ROLES = ("image", "question", "last")
NAMES = tuple(f"012/{role}" for role in ROLES)
# Type and shard size of each store, and how many threads it is read with.
STORES = {
    "float16": ("float16", SHARD, (1, 2)),
    "float32": ("float32", SHARD, (1,)),
    "float16, small shards": ("float16", SMALL_SHARD, (1,)),
}
REPEATS = 9
PLAIN = PIDSpec(gaussianize=NoGaussianization(), bias_correction=NoCorrection())
# From the opened store on, programs compiled on the way.
USES: dict[str, Callable[[Any], object]] = {
    "moments": partial(stream_moments, threads=1),
    "atoms": lambda blocks: stream_pid(blocks, spec=PLAIN, key=jax.random.key(0), threads=1),
    "atoms, bias and intervals": lambda blocks: stream_pid(blocks, key=jax.random.key(0), threads=1),
}


def write_store(folder: Path, dtype: str, shard: int) -> None:
    """Write states with common factors, and means of up to some standard deviations."""
    rng = np.random.default_rng(0)
    loadings = rng.standard_normal((8, 3 * WIDTH), dtype=np.float32) / 2
    means = 4 * rng.standard_normal(3 * WIDTH, dtype=np.float32)
    ids = tuple(f"{i:07d}" for i in range(SAMPLES))
    manifest = Manifest(ids=ids, shard_size=shard, tensors=NAMES, condition={"name": "baseline"})
    store = ActivationStore.create(folder, manifest)
    for index in range(store.manifest.shard_count):
        own = store.shard_ids(index)
        noise = rng.standard_normal((len(own), 3 * WIDTH), dtype=np.float32)
        states = rng.standard_normal((len(own), 8), dtype=np.float32) @ loadings + noise + means
        parts = dict(zip(NAMES, np.split(states.astype(dtype), 3, axis=1), strict=True))
        store.write_shard(index, own, [{"task": "ChooseAttr"}] * len(own), parts)


def blocks_of(folder: Path) -> StoreBlocks:
    parts = {name: (role, 12) for name, role in zip(("source_1", "source_2", "target"), ROLES, strict=True)}
    return StoreBlocks(store=ActivationStore.open(folder), **parts)


def timed(*actions: Callable[[], Any]) -> list[list[dict[str, float]]]:
    """Call actions in turns; return CPU and wall seconds of every call of each."""
    turns = [[cost_of(action) for action in actions] for _ in range(REPEATS)]
    return [[{"CPU s": cost.cpu, "s": cost.wall} for cost in costs] for costs in zip(*turns, strict=True)]


def against_plain(folder: Path, threads: int) -> dict[str, Any]:
    """Time the product of a matrix in memory and the stream in turns, and compare the covariances."""
    blocks = blocks_of(folder)
    samples, row = np.empty((SAMPLES, 3 * WIDTH)), 0
    for block in blocks:
        np.concatenate(block, axis=1, out=samples[row : row + len(block[0])])
        row += len(block[0])
    with threadpool_limits(threads, user_api="blas"):
        plain, streamed = timed(lambda: samples.T @ samples, lambda: stream_moments(blocks, threads=threads))
    cov = stream_moments(blocks, threads=threads).cov
    samples -= samples.mean(axis=0)
    deviation = np.sqrt(np.diagonal(cov))
    errors = np.abs(cov - samples.T @ samples / (SAMPLES - 1)) / np.outer(deviation, deviation)
    return {"plain": plain, "streamed": streamed, "error": float(errors.max())}


def memory(folder: Path, use: str) -> dict[str, float]:
    """Open a store and use it; return the peak of memory and CPU seconds."""
    before = resident_mb()
    with Cost() as opening:
        blocks = blocks_of(folder)
    with Cost() as cost:
        USES[use](blocks)
    peak = max(before + opening.peak, resident_mb("VmHWM"))
    return {"CPU s": cost.cpu, "peak MB": peak, "above import": peak - before, "open CPU s": opening.cpu}


def floor(folder: Path) -> dict[str, float]:
    """Time what no way can do without: reading and checking; conversion to float64; products of what is in cache."""
    blocks = blocks_of(folder)
    (block, *_), rows = iter(blocks), TILE_BYTES // (24 * WIDTH)
    tile, matrix = np.empty((rows, 3 * WIDTH)), np.zeros((3 * WIDTH,) * 2, order="F")
    part = [np.resize(one, (rows, WIDTH)) for one in block]

    def read() -> None:
        for _ in blocks:
            pass

    def convert() -> None:
        for _ in range(SAMPLES // rows):
            for k, one in enumerate(part):
                tile[:, k * WIDTH : (k + 1) * WIDTH] = one

    def multiply() -> None:
        for _ in range(SAMPLES // rows):
            dsyrk(1.0, tile.T, beta=1.0, c=matrix, lower=1, overwrite_c=1)

    with threadpool_limits(1, user_api="blas"):
        found = timed(read, convert, multiply)
    return dict(zip(("read and check", "to float64", "products in cache"), map(median_of, found), strict=True))


def median_of(found: list[dict[str, float]], field: str = "CPU s") -> float:
    return float(np.median([one[field] for one in found]))


def speed_row(store: str, threads: int, found: dict[str, Any]) -> Row:
    plain, streamed = found["plain"], found["streamed"]
    ratios = [a["CPU s"] / b["CPU s"] for a, b in zip(streamed, plain, strict=True)]
    return {
        "store": store,
        "threads": threads,
        "plain, CPU s": median_of(plain),
        "streamed, CPU s": median_of(streamed),
        "ratio of medians": median_of(streamed) / median_of(plain),
        "ratios": f"{min(ratios):.2f} to {max(ratios):.2f}",
        "plain, s": median_of(plain, "s"),
        "streamed, s": median_of(streamed, "s"),
        "largest error of a correlation": found["error"],
    }


def memory_row(store: str, use: str, found: dict[str, float]) -> Row:
    return {
        "store": store,
        "until": use,
        "peak MB": f"{found['peak MB']:.0f}",
        "of these above import": f"{found['above import']:.0f}",
        "CPU s": found["CPU s"],
        "opening, CPU s": found["open CPU s"],
    }


def main() -> None:
    tables: dict[str, list[Row]] = {"CPU time": [], "Floor, CPU s": [], "Memory": []}
    runs: dict[str, dict[str, Any]] = {}
    for store, (dtype, shard, threads) in STORES.items():
        with tempfile.TemporaryDirectory(prefix="pid_jax_bench_") as temporary:
            folder, found = Path(temporary) / "store", runs.setdefault(store, {})
            apart(write_store, folder, dtype, shard)
            for use in USES if len(runs) == 1 else ["moments"]:
                found[use] = apart(memory, folder, use)
                tables["Memory"].append(memory_row(store, use, found[use]))
            found["floor"] = apart(floor, folder)
            tables["Floor, CPU s"].append({"store": store, **found["floor"]})
            for count in threads:
                found[f"against_plain {count}"] = apart(against_plain, folder, count)
                tables["CPU time"].append(speed_row(store, count, found[f"against_plain {count}"]))
            print(store, found, flush=True)
    text = (
        f"{SAMPLES:,} samples of 3 x {WIDTH} values in shards of {SHARD:,} rows, small ones of {SMALL_SHARD}, with ids "
        f"and one column; files are in the page cache. CPU time: medians of {REPEATS} calls in turns in one process, "
        "on a machine that others use too. Plain product: X.T @ X of the float64 matrix in memory, with as many BLAS "
        "threads. Streamed: from an opened store, headers and checksums included. Errors are those against the "
        "covariance of the centered matrix in memory. Floor: what no way can do without, each alone, with one thread. "
        "Memory: peak of the resident set of processes of their own with one thread, mapped files included; atoms by "
        "`stream_pid` with 16 components of each variable, with the compilation of its programs. Opening a store reads "
        "the list of all ids."
    )
    write_results("streaming", "Streaming", text, tables, runs=runs)


if __name__ == "__main__":
    main()
