"""The settings of arXiv 2602.15580 on the stores of a study, next to its own analysis."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import xarray as xr

from pid_jax.runtime.processes import ALONE, Processes
from pid_jax.runtime.progress import Progress, no_progress
from pid_jax.store import Activations
from pid_jax.study.conditions import CLAIMED_EDGES, WHOLE_WINDOW, cut_of
from pid_jax.study.metrics.add import add_metrics
from pid_jax.study.model import StudyModel
from pid_jax.study.run import run_study
from pid_jax.study.spec import StudySpec

# As many correctly answered samples of every task and model are said to have been there.
FEWEST_SAMPLES = 900
_WHERE = "the paper's settings"


def recompute(
    models: Sequence[StudyModel],
    *,
    spec: StudySpec,
    seed: int = 0,
    cells: Path | None = None,
    progress: Progress = no_progress,
    tell: Callable[[str], None] = lambda line: None,
    processes: Processes = ALONE,
) -> tuple[xr.Dataset | None, list[str]]:
    """Study the baselines and the one knockout that the paper has: Image→Question, cut in all blocks.

    Args:
        models: Baselines and knockouts.
        spec: `StudySpec.paper()`, or some of it changed.
        seed: Seed of everything random.
        cells: Folder for cells; with it a study that was killed resumes.
        progress: Called with steps done and all there are.
        tell: Called with a line on what is there already.
        processes: Those that share the work, as for `run_study`.

    Returns:
        The dataset of docs/study_dataset.md with metrics, None if nothing could be estimated; and a line on whatever
        differs from the paper: knockouts that are missing, tasks with fewer than 900 samples, what was left out.
    """
    lines, used = [], []
    for model in models:
        kept = _whole_cut(model)
        if not kept:
            lines.append(f"{_WHERE}: model {model.name!r} has no store with Image→Question cut in all blocks")
        used.append(dataclasses.replace(model, knockouts=kept, decision=()))
    try:
        found = run_study(used, spec=spec, seed=seed, cells=cells, progress=progress, tell=tell, processes=processes)
    except ValueError as error:
        return None, [*lines, f"{_WHERE}: {error}"]
    lines += [f"{_WHERE}: {line}" for line in json.loads(found.attrs["problems"])]
    lines += few_samples(found)
    return add_metrics(found).assign_attrs(deviations=json.dumps(lines)), lines


def few_samples(results: xr.Dataset) -> list[str]:
    """Return a line for every model with tasks that have fewer samples than the paper's."""
    lines = []
    for model in results["model"].values:
        counts = results["n_samples"].sel(model=model).to_series().dropna().astype(int)
        few = [f"{task} {count}" for task, count in counts.items() if 0 < count < FEWEST_SAMPLES]
        if few:
            lines.append(
                f"{_WHERE}: fewer than {FEWEST_SAMPLES} samples of model {str(model)!r} are answered correctly in "
                f"{', '.join(few)}"
            )
    return lines


def _whole_cut(model: StudyModel) -> tuple[Activations, ...]:
    """Find the store with Image→Question cut in all blocks: the one that says so, or whose window has all blocks."""
    found = []
    for store in model.knockouts:
        cut = cut_of(store.manifest.condition)
        is_called = cut.window == WHOLE_WINDOW
        if cut.name == CLAIMED_EDGES and (is_called or (cut.first == 0 and cut.last >= model.last_layer - 1)):
            found.append((not is_called, len(found), store))
    return tuple(store for _, _, store in sorted(found)[:1])
