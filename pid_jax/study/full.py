"""The whole of a study: estimates, metrics, verdicts, and the verdicts under other choices."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import xarray as xr

from pid_jax.runtime.processes import ALONE, Processes
from pid_jax.runtime.progress import Progress, no_progress, part_of
from pid_jax.store.targets import Answer
from pid_jax.study.config import StudyConfig, open_models
from pid_jax.study.metrics.add import add_metrics
from pid_jax.study.model import condition_name
from pid_jax.study.multiverse import check_conditions, run_multiverse
from pid_jax.study.run import TargetStudy, run_targets
from pid_jax.study.spec import target_name

# Part of the progress that is told of the study itself where there are universes beside it.
PARTS = 2


def run_full_study(
    config: StudyConfig,
    *,
    cells: Path | None = None,
    progress: Progress = no_progress,
    tell: Callable[[str], None] = lambda line: None,
    processes: Processes = ALONE,
) -> tuple[dict[str, TargetStudy], list[str]]:
    """Run a study as a file describes it.

    Args:
        config: Models, settings, and choices to be tried beside.
        cells: Folder for cells; with it a study that was killed goes on.
        progress: Called with steps done and all there are.
        tell: Called with a line on what is there already.
        processes: Those that share the work, as for `run_study`; all return the same.

    Returns:
        By the names of the targets, the datasets of docs/study_dataset.md; and a line on everything that had to be left
        out. The multiverse belongs to the first target that is a state.

    Raises:
        ValueError: If nothing could be estimated.
        ProcessError: If another process failed, was lost, or has other stores.
    """
    models, problems = open_models(config.models)
    multiverse = config.multiverse
    parts = 1 if multiverse is None else PARTS
    if multiverse is not None:
        if not problems:  # else a condition may be missing for the store that cannot be opened
            check_conditions(models, multiverse.conditions)
        there = {condition_name(store) for model in models for store in model.knockouts}
        kept = tuple(name for name in multiverse.conditions if name in there)
        multiverse = dataclasses.replace(multiverse, conditions=kept)
    found = run_targets(
        models,
        config.targets,
        spec=config.spec,
        seed=config.seed,
        cells=cells,
        problems=problems,
        progress=part_of(progress, 0, parts),
        tell=tell,
        processes=processes,
    )
    studies = {name: one for name, one in found.items() if isinstance(one, TargetStudy)}
    if not studies:
        raise ValueError(" ".join(dict.fromkeys(str(one) for one in found.values())))
    lines = [f"target {name!r}: {one}" for name, one in found.items() if isinstance(one, str)]
    for name, one in studies.items():
        studies[name] = dataclasses.replace(one, results=add_metrics(one.results))
        own = [*json.loads(one.results.attrs["problems"]), *_failures(one.results)]
        lines += [line for line in own if line not in lines]
    states = [one for one in config.targets if not isinstance(one, Answer) and target_name(one) in studies]
    if multiverse is not None and not states:
        lines.append("the multiverse needs a target that is a state, such as final-norm: add one to targets")
    elif multiverse is not None:
        name = target_name(states[0])
        results = run_multiverse(
            studies[name].results,
            models,
            spec=dataclasses.replace(config.spec, target=states[0]),
            multiverse=multiverse,
            seed=config.seed,
            cells=cells,
            progress=part_of(progress, 1, parts),
            tell=lines.append,
            processes=processes,
        )
        studies[name] = dataclasses.replace(studies[name], results=results)
    return studies, lines


def _failures(results: xr.Dataset) -> list[str]:
    """Say of every task what could not be estimated: one line where all conditions have one reason."""
    lines: dict[str, list[str]] = {}
    for model in results["model"].values:
        for task in results["task"].values:
            cell = results[["cell", "problem"]].sel(model=model, task=task)
            for condition in results["condition"].values[cell["cell"].values == "failed"]:
                reason = str(cell["problem"].sel(condition=condition).item())
                lines.setdefault(f"model {str(model)!r}, task {str(task)!r}: {reason}", []).append(str(condition))
    return [f"{line} ({_some(names)})" for line, names in lines.items()]


def _some(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} other conditions"
