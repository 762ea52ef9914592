"""Moments of a store that is read shard by shard, against the plain product of the same numbers in memory.

Run `make bench`. 1,000,000 samples of three variables with 64 values each, in float16 and in float32, in a store on
disk that is deleted afterwards (384 and 768 MB). Streamed: every byte is read and checked, turned into float64, shifted
and added to the joint moments. Plain: `X.T @ X` of the (1,000,000, 192) matrix of float64 that is in memory already,
which NumPy gives to the symmetric BLAS product. Both have the same number of threads and take turns in one process;
memory is measured in others. Prints tables and writes them to benchmarks/results/streaming.json and streaming.md.
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
from threadpoolctl import threadpool_limits

from benchmarks.pages import write_page
from benchmarks.timing import circumstances

PACKAGES = ("pid_jax", "numpy", "scipy", "jax", "xxhash")
SAMPLES, WIDTH, SHARD, SMALL_SHARD = 1_000_000, 64, 16_384, 256
ROLES = ("image", "question", "last")
NAMES = tuple(f"012/{role}" for role in ROLES)
STORES = {"float16": SHARD, "float32": SHARD, "float16, small shards": SMALL_SHARD}
REPEATS = 9
# BLAS threads of the call before wait busily for a while.
PAUSE = 0.2
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


def timed(*actions: Callable[[], Any]) -> list[list[dict[str, float]]]:
    """Call actions in turns; return CPU and wall seconds of every call of each."""
    found: list[list[dict[str, float]]] = [[] for _ in actions]
    for _ in range(REPEATS):
        for action, seconds in zip(actions, found, strict=True):
            time.sleep(PAUSE)
            start = time.process_time(), time.perf_counter()
            action()
            seconds.append({"CPU s": time.process_time() - start[0], "s": time.perf_counter() - start[1]})
    return found


def against_plain(folder: Path, threads: int) -> dict[str, Any]:
    """Time the product of a matrix in memory and the stream in turns, and compare the covariances."""
    from pid_jax import stream_moments

    blocks = blocks_of(folder)
    samples, row = np.empty((SAMPLES, 3 * WIDTH)), 0
    for block in blocks:
        for k, part in enumerate(block):
            samples[row : row + len(part), k * WIDTH : (k + 1) * WIDTH] = part
        row += len(block[0])
    with threadpool_limits(threads, user_api="blas"):
        found = timed(lambda: samples.T @ samples, lambda: stream_moments(blocks, threads=threads))
    cov = stream_moments(blocks, threads=threads).cov
    samples -= samples.mean(axis=0)
    deviation = np.sqrt(np.diagonal(cov))
    errors = np.abs(cov - samples.T @ samples / (SAMPLES - 1)) / np.outer(deviation, deviation)
    return {"plain": found[0], "streamed": found[1], "error": errors.max()}


def peak_of(action: Callable[[Any], Any], folder: Path) -> dict[str, Any]:
    """Open a store and use it; return the peak of memory."""
    start = time.process_time()
    after_import = memory("VmRSS")
    blocks = blocks_of(folder)
    opened = time.process_time()
    action(blocks)
    peak = memory("VmHWM")
    return {
        "CPU s": time.process_time() - opened,
        "peak MB": peak,
        "above import": peak - after_import,
        "open CPU s": opened - start,
    }


def peak_of_moments(folder: Path, threads: int) -> dict[str, Any]:
    from pid_jax import stream_moments

    return peak_of(partial(stream_moments, threads=threads), folder)


def peak_of_atoms(folder: Path, threads: int) -> dict[str, Any]:
    """From the opened store to the atoms, programs compiled on the way."""
    import jax

    from pid_jax import NoCorrection, NoGaussianization, PIDSpec, stream_pid

    spec = PIDSpec(gaussianize=NoGaussianization(), bias_correction=NoCorrection())
    return peak_of(partial(stream_pid, spec=spec, key=jax.random.key(0), threads=threads), folder)


def peak_of_corrected_atoms(folder: Path, threads: int) -> dict[str, Any]:
    """The same with bias and intervals, as by default."""
    import jax

    from pid_jax import stream_pid

    return peak_of(partial(stream_pid, key=jax.random.key(0), threads=threads), folder)


def floor(folder: Path, threads: int) -> dict[str, Any]:
    """Time what no way can do without: reading and checking; conversion to float64; products of what is in cache."""
    from scipy.linalg.blas import dsyrk

    from pid_jax.stream.moments import TILE_BYTES

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


WAYS = {
    "against_plain": against_plain,
    "moments": peak_of_moments,
    "atoms": peak_of_atoms,
    "atoms, bias and intervals": peak_of_corrected_atoms,
    "floor": floor,
}


def median_of(found: list[dict[str, float]], field: str = "CPU s") -> float:
    return float(np.median([one[field] for one in found]))


def measure(folder: Path, way: str, threads: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.streaming", str(folder), way, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    print(folder.name, way, threads, done.stdout.splitlines()[-1], flush=True)
    return json.loads(done.stdout.splitlines()[-1])


def speed_row(store: str, threads: int, found: dict[str, Any]) -> dict[str, Any]:
    ratios = [a["CPU s"] / b["CPU s"] for a, b in zip(found["streamed"], found["plain"], strict=True)]
    return {
        "store": store,
        "threads": threads,
        "plain, CPU s": median_of(found["plain"]),
        "streamed, CPU s": median_of(found["streamed"]),
        "ratio of medians": median_of(found["streamed"]) / median_of(found["plain"]),
        "ratios": f"{min(ratios):.2f} to {max(ratios):.2f}",
        "plain, s": median_of(found["plain"], "s"),
        "streamed, s": median_of(found["streamed"], "s"),
        "largest error of a correlation": found["error"],
    }


def memory_row(store: str, way: str, found: dict[str, Any]) -> dict[str, Any]:
    return {
        "store": store,
        "until": way,
        "peak MB": f"{found['peak MB']:.0f}",
        "of these above import": f"{found['above import']:.0f}",
        "CPU s": found["CPU s"],
        "opening, CPU s": found["open CPU s"],
    }


def main() -> None:
    runs: dict[str, dict[str, Any]] = {}
    for store, shard in STORES.items():
        with tempfile.TemporaryDirectory(prefix="pid_jax_bench_") as temporary:
            folder = Path(temporary) / "store"
            command = [sys.executable, "-m", "benchmarks.streaming", str(folder), store.split(",")[0], str(shard)]
            subprocess.run(command, check=True)
            is_first = not runs
            ways = [way for way in WAYS if way != "against_plain" and (is_first or "atoms" not in way)]
            found = runs[store] = {way: measure(folder, way, 1) for way in ways}
            for threads in THREADS if is_first else THREADS[:1]:
                found[f"against_plain {threads}"] = measure(folder, "against_plain", threads)
    tables = {
        "CPU time": [
            speed_row(store, threads, found[f"against_plain {threads}"])
            for store, found in runs.items()
            for threads in THREADS
            if f"against_plain {threads}" in found
        ],
        "Floor, CPU s": [{"store": store} | found["floor"] for store, found in runs.items()],
        "Memory": [
            memory_row(store, way, found[way])
            for store, found in runs.items()
            for way in WAYS
            if "peak MB" in found.get(way, {})
        ],
    }
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
    write_page("streaming", "Streaming", text, tables, circumstances(*PACKAGES) | {"runs": runs})


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    elif sys.argv[2] in WAYS:
        print(json.dumps(WAYS[sys.argv[2]](Path(sys.argv[1]), int(sys.argv[3]))))
    else:
        write_store(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
