"""The benchmark page of the documentation, written from benchmarks/results/*.json.

`python -m benchmarks.page` writes docs/benchmarks.md and the plots in docs/images/benchmarks; `make bench` ends with
it. Every file of results is on the page, with its command, date and hardware.
"""

from pathlib import Path

from benchmarks.measured import PEERS, Measured, Peer, read_all
from benchmarks.pages import Row, markdown_table
from benchmarks.plots import AXES_OF_SCALING, Results, write_plots

DOCS = Path(__file__).parent.parent / "docs"
PAGE, IMAGES = DOCS / "benchmarks.md", DOCS / "images" / "benchmarks"

INTRODUCTION = """\
# Benchmarks

<!-- Written by `python -m benchmarks.page` from benchmarks/results/*.json: edit that file, not this page. -->

`make bench` measures everything again and writes this page; each figure has the command that measures it alone. Times
are CPU seconds of all threads. Compare ratios: both sides of a ratio are measured in one run, in turns, while seconds
belong to the machine they were measured on. Floors are operations or bytes, counted by formula in
`benchmarks/floors.py`, at the speed at which one core of the machine multiplies large matrices or reads memory; nothing
that does the same arithmetic can take less.
"""
PEERS_TEXT = """\
## Beside other packages

![CPU time of pid_jax over that of others](images/benchmarks/peers.svg)

Both do the same work on the same data. With its default iterations scikit-learn's components are less exact (angles of
.02 to the exact ones, where those of pid_jax are below 1e-5); pid_jax checks every byte that it reads from a store, and
the others none. More cases are in the tables below: single problems, where pid_jax is slower than a plain call, too.
"""
SCALING_TEXT = """\
## How the cost grows

![CPU seconds over layers, samples and dims](images/benchmarks/scaling.svg)

Solid: measured; dashed: the floor of the same color. Small matrices are far from the speed of large ones, so the lines
come closer with more dims.
"""
GPU_TEXT = """\
## On a GPU

The same calls on a card and on the CPUs beside it, wall seconds, transfers and the part of the host included. The share
is that of a large matrix product on the card: matrices of some dozen rows, one after another in a factorization, do not
fill it. A card pays off for many layers or many replicates; its first call compiles for longer than that of a CPU.
"""
EXTRACTION_TEXT = """\
Extraction beside the bare model, from a LLaVA of the size of 7B with random weights and from the small trained one;
measured before shards were written while the model computes the next one:
"""
ACCURACY_TEXT = """\
## Accuracy where the information is known

![Errors of estimators of mutual information](images/benchmarks/accuracy.svg)

Tasks of a published benchmark of estimators, n = 5000, without those of Student-t distributions, by dims of the two
variables. KSG, MINE and InfoNCE are the errors that were published for them.
"""
GUARD_TEXT = """\
## Kernels and the guard

`make guard` measures the kernels again and fails if the ratio of one to its reference, a plain call of the same
character in the same run, is much larger than the stored one.
`python -m pytest benchmarks/test_kernels.py` times them by pytest-benchmark.
"""
TABLES_TEXT = """\
## All tables

Each names versions and hardware. Figures in the guides come from here.
"""
CONTENTS = """\
```{toctree}
:hidden:
:glob:

results/*
```
"""


def _source(found: Measured) -> str:
    return f"`{found.command}`; {found.date}, {found.hardware}."


def _link(found: Measured) -> str:
    return f"[{found.name}](../benchmarks/results/{found.name}.md)"


def _peer_row(peer: Peer, found: Measured) -> Row:
    floor = peer.floor(found)
    return {
        "work": peer.work,
        "beside": peer.peer,
        "CPU time of pid_jax / its": peer.times(found),
        "/ the floor": "" if floor is None else floor,
        "measured by": f"`{found.command}`",
        "on": f"{found.date}, {found.hardware}",
    }


def _scaling(found: Measured) -> str:
    speeds = ", ".join(f"{name} {value:.3g}" for name, value in found.speeds.items())
    parts = [
        f"{SCALING_TEXT}\n{_source(found)} Speeds behind the floors: {speeds}.\n",
        markdown_table(found.table("From an eighth")),
    ]
    for axis, title in AXES_OF_SCALING.items():
        last = {row["way"]: row for row in found.table(title)}
        parts.append(f"\nMost {axis}:\n\n{markdown_table(list(last.values()))}")
    if "Devices" in found.tables:
        parts.append(f"\nDevices, which share the cores of the machine:\n\n{markdown_table(found.table('Devices'))}")
    return "\n".join(parts) + "\n"


def _gpu(core: Measured, extraction: Measured) -> str:
    parts = [f"{GPU_TEXT}\n{_source(core)}\n", markdown_table(core.table("Wall seconds"))]
    parts += [f"\n{EXTRACTION_TEXT}\n{_source(extraction)}\n", markdown_table(extraction.table("Overhead"))]
    return "\n".join(parts) + "\n"


def _guard(found: Measured) -> str:
    return f"{GUARD_TEXT}\n{_source(found)}\n\n{markdown_table(found.table('Ratios'))}\n"


def _all_tables(results: Results) -> str:
    rows = [
        {
            "table": _link(found),
            "what is measured": found.purpose,
            "command": f"`{found.command}`",
            "date": found.date,
            "hardware": found.hardware,
        }
        for found in results.values()
    ]
    return f"{TABLES_TEXT}\n{markdown_table(rows)}\n"


def make_page(results: Results) -> str:
    """Write the text of the page."""
    peers = [_peer_row(peer, results[peer.results]) for peer in PEERS]
    parts = [INTRODUCTION, f"{PEERS_TEXT}\n{markdown_table(peers)}\n", _scaling(results["scaling"])]
    parts += [_gpu(results["gpu"], results["extraction_cuda_7B"])]
    parts += [f"{ACCURACY_TEXT}\n{_source(results['known_information'])}\n", _guard(results["guard"])]
    return "\n".join([*parts, _all_tables(results), CONTENTS])


def main() -> None:
    results = read_all()
    write_plots(results, IMAGES)
    PAGE.write_text(make_page(results))
    print(PAGE)


if __name__ == "__main__":
    main()
