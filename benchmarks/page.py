"""The benchmark page of the documentation, written from benchmarks/results/*.json.

`python -m benchmarks.page` writes docs/benchmarks.md and the plots in docs/images/benchmarks; `make bench` ends with
it. Every file of results is on the page, with its command, date and hardware.
"""

from pathlib import Path

from benchmarks.peers import Results, peers_of
from benchmarks.plots import AXES_OF_SCALING, write_plots
from benchmarks.record import Measured, read_results
from benchmarks.tables import Row, markdown_table

DOCS = Path(__file__).parent.parent / "docs"
PAGE, IMAGES = DOCS / "benchmarks.md", DOCS / "images" / "benchmarks"
TEXT = """\
# Benchmarks

<!-- Written by `python -m benchmarks.page` from benchmarks/results/*.json: edit that file, not this page. -->

`make bench` measures everything again and writes this page; each figure has the command that measures it alone. Times
are CPU seconds of all threads. Compare ratios: both sides of a ratio are measured in one run, in turns, while seconds
belong to the machine they were measured on. Floors are operations or bytes, counted by formula in
`benchmarks/floors.py`, at the speed at which one core of the machine multiplies large matrices or reads memory; nothing
that does the same arithmetic can take less.

## Beside other packages

![CPU time of pid_jax over that of others](images/benchmarks/peers.svg)

Both do the same work on the same data. With its default iterations scikit-learn's components are less exact (angles of
.02 to the exact ones, where those of pid_jax are below 1e-5); pid_jax checks every byte that it reads from a store, and
the others none. More cases are in the tables below: single problems, where pid_jax is slower than a plain call, too.

{peers}

## How the cost grows

![CPU seconds over layers, samples and dims](images/benchmarks/scaling.svg)

Solid: measured; dashed: the floor of the same color. Small matrices are far from the speed of large ones, so the lines
come closer with more dims.

{scaling_source} Speeds behind the floors: {speeds}.

{growth}

{most}

Devices, which share the cores of the machine:

{devices}

## On a GPU

The same calls on a card and on the CPUs beside it, wall seconds, transfers and the part of the host included. The share
is that of a large matrix product on the card: matrices of some dozen rows, one after another in a factorization, do not
fill it. A card pays off for many layers or many replicates; its first call compiles for longer than that of a CPU.

{gpu_source}

{gpu}

Extraction beside the bare model, from a LLaVA of the size of 7B with random weights and from the small trained one;
measured before shards were written while the model computes the next one:

{extraction_source}

{extraction}

## Accuracy where the information is known

![Errors of estimators of mutual information](images/benchmarks/accuracy.svg)

Tasks of a published benchmark of estimators, n = 5000, without those of Student-t distributions, by dims of the two
variables. KSG, MINE and InfoNCE are the errors that were published for them.

{accuracy_source}

## Kernels and the guard

`make guard` measures the kernels again and fails if the ratio of one to its reference, a plain call of the same
character in the same run, is much larger than the stored one.

{guard_source}

{guard}

## All tables

Each names versions and hardware. Figures in the guides come from here.

{tables}

```{{toctree}}
:hidden:
:glob:

results/*
```
"""


def make_page(results: Results) -> str:
    """Write the text of the page."""
    scaling, gpu, extraction = results["scaling"], results["gpu"], results["extraction_cuda_7B"]
    accuracy, guard = results["known_information"], results["guard"]
    return TEXT.format(
        peers=_peers(results),
        scaling_source=scaling.source,
        speeds=", ".join(f"{name} {value:.3g}" for name, value in scaling.record["speeds"].items()),
        growth=markdown_table(scaling.table("From an eighth")),
        most="\n\n".join(_most(scaling, *axis) for axis in AXES_OF_SCALING.items()),
        devices=markdown_table(scaling.table("Devices")),
        gpu_source=gpu.source,
        gpu=markdown_table(gpu.table("Wall seconds")),
        extraction_source=extraction.source,
        extraction=markdown_table(extraction.table("Overhead")),
        accuracy_source=accuracy.source,
        guard_source=guard.source,
        guard=markdown_table(guard.table("Ratios")),
        tables=markdown_table([_row(found) for found in results.values()]),
    )


def _peers(results: Results) -> str:
    return markdown_table(
        [
            {
                "work": peer.work,
                "beside": peer.beside,
                "CPU time of pid_jax / its": peer.times,
                "/ the floor": "" if peer.floor is None else peer.floor,
                "measured by": f"`{peer.measured.command}`",
                "on": f"{peer.measured.record['date']}, {peer.measured.hardware}",
            }
            for peer in peers_of(results)
        ]
    )


def _most(found: Measured, axis: str, title: str) -> str:
    """Show each function at the far end of an axis."""
    last = {row["way"]: row for row in found.table(title)}
    return f"Most {axis}:\n\n{markdown_table(list(last.values()))}"


def _row(found: Measured) -> Row:
    return {
        "table": f"[{found.name}](../benchmarks/results/{found.name}.md)",
        "what is measured": found.purpose,
        "command": f"`{found.command}`",
        "date": found.record["date"],
        "hardware": found.hardware,
    }


def main() -> None:
    results = read_results()
    write_plots(results, IMAGES)
    PAGE.write_text(make_page(results))
    print(PAGE)


if __name__ == "__main__":
    main()
