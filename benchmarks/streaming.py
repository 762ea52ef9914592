"""Moments of a store that is read shard by shard, against the plain product of the same numbers in memory.

Run `make bench`. 1,000,000 samples of three variables with 64 values each, in float16 and in float32, in a store on
disk that is deleted afterwards (384 and 768 MB). Streamed: every byte is read and checked, turned into float64, shifted
and added to the joint moments. Plain: `X.T @ X` of the (1,000,000, 192) matrix of float64 that is in memory already,
which NumPy gives to the symmetric BLAS product. Every measurement is a process of its own with the same number of
threads for both; ways take turns. Prints a table and writes it to benchmarks/results/streaming.json and streaming.md.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pages import write_page
from benchmarks.timing import circumstances

PACKAGES = ("pid_jax", "numpy", "scipy", "jax", "xxhash")
SAMPLES, WIDTH, SHARD, SMALL_SHARD = 1_000_000, 64, 16_384, 256
ROLES = ("image", "question", "last")
NAMES = tuple(f"012/{role}" for role in ROLES)
STORES = {"float16": SHARD, "float32": SHARD, "float16, small shards": SMALL_SHARD}
REPEATS, PASSES = 5, 3
THREADS = (1, 2)


def write_store(folder: Path, dtype: str, shard: int) -> None:
    """Write states with common factors, and means of up to some standard deviations."""
    from pid_jax.store import ActivationStore, Manifest

    rng = np.random.default_rng(0)
    loadings = rng.standard_normal((8, 3 * WIDTH), dtype=np.float32) / 2
    means = 4 * rng.standard_normal(3 * WIDTH, dtype=np.float32)
    ids = tuple(f"{i:07d}" for i in range(SAMPLES))
    store = ActivationStore.create(
        folder, Manifest(ids=ids, shard_size=shard, tensors=NAMES, condition={"name": "baseline"})
    )
    for index in range(store.manifest.shard_count):
        own = store.shard_ids(index)
        noise = rng.standard_normal((len(own), 3 * WIDTH), dtype=np.float32)
        states = rng.standard_normal((len(own), 8), dtype=np.float32) @ loadings + noise + means
        parts = {name: states[:, k * WIDTH : (k + 1) * WIDTH].astype(dtype) for k, name in enumerate(NAMES)}
        store.write_shard(index, own, [{"task": "ChooseAttr"}] * len(own), parts)


def memory(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def blocks_of(folder: Path) -> Any:
    from pid_jax import ActivationStore, StoreBlocks

    parts = {name: (role, 12) for name, role in zip(("source_1", "source_2", "target"), ROLES, strict=True)}
    return StoreBlocks(store=ActivationStore.open(folder), **parts)


def timed(action: Callable[[], Any], passes: int = PASSES) -> tuple[Any, dict[str, float]]:
    """Call an action some times; return its result and the medians of CPU and wall seconds."""
    result, seconds = None, []
    for _ in range(passes):
        start = time.process_time(), time.perf_counter()
        result = action()
        seconds.append((time.process_time() - start[0], time.perf_counter() - start[1]))
    cpu, wall = np.median(seconds, axis=0)
    return result, {"CPU s": float(cpu), "s": float(wall)}


def plain(folder: Path, threads: int) -> dict[str, Any]:
    """Time the product, and keep a covariance to compare with."""
    from threadpoolctl import threadpool_limits

    blocks = blocks_of(folder)
    samples, row = np.empty((SAMPLES, 3 * WIDTH)), 0
    for block in blocks:
        rows = len(block[0])
        for k, part in enumerate(block):
            samples[row : row + rows, k * WIDTH : (k + 1) * WIDTH] = part
        row += rows
    with threadpool_limits(threads, user_api="blas"):
        _, seconds = timed(lambda: samples.T @ samples)
        if not reference(folder).exists():
            centered = samples - samples.mean(axis=0)
            np.save(reference(folder), centered.T @ centered / (SAMPLES - 1))
    return seconds


def reference(folder: Path) -> Path:
    return folder.parent / f"{folder.name}.npy"


def streamed(folder: Path, threads: int) -> dict[str, Any]:
    from pid_jax import stream_moments

    after_import = memory("VmRSS")
    blocks, opening = timed(lambda: blocks_of(folder), 1)
    moments, seconds = timed(lambda: stream_moments(blocks, threads=threads))
    peak = memory("VmHWM")
    scale = np.sqrt(np.diagonal(moments.cov))
    error = np.abs(moments.cov - np.load(reference(folder))) / np.outer(scale, scale)
    return seconds | {
        "peak MB": peak,
        "above import": peak - after_import,
        "open CPU s": opening["CPU s"],
        "error": error.max(),
    }


def read(folder: Path, threads: int) -> dict[str, Any]:
    """Only read and check every byte."""
    blocks = blocks_of(folder)
    return timed(lambda: sum(len(block[0]) for block in blocks))[1]


def decomposed(folder: Path, threads: int) -> dict[str, Any]:
    """Time all from the opened store to the atoms with their intervals, programs compiled on the way."""
    import jax

    from pid_jax import stream_pid

    key = jax.random.key(0)
    after_import = memory("VmRSS")
    blocks = blocks_of(folder)
    _, seconds = timed(partial(stream_pid, blocks, key=key, threads=threads), 1)
    return seconds | {"peak MB": memory("VmHWM"), "above import": memory("VmHWM") - after_import}


def products(folder: Path, threads: int) -> dict[str, Any]:
    """Multiply one tile again and again that is float64 and in cache: what is left if all else were free."""
    from scipy.linalg.blas import dsyrk
    from threadpoolctl import threadpool_limits

    from pid_jax.moments import MomentSum

    total = MomentSum(("x",))
    total.add(np.random.default_rng(0).standard_normal((1000, 3 * WIDTH)))
    tile, matrix = total._tile, np.zeros((3 * WIDTH,) * 2, order="F")

    def multiply() -> None:
        for _ in range(SAMPLES // len(tile)):
            dsyrk(1.0, tile.T, beta=1.0, c=matrix, lower=1, overwrite_c=1)

    with threadpool_limits(1, user_api="blas"):
        return timed(multiply)[1]


WAYS = {
    "plain product": plain,
    "streamed moments": streamed,
    "streamed, to the atoms": decomposed,
    "reading and checking alone": read,
    "products of tiles alone": products,
}


def measure(folder: Path, way: str, threads: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.streaming", str(folder), way, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    print(folder.name, way, threads, found, flush=True)
    return found


def rows_of(runs: dict[tuple[str, str, int], list[dict[str, float]]]) -> list[dict[str, Any]]:
    rows = []
    for (store, way, threads), found in runs.items():
        base = runs[store, "plain product", threads]
        ratios = [one["CPU s"] / other["CPU s"] for one, other in zip(found, base, strict=False)]
        row = {"store": store, "way": way, "threads": threads}
        row |= {name: float(np.median([one[name] for one in found])) for name in ("CPU s", "s")}
        row |= {"CPU time / plain": float(np.median(ratios)), "range": f"{min(ratios):.2f} to {max(ratios):.2f}"}
        if "peak MB" in found[0]:
            row |= {"peak MB": f"{max(one['peak MB'] for one in found):.0f}"}
            row |= {"of these above import": f"{max(one['above import'] for one in found):.0f}"}
        if "error" in found[0]:
            row |= {"largest error of a correlation": max(one["error"] for one in found)}
            row |= {"open, CPU s": float(np.median([one["open CPU s"] for one in found]))}
        rows.append(row)
    return rows


def main() -> None:
    runs: dict[tuple[str, str, int], list[dict[str, float]]] = {}
    for store, shard in STORES.items():
        with tempfile.TemporaryDirectory(prefix="pid_jax_bench_") as temporary:
            folder = Path(temporary) / store.replace(", ", "_").replace(" ", "_")
            command = [sys.executable, "-m", "benchmarks.streaming", str(folder), store.split(",")[0], str(shard)]
            subprocess.run(command, check=True)
            for repeat in range(REPEATS):
                for threads in THREADS:
                    for way in WAYS:
                        is_seldom = way == "streamed, to the atoms" and (repeat or threads > 1)
                        is_one = way in ("reading and checking alone", "products of tiles alone") and threads > 1
                        if not (is_seldom or is_one):
                            runs.setdefault((store, way, threads), []).append(measure(folder, way, threads))
    text = (
        f"{SAMPLES:,} samples of 3 x {WIDTH} values in shards of {SHARD:,} rows, in small ones of {SMALL_SHARD}, with "
        f"ids and one column; files are in the page cache. Medians of {REPEATS} repeats in turns, each a process of its "
        f"own that does the same {PASSES} times, on a machine that others use too; ratios are within a repeat. Plain "
        "product: X.T @ X of the float64 matrix in memory, with as many BLAS threads. Streamed: from an opened store, "
        "headers and checksums included; opening it reads the list of all ids and is told apart. Errors are those "
        "against the covariance of the centered matrix in memory. To the atoms: `stream_pid` with its default settings, "
        "once, with the compilation of its programs. Peak memory: largest resident set of the process, mapped files "
        "included."
    )
    conditions = circumstances(*PACKAGES) | {"runs": {" | ".join(map(str, key)): found for key, found in runs.items()}}
    write_page("streaming", "Streaming", text, {"Moments": rows_of(runs)}, conditions)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    elif sys.argv[2] in WAYS:
        print(json.dumps(WAYS[sys.argv[2]](Path(sys.argv[1]), int(sys.argv[3]))))
    else:
        write_store(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
