"""`pid-jax`: from activation stores and arrays to atoms, figures and a page."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pid_jax.cli.arrays import Axes, Columns, Layout, Masks, Table, import_arrays, read_layout
from pid_jax.cli.draw import CELLS, FIGURES, PAGE, Drawn, describe_stop, draw, draw_some
from pid_jax.cli.estimate import estimate
from pid_jax.cli.options import (
    Dims,
    Seed,
    Source1,
    Source2,
    Standardize,
    Tasks,
    Way,
    check_seed,
    given_options,
    read_dims,
)
from pid_jax.cli.verdicts import print_verdicts
from pid_jax.runtime.console import err, fraction_bar, make_app, out, parse_names, resumable, run_app, working
from pid_jax.runtime.files import check_file, check_folder

if TYPE_CHECKING:
    from pid_jax.study.config import StudyConfig

# Options that a study file has entries for.
_IN_FILE = (
    *("preset", "knockout", "decision", "dims", "variance", "standardize"),
    *("keep", "tasks", "targets", "gaussianize", "seed", "source_1", "source_2"),
    *("layout", "table", "axes", "mask", "column"),
)
RESULTS = "results.nc"

app = make_app("Partial information decomposition of what a model's modalities tell about its prediction.")
app.command("import")(import_arrays)
app.command()(estimate)


def _preset(name: str) -> str:
    """Refuse what is no name of a preset; a parser like `_known`."""
    from pid_jax.study.config import PRESETS

    if name not in PRESETS:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(map(repr, PRESETS))}.")
    return name


Figures = Annotated[
    str,
    typer.Option(
        "--figures",
        metavar="WHICH",
        help="'main': of the whole study, and of each model where there are 6 at most; 'all'; 'none'; or names with "
        "commas, such as 'trajectories-*'. Those that are there are not drawn again.",
    ),
]


@app.command()
def demo(
    out_dir: Annotated[Path, typer.Option("--out", help="Output folder; what is already there is reused.")] = Path(
        "demo"
    ),
    per_task: Annotated[int, typer.Option(help="Questions of each of the two tasks, of 1000 images.")] = 950,
) -> None:
    """Run the main job on the small trained LLaVA and easy-VQA: extract, decompose, draw."""
    _check_folder(out_dir)
    from pid_jax.cli.demo import extract_demo

    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(import_module, "pid_jax.study.config")  # JAX is loaded while other processes extract
        stores = extract_demo(out_dir, per_task)
    from pid_jax.study.config import ModelConfig, StudyConfig, study_spec

    model = ModelConfig(
        name="tiny",
        store=str(stores.baseline),
        knockouts=tuple(map(str, stores.knockouts)),
        decision=tuple(map(str, stores.decision)),
    )
    _study(StudyConfig(models=(model,), spec=study_spec()), out_dir, is_strict=True)


@app.command()
def small_study(
    out_dir: Annotated[Path, typer.Option("--out", help="Output folder; what is already there is reused.")] = Path(
        "study"
    ),
    per_task: Annotated[int, typer.Option(help="Questions of each of the six tasks.")] = 1000,
) -> None:
    """Run a whole study on two small LLaVAs and generated images: six tasks, knockouts in windows, verdicts, report."""
    _check_folder(out_dir)
    from pid_jax.cli.demo import extract_small_study
    from pid_jax.study.config import read_config

    # Not strict: behind the cut, the questions of some tasks take few values, which no Gaussian describes.
    _study(read_config(extract_small_study(out_dir, per_task)), out_dir, is_strict=False)


@app.command()
def study(
    context: typer.Context,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the results, the figures and the page.")],
    config: Annotated[Path | None, typer.Argument(help="A study file (TOML), for several models or choices.")] = None,
    store: Annotated[str | None, typer.Option(help="Without a file: store of the baseline, a folder or a URL.")] = None,
    knockout: Annotated[list[str] | None, typer.Option(help="Store of a knockout; may be repeated.")] = None,
    decision: Annotated[
        list[str] | None, typer.Option(help="Store of `pid-extract decision`; may be repeated.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            parser=_preset,
            metavar="NAME",
            help="'paper': study the same stores with the settings of arXiv 2602.15580 too; of questions answered "
            "'correct' unless --keep says otherwise.",
        ),
    ] = None,
    layout: Layout = None,
    table: Table = None,
    axes: Axes = None,
    mask: Masks = None,
    column: Columns = None,
    source_1: Source1 = "image",
    source_2: Source2 = "question",
    dims: Dims = "12,12,8",
    variance: Annotated[
        float | None,
        typer.Option(help="Keep the fewest components with this part of the variance, such as 0.95, --dims at most."),
    ] = None,
    standardize: Standardize = False,
    keep: Annotated[
        str | None, typer.Option(help="'all' samples, or those answered 'correct' in the baseline.")
    ] = None,
    tasks: Tasks = "all",
    targets: Annotated[
        str | None,
        typer.Option(
            "--targets",
            "--target",
            help="What the information is about, with commas; the first is first on the page. The role of a state may "
            "be given. Default: the answer and the last state, as far as they are there.",
        ),
    ] = None,
    gaussianize: Way = "copula",
    seed: Seed = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Fail if anything had to be left out.")] = False,
    distributed: Annotated[
        bool, typer.Option("--distributed", help="Share the work with all processes that `srun` or `torchrun` started.")
    ] = False,
    budget_gb: Annotated[
        float, typer.Option(help="Memory for the arrays of a stage that exist at a time, in GB.")
    ] = 2.0,
    figures: Figures = "main",
) -> None:
    """Decompose every task, condition and layer of activation stores, and write results, figures and a page."""
    _check_folder(out_dir)
    check_seed(seed)
    from pid_jax.study import config as made_by

    if (config is None) == (store is None):
        given = "neither" if config is None else "both"
        raise ValueError(f"pid-jax study needs a study file or --store, got {given}.")
    if config is not None:
        if given := given_options(context, _IN_FILE):
            raise ValueError(f"{given[0]} and a study file were given: set it in {config}, whose settings count.")
        _study(made_by.read_config(config), out_dir, strict, distributed, budget_gb, figures)
        return
    shared = {
        **{"keep": keep or made_by.default_keep(preset), "tasks": parse_names(tasks)},
        **{"source_1_role": source_1, "source_2_role": source_2},
    }
    reduced = {"dims": read_dims(dims), "variance": variance, "standardize": standardize}
    about = made_by.parse_targets("--targets", targets)
    spec = made_by.study_spec(gaussianize=gaussianize, target=made_by.main_target(about), **reduced, **shared)
    model = made_by.ModelConfig(
        name=Path(str(store)).resolve().name,
        store=str(store),
        knockouts=tuple(knockout or ()),
        decision=tuple(decision or ()),
        layout=read_layout(layout, axes, mask, column),
        table=table,
    )
    paper = made_by.paper_spec(preset, **shared)
    made = made_by.StudyConfig(models=(model,), spec=spec, targets=about, paper=paper, seed=seed)
    _study(made, out_dir, strict, distributed, budget_gb, figures)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="The folder that `pid-jax study` wrote to, or one results file.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the figures and the page.")],
    figures: Figures = "main",
) -> None:
    """Write the page of a study again, and draw figures that are missing."""
    _check_folder(out_dir)
    from pid_jax.study.files import load_folder

    found = load_folder(results)
    for line in found.notes:
        err.print(f"Left out: {line}")
    draw(found.targets, found.decision, out_dir, found.paper, figures=figures, folder=results)


def _study(
    config: "StudyConfig",
    out_dir: Path,
    is_strict: bool,
    is_distributed: bool = False,
    budget_gb: float | None = None,
    figures: str = "main",
) -> None:
    """Run a study. Of several processes the first one alone prints, draws and writes the results."""
    from pid_jax.runtime.launch import Launch, find_launch

    launch = find_launch() if is_distributed else Launch()
    is_first = launch.rank == 0
    with working("Starting JAX", is_shown=is_first):
        from pid_jax.cli.compilation_cache import keep_compiled
        from pid_jax.runtime.devices import use_devices
        from pid_jax.runtime.processes import WAITING_SECONDS, join_processes
        from pid_jax.study.files import describe_others, save_studies
        from pid_jax.study.full import run_full_study

        keep_compiled()
    if is_first and launch.count > 1:
        more = f"{launch.count - 1} more processes of {launch.launcher}"
        err.print(f"Waiting for {more}, {WAITING_SECONDS // 60} minutes at most.")
    tell, drawn = out.print if is_first else lambda line: None, Drawn()
    with join_processes(launch) as processes:
        with (
            resumable(lambda: describe_stop(out_dir, drawn), is_shown=is_first),
            fraction_bar("Decomposing", is_shown=is_first) as progress,
            use_devices(budget_gb=budget_gb),
        ):
            found = run_full_study(
                config,
                cells=out_dir / CELLS,
                progress=progress,
                tell=tell,
                found_some=partial(draw_some, out_dir, drawn, tell),
                processes=processes,
            )
        if is_first:
            save_studies(found.targets, out_dir, decision=found.decision, paper=found.paper)
            for line in (*found.problems, *describe_others(out_dir)):
                err.print(f"Left out: {line}")
            for one in found.targets.values():
                print_verdicts(one.results)
            if found.paper is not None:
                print_verdicts(found.paper, "with the settings of arXiv 2602.15580")
            draw(found.targets, found.decision, out_dir, found.paper, figures=figures, folder=out_dir)
        if found.problems and is_strict:
            raise ValueError(f"{len(found.problems)} parts of the study had to be left out; see above.")


def _check_folder(out_dir: Path) -> None:
    for folder in (out_dir, out_dir / CELLS, out_dir / FIGURES):
        check_folder(folder, "--out")
    for name in (RESULTS, PAGE):
        check_file(out_dir / name, "--out")


def main() -> None:
    """Run the command line."""
    # XLA warns at length about every program that it finds compiled; errors of JAX are raised all the same.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    run_app(app)
