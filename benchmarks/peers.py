"""How pid_jax compares with other packages: figures taken from benchmarks/results."""

import statistics
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from benchmarks.record import Measured

Results = Mapping[str, Measured]


class Peer(NamedTuple):
    """How pid_jax does beside something else.

    Attributes:
        work: What both do.
        beside: What it is compared with.
        measured: The results that it is in.
        times: CPU time of pid_jax over that of the other.
        floor: The same over the least that there could be; None where that was not measured.
    """

    work: str
    beside: str
    measured: Measured
    times: float
    floor: float | None = None

    @property
    def label(self) -> str:
        return f"{self.work}, against {self.beside}"


def peers_of(results: Results) -> list[Peer]:
    """Take all comparisons from the results, in the order in which they are shown."""
    parts = (_gaussian, _discrete, _answers, _pca, _flows, _bootstrap, _extraction, _store)
    names = ("gaussian", "discrete", "categorical_speed", "pca", "flow_speed", "bootstrap", "extraction", "store")
    return [peer for part, name in zip(parts, names, strict=True) for peer in part(results[name])]


def _gaussian(found: Measured) -> Iterator[Peer]:
    for d, problems in ((16, 33), (16, 1000), (64, 33)):
        row = found.row("BROJA", d=d, problems=problems)
        floor = row["pid_jax ms"] / row["floor ms"] if "floor ms" in row else None
        name = f"BROJA of {problems} problems, d = {d}"
        yield Peer(name, "SciPy loop, one BLAS thread", found, row["ratio to that"], floor)
    times = found.row("MMI", problems=33)["ratio"]
    yield Peer("MMI of 33 problems from samples", "hoi, which compiles at every call", found, times)


def _discrete(found: Measured) -> Iterator[Peer]:
    for classes, cells, package in ((2, "8 x 8", "dit"), (2, "16 x 16", "ECOS"), (10, "16 x 16", "ECOS")):
        times = 1 / found.row("Other packages", classes=classes, cells=cells)[f"{package} / pid_jax"]
        name = "dit" if package == "dit" else "a cone program, ECOS"
        yield Peer(f"BROJA of a table, {cells} cells, {classes} classes", name, found, times)


def _answers(found: Measured) -> Iterator[Peer]:
    for kinds in ("the linear kind", "both kinds"):
        times = found.row("33 layers", what=f"scikit-learn: predictions of {kinds}")["over pid_jax"]
        yield Peer("an answer of 10 classes, 33 layers", f"scikit-learn loops, {kinds}", found, 1 / times)


def _pca(found: Measured) -> Iterator[Peer]:
    for way in ("scikit-learn, 1 BLAS thread", "scikit-learn, 1 BLAS thread, 16 iterations"):
        yield Peer("PCA of 33 layers", way, found, found.row("33 layers", way=way)["pid_jax / this"])


def _flows(found: Measured) -> Iterator[Peer]:
    seconds = {row["library"]: row["CPU seconds"] for row in found.table("99 flows")}
    own, floor = seconds["pid_jax"], seconds["floor: matrix products at the speed of sgemm"]
    for library in ("flowjax", "zuko", "nflows"):
        yield Peer("99 flows of 33 layers", library, found, own / seconds[library], own / floor)


def _bootstrap(found: Measured) -> Iterator[Peer]:
    times = statistics.median(row["ratio"] for row in found.table("CPU seconds"))
    yield Peer("1000 bootstrap replicates", "1000 batched calls of gaussian_pid", found, times)


def _extraction(found: Measured) -> Iterator[Peer]:
    for model in ("small, 64 a batch", "0.3B, 576 image tokens, 2 a batch"):
        row = found.row("Overhead", model=model, tokens_answered=1)
        yield Peer(f"extraction, {model}", "the bare model", found, row["extraction and store"] / row["bare"])


def _store(found: Measured) -> Iterator[Peer]:
    for step, first in (
        ("write, without fsync", "safetensors, whole files"),
        ("read, page cache", "safetensors, layer by layer"),
    ):
        floor = found.row("Write", step=step, way="pid_jax")["CPU s"] / found.row("Floor")["CPU s"]
        for way in (first, "npy, a file a layer", "HDF5", "zarr"):
            row = found.row("Write", step=step, way=way)
            yield Peer(f"store: {step}", way, found, 1 / row["throughput of pid_jax / this, CPU"], floor)
