"""The whole of a study: estimates, metrics, verdicts, the models' own decisions, and verdicts under other choices."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from pid_jax.runtime.processes import ALONE, Processes
from pid_jax.runtime.progress import Progress, no_progress, part_of
from pid_jax.store.targets import Answer, FinalNorm
from pid_jax.study.cache import hash_json
from pid_jax.study.config import StudyConfig, default_targets, main_target, open_models
from pid_jax.study.decide import run_decisions
from pid_jax.study.metrics.add import add_metrics
from pid_jax.study.model import StudyModel, condition_name
from pid_jax.study.multiverse import Multiverse, check_conditions, run_multiverse
from pid_jax.study.paper import recompute
from pid_jax.study.run import TargetStudy, run_targets
from pid_jax.study.spec import target_name


@dataclass(frozen=True, kw_only=True)
class WholeStudy:
    """All that a study file asks for.

    Attributes:
        targets: By the names of the targets, the datasets of docs/study_dataset.md. The multiverse belongs to the first
            target that is a state, or to the first target where all are answers.
        paper: What the settings of arXiv 2602.15580 find in the same stores; None where they were not asked for, or
            nothing could be estimated.
        decision: The models' own decisions; None if no model has stores of them, or none could be decomposed.
        problems: A line on everything that had to be left out.
        missing: A line on everything that is not there yet, while a study is running; results have it in their
            attribute `missing`, a JSON list.
    """

    targets: dict[str, TargetStudy]
    decision: xr.Dataset | None
    paper: xr.Dataset | None
    problems: tuple[str, ...]
    missing: tuple[str, ...] = ()


def run_full_study(
    config: StudyConfig,
    *,
    cells: Path | None = None,
    progress: Progress = no_progress,
    tell: Callable[[str], None] = lambda line: None,
    found_some: Callable[[WholeStudy], None] | None = None,
    processes: Processes = ALONE,
) -> WholeStudy:
    """Run a study as a file describes it.

    Args:
        config: Models, settings, and alternative choices.
        cells: Folder for cells; with it a study that was killed resumes.
        progress: Called with steps done and all there are.
        tell: Called with a line on what is there already.
        found_some: Called with what has been found up to now, whenever there is more of it, but for the last time.
        processes: Those that share the work, as for `run_study`; all return the same.

    Raises:
        ValueError: If nothing could be estimated.
        ProcessError: If another process failed, was lost, or has other stores.
    """
    models, problems = open_models(config.models)
    config = _with_targets(config, models)
    multiverse = _usable(config.multiverse, models, is_complete=not problems)
    has_decisions = any(model.decision for model in models)
    parts = 1 + has_decisions + (multiverse is not None) + (config.paper is not None)
    shared: dict[str, Any] = {"seed": config.seed, "cells": cells, "processes": processes}
    part = part_of(progress, 0, parts)
    later = _still_missing(config, has_decisions, multiverse is not None)

    def tell_some(studies: Mapping[str, TargetStudy], missing: Sequence[str]) -> None:
        assert found_some is not None
        every = (*missing, *later)
        mark = {"missing": json.dumps(every)}
        found_some(
            WholeStudy(
                targets={
                    name: dataclasses.replace(one, results=add_metrics(one.results).assign_attrs(mark))
                    for name, one in studies.items()
                },
                decision=None,
                paper=None,
                problems=tuple(problems),
                missing=every,
            )
        )

    found = run_targets(
        models,
        config.targets,
        spec=config.spec,
        problems=problems,
        progress=part,
        tell=tell,
        found_some=None if found_some is None else tell_some,
        **shared,
    )
    studies = {name: one for name, one in found.items() if isinstance(one, TargetStudy)}
    if not studies:
        raise ValueError(" ".join(dict.fromkeys(str(one) for one in found.values())))
    lines = [f"target {name!r}: {one}" for name, one in found.items() if isinstance(one, str)]
    for name, one in studies.items():
        studies[name] = dataclasses.replace(one, results=add_metrics(one.results))
        own = [*json.loads(one.results.attrs["problems"]), *_failures(one.results)]
        lines += [line for line in own if line not in lines]
    part = part_of(progress, 1, parts)
    decision, more = run_decisions(models, spec=config.spec, progress=part, tell=tell, **shared)
    lines += more
    paper = None
    if config.paper is not None:
        part = part_of(progress, 1 + has_decisions, parts)
        paper, more = recompute(models, spec=config.paper, progress=part, tell=tell, **shared)
        lines += more
    studies, decision, paper = _identified(studies, decision, paper)
    if multiverse is not None:
        part = part_of(progress, parts - 1, parts)
        _add_universes(studies, models, config, multiverse, progress=part, tell=lines.append, **shared)
    return WholeStudy(targets=studies, decision=decision, paper=paper, problems=tuple(lines))


def _still_missing(config: StudyConfig, has_decisions: bool, has_universes: bool) -> list[str]:
    """Say what comes after the targets."""
    return [
        *(["what the models decide from one modality and from both"] if has_decisions else ()),
        *(["the settings of arXiv 2602.15580"] if config.paper is not None else ()),
        *(["verdicts under other choices"] if has_universes else ()),
    ]


def _with_targets(config: StudyConfig, models: Sequence[StudyModel]) -> StudyConfig:
    """Choose targets where nobody named any."""
    if config.targets:
        return config
    targets = default_targets(models[0].baseline) if models else (FinalNorm(),)
    return dataclasses.replace(
        config, targets=targets, spec=dataclasses.replace(config.spec, target=main_target(targets))
    )


def _usable(multiverse: Multiverse | None, models: Sequence[StudyModel], is_complete: bool) -> Multiverse | None:
    """Leave out conditions of stores that could not be opened, and refuse those that are misspelt."""
    if multiverse is None:
        return None
    if is_complete:
        check_conditions(models, multiverse.conditions)
    there = {condition_name(store) for model in models for store in model.knockouts}
    return dataclasses.replace(multiverse, conditions=tuple(one for one in multiverse.conditions if one in there))


def _identified(
    studies: dict[str, TargetStudy], *others: xr.Dataset | None
) -> tuple[dict[str, TargetStudy], *tuple[xr.Dataset | None, ...]]:
    """Give all datasets one identity, that of the targets and of the other datasets together."""
    there = [one for one in others if one is not None]
    if not there:
        return studies, *others
    first = next(iter(studies.values())).results.attrs["study"]
    identity = hash_json([first, *(one.attrs["study"] for one in there)])
    for name, one in studies.items():
        questions = None if one.questions is None else one.questions.assign_attrs(study=identity)
        studies[name] = TargetStudy(results=one.results.assign_attrs(study=identity), questions=questions)
    return studies, *(None if one is None else one.assign_attrs(study=identity) for one in others)


def _add_universes(
    studies: dict[str, TargetStudy],
    models: Sequence[StudyModel],
    config: StudyConfig,
    multiverse: Multiverse,
    **options: Any,
) -> None:
    """Add the multiverse to the first target that is a state, or to the first one where all are answers."""
    studied = [one for one in config.targets if target_name(one) in studies]
    target = next((one for one in studied if not isinstance(one, Answer)), studied[0])
    name, spec = target_name(target), dataclasses.replace(config.spec, target=target)
    results = run_multiverse(studies[name].results, models, spec=spec, multiverse=multiverse, **options)
    studies[name] = dataclasses.replace(studies[name], results=results)


def _failures(results: xr.Dataset) -> list[str]:
    """List by task what could not be estimated: one line where all conditions have one reason."""
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
