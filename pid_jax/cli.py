"""`pid-jax`: from activation stores and arrays to atoms, figures and a page."""

import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pid_jax.console import err, fraction_bar, make_app, out, parse_names, run_app, working

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from pid_jax.gaussianizers import Gaussianizer
    from pid_jax.spec import PCA
    from pid_jax.study.run import StudySpec

RESULTS, PAGE, FIGURES = "results.nc", "index.html", "figures"

app = make_app("Partial information decomposition of what a model's modalities tell about its prediction.")


class GaussianizeBy(StrEnum):
    """Maps of the variables to Gaussian latents, by their names on the command line."""

    FLOW = "flow"
    COPULA = "copula"
    NOTHING = "nothing"
    AUTO = "auto"


Dims = Annotated[str, typer.Option(help="PCA components of source_1, source_2 and target.")]
Keep = Annotated[str, typer.Option(help="'all' samples, or those answered 'correct' under the baseline.")]
Tasks = Annotated[str, typer.Option(help="'all' or task names with commas.")]
Way = Annotated[
    GaussianizeBy, typer.Option("--gaussianize", help="Flows, rank copula, nothing, or the best on held-out samples.")
]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]


@app.command()
def demo(
    out_dir: Annotated[Path, typer.Option("--out", help="Output folder; what is already there is reused.")] = Path(
        "demo"
    ),
    per_task: Annotated[int, typer.Option(help="Questions of each of the two tasks, of 1000 images.")] = 1000,
) -> None:
    """Run the main job on the small trained LLaVA and easy-VQA: extract, decompose, draw."""
    from pid_jax.demo import extract_demo

    paths = extract_demo(out_dir, per_task)
    _study(paths, out_dir, _study_spec("12,12,8", "all", "all", GaussianizeBy.FLOW), seed=0)


@app.command()
def study(
    store: Annotated[str, typer.Option(help="Store of the baseline: a folder or a URL.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the results, the figures and the page.")],
    knockout: Annotated[list[str] | None, typer.Option(help="Store of a knockout; may be repeated.")] = None,
    dims: Dims = "12,12,8",
    keep: Keep = "all",
    tasks: Tasks = "all",
    gaussianize: Way = GaussianizeBy.FLOW,
    seed: Seed = 0,
) -> None:
    """Decompose every task, condition and layer of activation stores, and write results, figures and a page."""
    _study([store, *(knockout or [])], out_dir, _study_spec(dims, keep, tasks, gaussianize), seed)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="A results.nc written by `pid-jax study`.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the figures and the page.")],
) -> None:
    """Draw the figures and the page of a study again."""
    from pid_jax.study.results import load_study

    _draw(load_study(results), out_dir)


@app.command()
def estimate(
    arrays: Annotated[Path, typer.Argument(help="An .npz with source_1, source_2 and target, each (..., n, p).")],
    out_file: Annotated[Path | None, typer.Option("--out", help="Write the result to this netCDF file.")] = None,
    dims: Dims = "16,16,16",
    gaussianize: Way = GaussianizeBy.FLOW,
    bits: Annotated[bool, typer.Option("--bits", help="Report in bits.")] = False,
    seed: Seed = 0,
) -> None:
    """Decompose what two arrays tell about a third."""
    import zipfile

    import jax
    import numpy as np

    from pid_jax.compilation_cache import keep_compiled
    from pid_jax.estimate import estimate_pid
    from pid_jax.result import VARIABLES
    from pid_jax.spec import PIDSpec
    from pid_jax.status import Status

    if arrays.is_file() and not zipfile.is_zipfile(arrays):  # an .npz is a zip file
        raise ValueError(f"{arrays} is no .npz file that can be read: write it with numpy.savez.")
    with np.load(arrays, allow_pickle=False) as loaded:
        missing = [name for name in VARIABLES if name not in loaded]
        if missing:
            raise ValueError(
                f"{arrays} has no array {', '.join(missing)}; it has {list(loaded)}. Name them {VARIABLES}."
            )
        values = [loaded[name] for name in VARIABLES]
    spec = PIDSpec(reduction=_pca(dims), gaussianize=_gaussianizer(gaussianize))
    keep_compiled()
    with fraction_bar("Decomposing") as progress:
        found = estimate_pid(*values, spec=spec, key=jax.random.key(seed), progress=progress)
    found = found.in_bits() if bits else found
    out.print(repr(found))
    for code in np.unique(found.status[found.status != Status.OK]):
        err.print(f"{Status(code).name}: {Status(code).message}")
    if out_file is not None:
        out.print(f"Written to {found.save(out_file)}.")
    if (found.status != Status.OK).all():
        raise ValueError(f"No problem of {arrays} could be decomposed.")


def _study(paths: Sequence[str | Path], out_dir: Path, spec: "StudySpec", seed: int) -> None:
    with working("Starting JAX"):
        import jax

        from pid_jax.compilation_cache import keep_compiled
        from pid_jax.store import ActivationStore
        from pid_jax.study.results import load_study, save_study
        from pid_jax.study.run import run_study, study_digest

        keep_compiled()
    stores = [ActivationStore.open(path) for path in paths]
    file = out_dir / RESULTS
    with working("Reading the stores"):
        digest = study_digest(stores, spec, seed)
    try:
        results = load_study(file)
    except ValueError:  # none, or damaged: made anew
        results = None
    if results is not None and results.attrs.get("inputs_sha256") == digest:
        out.print(f"{file}: made from the same stores and settings; reused.")
    else:
        with fraction_bar("Fitting flows and decomposing") as progress:
            results = run_study(stores, spec=spec, key=jax.random.key(seed), progress=progress)
        results = results.assign_attrs(inputs_sha256=digest)
        save_study(results, file)
    _print_table(results)
    _draw(results, out_dir)


def _draw(results: "xr.Dataset", out_dir: Path) -> None:
    with working("Drawing the figures and the page"):
        from pid_jax.plot.files import save_figures
        from pid_jax.report.page import write_report

        save_figures(results, out_dir / FIGURES)
        page = write_report(results, out_dir / PAGE)
    out.print(f"Figures: {out_dir / FIGURES}")
    out.print(f"Page: {page.resolve()}")


def _print_table(results: "xr.Dataset") -> None:
    """Print the atoms of the first measure in bits at the first, the middle and the last layer."""
    import numpy as np

    layers = results.layer.values
    shown = layers[sorted({0, len(layers) // 2, len(layers) - 1})]
    measure = str(results.measure.values[0])
    table = Table(title=f"Information about the prediction in bits, {measure.upper()}", box=None, padding=(0, 1, 0, 0))
    names = {
        "redundancy": "redundant",
        "unique_1": f"unique\n{results.attrs['source_1_label']}",
        "unique_2": f"unique\n{results.attrs['source_2_label']}",
        "synergy": "synergy",
    }
    for title in ("task", "condition", "accuracy"):
        table.add_column(title, no_wrap=True)
    for title in ("layer", *names.values()):
        table.add_column(title, justify="right", no_wrap=True)
    for task in results.task.values:
        for condition in results.condition.values:
            cell = results.sel(task=task, condition=condition, measure=measure)
            head = (str(task), str(condition), f"{float(cell.accuracy):.3f}")
            for row, layer in enumerate(shown):
                atoms = [f"{float(cell[name].sel(layer=layer)) / np.log(2):.2f}" for name in names]
                table.add_row(*(head if row == 0 else ("", "", "")), str(layer), *atoms)
    out.print(table)


def _study_spec(dims: str, keep: str, tasks: str, way: GaussianizeBy, intervals: bool = True) -> "StudySpec":
    from pid_jax.spec import PIDSpec
    from pid_jax.study.run import StudySpec

    ways = {name: _gaussianizer(name, intervals) for name in GaussianizeBy}
    others = tuple(ways[name] for name in (GaussianizeBy.COPULA, GaussianizeBy.NOTHING) if name != way)
    pid = PIDSpec(reduction=_pca(dims), gaussianize=ways[way])
    return StudySpec(pid=pid, compared=others, keep=keep, tasks=parse_names(tasks))


def _gaussianizer(way: GaussianizeBy, intervals: bool = True) -> "Gaussianizer":
    from pid_jax.gaussianizers import Auto, Copula, NoGaussianization, RealNVP

    flow = RealNVP(intervals=intervals)
    return {"flow": flow, "copula": Copula(), "nothing": NoGaussianization(), "auto": Auto(flow)}[way.value]


def _pca(dims: str) -> "PCA":
    from pid_jax.spec import PCA

    parts = dims.split(",")
    if len(parts) != 3 or not all(part.strip().isdigit() for part in parts):
        raise ValueError(f"--dims needs three whole numbers with commas, such as 12,12,8, got {dims!r}.")
    return PCA(dim=(int(parts[0]), int(parts[1]), int(parts[2])))


def main() -> None:
    """Run the command line."""
    # XLA warns at length about every program that it finds compiled; errors of JAX are raised all the same.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    run_app(app)


if __name__ == "__main__":
    main()
