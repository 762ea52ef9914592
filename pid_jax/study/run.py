"""A study: all models, tasks, conditions and layers, cell by cell."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from pid_jax.runtime.devices import use_devices
from pid_jax.runtime.processes import ALONE, Processes
from pid_jax.runtime.progress import Progress, no_progress, part_of
from pid_jax.store.targets import Answer, Target
from pid_jax.study.assemble import assemble
from pid_jax.study.cache import Cell, Place, hash_json, open_cache
from pid_jax.study.make import cells_of
from pid_jax.study.model import StudyModel
from pid_jax.study.prepare import ReadyModel, UnknownTaskError, prepare_together
from pid_jax.study.questions import collect_questions
from pid_jax.study.scores import LostSamplesError
from pid_jax.study.spec import StudySpec, target_name

# JAX would take two numbers that differ by a multiple of this for one seed.
SEEDS = 2**32
# What was found up to now is told again after so many times as long as it took.
PAUSES = 10


def run_study(
    models: Sequence[StudyModel],
    *,
    spec: StudySpec | None = None,
    seed: int = 0,
    cells: Path | None = None,
    problems: Sequence[str] = (),
    progress: Progress = no_progress,
    tell: Callable[[str], None] = lambda line: None,
    processes: Processes = ALONE,
) -> xr.Dataset:
    """Decompose, per model, task, condition and layer, the information about the target of the settings.

    source_1 is the mean state of the image tokens, source_2 that of the question tokens; the target is by default the
    final norm's output at the last prompt position. `run_targets` studies several targets. The stores are read one
    layer at a time, and only scores are kept. Components are fitted on the baseline, task by task and layer by layer,
    and shared by all conditions, so that all are compared in the same subspace. All layers of one task and condition
    are then one cell; what it depends on is hashed, so that a study that was killed, or had conditions added, makes the
    missing cells only.

    What cannot be used is left out, and the study continues with the rest: `cell` and `problem` of the result, and its
    attribute `problems`, say what and why.

    Args:
        models: Baselines and knockouts, one model each.
        spec: Settings, `StudySpec()` if not given.
        seed: Seed of everything random.
        cells: Folder for the cells; nothing is kept without one, or with measures or Gaussianizers whose code cannot be
            read (docs/decisions/0026).
        problems: Lines on what was left out before, for the result.
        progress: Called with steps done and all there are.
        tell: Called with a line on what is there already, or that cells are not kept.
        processes: Those that share the work: all call this with the same arguments, and all return the same. Each reads
            its own layers, and makes and writes its own cells.

    Returns:
        The dataset of docs/study_dataset.md, without metrics.

    Raises:
        ValueError: If names repeat, the seed is invalid, a task is not known, or nothing at all could be estimated.
        ProcessError: If another process failed, was lost, or has other stores.
    """
    spec = StudySpec() if spec is None else spec
    (found,) = run_targets(
        models,
        (spec.target,),
        spec=spec,
        seed=seed,
        cells=cells,
        problems=problems,
        progress=progress,
        tell=tell,
        processes=processes,
    ).values()
    if isinstance(found, str):
        raise ValueError(found)
    return found.results


@dataclass(frozen=True, kw_only=True)
class TargetStudy:
    """What a study found about one target, or has found up to now.

    Attributes:
        results: The dataset of docs/study_dataset.md.
        questions: The dataset of single questions described there; None where the target is a state.
    """

    results: xr.Dataset
    questions: xr.Dataset | None = None


FoundSome = Callable[[Mapping[str, TargetStudy], Sequence[str]], None]
"""Called with what a study has found up to now, by target, and a line on everything that is still missing."""


def run_targets(
    models: Sequence[StudyModel],
    targets: Sequence[Target | Answer],
    *,
    spec: StudySpec,
    seed: int = 0,
    cells: Path | None = None,
    problems: Sequence[str] = (),
    progress: Progress = no_progress,
    tell: Callable[[str], None] = lambda line: None,
    found_some: FoundSome | None = None,
    processes: Processes = ALONE,
) -> dict[str, TargetStudy | str]:
    """Run a study with several targets: sources are read and reduced once for all of them.

    Args:
        models: As for `run_study`.
        targets: What the information is about, each once.
        spec: Settings; its own target does not count.
        seed: As for `run_study`, like the others.
        cells: Folder for the cells.
        problems: Lines on what was left out before.
        progress: Called with steps done and all there are.
        tell: Called with a line on what is there already.
        found_some: Called when the cells of a model and target were made, as long as that takes a small part of the
            time; not where several processes share the work.
        processes: Those that share the work.

    Returns:
        By the names that study files use for targets, in the order given: what was found, or why nothing could be.

    Raises:
        ValueError: If names repeat, the seed is invalid, or a task is not known.
        ProcessError: If another process failed, was lost, or has other stores.
    """
    _check(models, targets, seed)
    shared: dict[str, Any] = {"spec": spec, "seed": seed, "cells": cells, "processes": processes}
    used, lines = list(models), list(problems)
    while True:
        try:
            return _run_targets(
                used, targets, problems=lines, progress=progress, tell=tell, found_some=found_some, **shared
            )
        except LostSamplesError as error:
            lines.append(str(error))
            used = [
                dataclasses.replace(one, excluded=one.excluded | set(error.samples)) if one.name == error.model else one
                for one in used
            ]


def _run_targets(
    models: Sequence[StudyModel],
    targets: Sequence[Target | Answer],
    *,
    spec: StudySpec,
    seed: int,
    cells: Path | None,
    problems: Sequence[str],
    progress: Progress,
    tell: Callable[[str], None],
    found_some: FoundSome | None,
    processes: Processes,
) -> dict[str, TargetStudy | str]:
    """Run a study of samples that are all finite.

    Raises:
        LostSamplesError: If some are not.
    """
    categorical = dataclasses.replace(spec.categorical, level=spec.level)
    specs = {
        target_name(target): dataclasses.replace(spec, target=target, categorical=categorical) for target in targets
    }
    ready: dict[str, list[ReadyModel]] = {}
    lines: dict[str, list[str]] = {}
    found: dict[str, TargetStudy | str] = {}
    for name, own in specs.items():
        try:
            ready[name], lines[name] = prepare_together(models, own, seed, problems, processes)
        except UnknownTaskError:
            raise
        except ValueError as error:
            found[name] = str(error)
    cache = open_cache(cells, spec, tell)
    made: dict[str, dict[Place, Cell]] = {name: {} for name in ready}
    identity = _identify(ready, specs)

    next_at = 0.0

    def tell_found(names: Sequence[str], number: int, own: dict[Place, Cell], is_compared_later: bool) -> None:
        nonlocal next_at
        made[names[number]] |= own
        begin = time.monotonic()
        if found_some is None or begin < next_at:
            return
        done = {name: _assemble_some(ready[name], made[name], specs[name], lines[name], identity) for name in ready}
        studies = {name: one for name, one in done.items() if isinstance(one, TargetStudy)}
        if studies:
            found_some(studies, _missing(ready, made, spec, is_compared_later))
        next_at = time.monotonic() + PAUSES * (time.monotonic() - begin)

    with use_devices():
        for number, model in enumerate(models):
            with_target = {name: one for name, every in ready.items() for one in every if one.model.name == model.name}
            part = part_of(progress, number, len(models))
            try:
                tell_some = partial(tell_found, list(with_target))
                every = list(with_target.values())
                done = cells_of(every, seed, cache, processes, part, tell, tell_some) if every else []
            except LostSamplesError as error:
                raise LostSamplesError(error.samples, model.name) from None
            for name, own in zip(with_target, done, strict=True):
                made[name] |= own
    for name, every in ready.items():
        found[name] = _assemble(every, made[name], specs[name], lines[name], identity)
    return {name: found[name] for name in specs}


def _assemble_some(
    ready: Sequence[ReadyModel],
    cells: dict[Place, Cell],
    spec: StudySpec,
    lines: Sequence[str],
    identity: str,
) -> TargetStudy | str:
    """Put the cells of those models together that have all of theirs."""
    there = {model for model, _, _ in cells}
    complete = [one for one in ready if one.model.name in there]
    return _assemble(complete, cells, spec, lines, identity) if complete else ""


def _missing(
    ready: Mapping[str, Sequence[ReadyModel]],
    made: Mapping[str, Mapping[Place, Cell]],
    spec: StudySpec,
    is_compared_later: bool,
) -> list[str]:
    """Say which models each target is still without, and whether Gaussianizers are compared later."""
    lines = []
    for name, every in ready.items():
        there = {model for model, _, _ in made[name]}
        without = [one.model.name for one in every if one.model.name not in there]
        label = every[0].spec.target.label
        if without:
            lines.append(f"information about {label}" + (f" in {', '.join(without)}" if there else ""))
    if is_compared_later:
        others = ", ".join(f"{type(way).__name__}()" for way in spec.compared)
        lines.append(f"the comparison with {others}")
    return lines


def _identify(ready: Mapping[str, Sequence[ReadyModel]], targets: Iterable[str]) -> str:
    """Hash what all files of one study have in common: its targets, and all that their cells depend on."""
    cells = {name: {one.model.name: [*one.digests.values()] for one in every} for name, every in ready.items()}
    return hash_json([list(targets), cells])


def _check(models: Sequence[StudyModel], targets: Sequence[Target | Answer], seed: int) -> None:
    if isinstance(seed, bool) or not 0 <= seed < SEEDS:
        raise ValueError(f"seed must be a whole number from 0 to 2**32 - 1, got {seed!r}: choose another one.")
    for what, names in (("models", [one.name for one in models]), ("targets", [target_name(one) for one in targets])):
        if double := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{what} must have different names, got {double} more than once: rename one.")
    if not targets:
        raise ValueError("targets needs at least one, such as (Answer(), FinalNorm()), got none.")


def _assemble(
    ready: Sequence[ReadyModel], cells: dict[Place, Cell], spec: StudySpec, lines: Sequence[str], identity: str
) -> TargetStudy | str:
    """Put cells together, or return why there are none."""
    if all(isinstance(cell, str) for cell in cells.values()):
        reasons = list(dict.fromkeys(f"{'/'.join(key)}: {cell}" for key, cell in cells.items()))
        return " ".join(["Nothing could be estimated.", *reasons[:3]])
    results = assemble([one.model for one in ready], {one.model.name: one.tasks for one in ready}, cells, spec, lines)
    results = results.assign_attrs(study=identity)
    if not isinstance(spec.target, Answer):
        return TargetStudy(results=results)
    return TargetStudy(results=results, questions=collect_questions(ready, cells).assign_attrs(study=identity))
