"""How pid_jax compares with other packages: figures taken from benchmarks/results."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.record import Measured
from benchmarks.tables import Row


@dataclass(frozen=True)
class Peer:
    """How pid_jax does beside something else.

    Attributes:
        work: What both do.
        peer: What it is compared with.
        results: The file that it is in.
        times: From the results to the CPU time of pid_jax over that of the peer.
        floor: The same over the least that there could be; None where that was not measured.
    """

    work: str
    peer: str
    results: str
    times: Callable[[Measured], float]
    floor: Callable[[Measured], float | None] = lambda found: None


def _gaussian(dim: int, problems: int) -> Peer:
    def row(found: Measured) -> Row:
        return found.row("BROJA", d=dim, problems=problems)

    return Peer(
        f"BROJA of {problems} problems, d = {dim}",
        "SciPy loop, one BLAS thread",
        "gaussian",
        lambda found: row(found)["ratio to that"],
        lambda found: row(found)["pid_jax ms"] / row(found)["floor ms"] if "floor ms" in row(found) else None,
    )


def _pca(way: str) -> Peer:
    return Peer("PCA of 33 layers", way, "pca", lambda found: found.row("33 layers", way=way)["pid_jax / this"])


def _flow(library: str) -> Peer:
    def cpu(found: Measured, name: str) -> float:
        return found.row("99 flows", library=name)["CPU seconds"]

    floor = "floor: matrix products at the speed of sgemm"
    return Peer(
        "99 flows of 33 layers",
        library,
        "flow_speed",
        lambda found: cpu(found, "pid_jax") / cpu(found, library),
        lambda found: cpu(found, "pid_jax") / cpu(found, floor),
    )


def _store(step: str, peer: str) -> Peer:
    return Peer(
        f"store: {step}",
        peer,
        "store",
        lambda found: 1 / found.row("Write", step=step, way=peer)["throughput of pid_jax / this, CPU"],
        lambda found: found.row("Write", step=step, way="pid_jax")["CPU s"] / found.row("Floor")["CPU s"],
    )


def _extraction(model: str) -> Peer:
    def times(found: Measured) -> float:
        row = found.row("Overhead", model=model, tokens_answered=1)
        return row["extraction and store"] / row["bare"]

    return Peer(f"extraction, {model}", "the bare model", "extraction", times)


WRITE, READ = "write, without fsync", "read, page cache"
PEERS = (
    _gaussian(16, 33),
    _gaussian(16, 1000),
    _gaussian(64, 33),
    Peer(
        "MMI of 33 problems from samples",
        "hoi, which compiles at every call",
        "gaussian",
        lambda found: found.row("MMI", problems=33)["ratio"],
    ),
    _pca("scikit-learn, 1 BLAS thread"),
    _pca("scikit-learn, 1 BLAS thread, 16 iterations"),
    _flow("flowjax"),
    _flow("zuko"),
    _flow("nflows"),
    Peer(
        "1000 bootstrap replicates",
        "1000 batched calls of gaussian_pid",
        "bootstrap",
        lambda found: statistics.median(row["ratio"] for row in found.table("CPU seconds")),
    ),
    _extraction("small, 64 a batch"),
    _extraction("0.3B, 576 image tokens, 2 a batch"),
    _store(WRITE, "safetensors, whole files"),
    _store(WRITE, "npy, a file a layer"),
    _store(WRITE, "HDF5"),
    _store(WRITE, "zarr"),
    _store(READ, "safetensors, layer by layer"),
    _store(READ, "npy, a file a layer"),
    _store(READ, "HDF5"),
    _store(READ, "zarr"),
)
