"""A study: all models, tasks, conditions and layers, cell by cell."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import jax
import numpy as np
import xarray as xr

from pid_jax.named_key import named_key
from pid_jax.progress import Progress, no_progress, part_of
from pid_jax.scores import Read, Scores, read_scores
from pid_jax.store import ActivationStore, StoreError
from pid_jax.study.assemble import Place, assemble
from pid_jax.study.cache import CellCache, cell_digest, store_digests
from pid_jax.study.cell import CellData, solve_cell
from pid_jax.study.model import (
    StudyModel,
    TaskRows,
    answered,
    check_model,
    check_names,
    condition_name,
    task_rows,
)
from pid_jax.study.sampling import draw_weights
from pid_jax.study.spec import StudySpec
from pid_jax.target_reader import TargetReader, target_reader

# JAX would take two numbers that differ by a multiple of this for one seed.
SEEDS = 2**32
# Of each cell, as far as progress is told.
STEPS = 1000
# Which cells of a model are to be made: (task, place in `model.stores`) and the hash.
Wanted = dict[tuple[str, int], str]


def run_study(
    models: Sequence[StudyModel],
    *,
    spec: StudySpec | None = None,
    seed: int = 0,
    cells: Path | None = None,
    problems: Sequence[str] = (),
    progress: Progress = no_progress,
    tell: Callable[[str], None] = lambda line: None,
) -> xr.Dataset:
    """Decompose, per model, task, condition and layer, the information about the model's prediction.

    source_1 is the mean state of the image tokens, source_2 that of the question tokens, the target the final norm's
    output at the last prompt position. The stores are read one layer at a time, and only scores are kept. Components
    are fitted on the baseline, task by task and layer by layer, and shared by all conditions, so that all are compared
    in the same subspace. All layers of one task and condition are then one cell; what it depends on is hashed, so that
    a study that was killed, or had conditions added, makes the missing cells only.

    What cannot be used is left out, and the rest goes on: `cell` and `problem` of the result, and its attribute
    `problems`, say what and why.

    Args:
        models: Baselines and knockouts, one model each.
        spec: Settings, `StudySpec()` if not given.
        seed: Seed of everything random.
        cells: Folder for the cells; nothing is kept without one.
        problems: Lines on what was left out before, for the result.
        progress: Called with steps done and all there are.
        tell: Called with a line on what is there already.

    Returns:
        The dataset of docs/study_dataset.md, without metrics.

    Raises:
        ValueError: If names repeat, the seed is none, a task is not known, or nothing at all could be estimated.
    """
    spec = StudySpec() if spec is None else spec
    if isinstance(seed, bool) or not 0 <= seed < SEEDS:
        raise ValueError(f"seed must be a whole number from 0 to 2**32 - 1, got {seed!r}: choose another one.")
    check_names(model.name for model in models)
    used, lines = _usable(models, problems)
    tasks: dict[str, dict[str, TaskRows]] = {}
    readers: dict[str, TargetReader] = {}
    for model in list(used):
        try:
            readers[model.name] = target_reader(spec.target, model.baseline)
            tasks[model.name] = task_rows(model, spec)
        except (ValueError, StoreError) as error:
            lines.append(f"model {model.name!r}: {error}")
            used.remove(model)
    if not used:
        raise ValueError(" ".join(["There is nothing to study.", *lines]))
    _check_tasks(used, spec)
    cache = CellCache(cells)
    found: dict[Place, xr.Dataset | str] = {}
    for place, model in enumerate(used):
        told = part_of(progress, place, len(used))
        found |= _run_model(model, tasks[model.name], readers[model.name], spec, seed, cache, told, tell)
    if all(isinstance(cell, str) for cell in found.values()):
        reasons = list(dict.fromkeys(f"{'/'.join(key)}: {cell}" for key, cell in found.items()))
        raise ValueError(" ".join(["Nothing could be estimated.", *reasons[:3]]))
    return assemble(used, tasks, found, spec, lines)


def _usable(models: Sequence[StudyModel], problems: Sequence[str]) -> tuple[list[StudyModel], list[str]]:
    used, lines = [], list(problems)
    for model in models:
        try:
            checked, own = check_model(model)
            used.append(checked)
            lines += own
        except ValueError as error:
            lines.append(str(error))
    return used, lines


def _check_tasks(models: Sequence[StudyModel], spec: StudySpec) -> None:
    known = list(dict.fromkeys(str(t) for model in models for t in model.baseline.columns["task"].tolist()))
    unknown = [task for task in spec.tasks or () if task not in known]
    if unknown:
        raise ValueError(f"tasks must be among {known}, got {unknown}: check the spelling.")


def _run_model(
    model: StudyModel,
    tasks: Mapping[str, TaskRows],
    reader: TargetReader,
    spec: StudySpec,
    seed: int,
    cache: CellCache,
    progress: Progress,
    tell: Callable[[str], None],
) -> dict[Place, xr.Dataset | str]:
    """Make the cells of one model, or read those that are there."""
    found, wanted = _look_up(model, tasks, spec, seed, cache)
    there = sum(isinstance(cell, xr.Dataset) for cell in found.values())
    if there:
        tell(f"{model.name}: {there} of {there + len(wanted)} cells are there and reused.")
    scores = _read_model(model, tasks, wanted, reader, spec, seed) if wanted else {}
    weights: dict[str, np.ndarray] = {}
    for number, ((task, place), digest) in enumerate(wanted.items()):
        store, own = model.stores[place], tasks[task]
        if task not in weights:
            weights = {task: draw_weights(own.ids.tolist(), spec.replicates, seed)}
        name, told = condition_name(store), part_of(progress, number, len(wanted))
        variables = scores.pop((task, place))
        if isinstance(variables, str):
            found[model.name, task, name] = variables
            continue
        data = CellData(
            variables=variables,
            weights=weights[task],
            answered=answered(store, own.rows[place]),
            is_baseline=place == 0,
        )
        cell = _solve(data, spec, f"{task}/{name}", seed, told)
        if isinstance(cell, xr.Dataset):
            cell = cell.assign_coords(layer=list(_layers(model, reader)))
            cache.write(digest, cell)
        found[model.name, task, name] = cell
    return found


def _look_up(
    model: StudyModel, tasks: Mapping[str, TaskRows], spec: StudySpec, seed: int, cache: CellCache
) -> tuple[dict[Place, xr.Dataset | str], Wanted]:
    """Find the cells that are there or cannot be had, and those that are to be made."""
    digests = store_digests(model, spec)
    found: dict[Place, xr.Dataset | str] = {}
    wanted: Wanted = {}
    for task, rows in tasks.items():
        for place, store in enumerate(model.stores):
            key = (model.name, task, condition_name(store))
            if rows.problem:
                found[key] = rows.problem
                continue
            digest = cell_digest(model, task, rows, place, digests, spec, seed)
            kept = cache.read(digest)
            if kept is None:
                wanted[task, place] = digest
            else:
                found[key] = kept
    return found, wanted


def _solve(data: CellData, spec: StudySpec, name: str, seed: int, progress: Progress) -> xr.Dataset | str:
    """Make a cell, or say why it cannot be made."""
    progress(0, STEPS)
    try:
        cell = solve_cell(data, spec, named_key(jax.random.key(seed), name), progress)
    except (ValueError, ArithmeticError, MemoryError, jax.errors.JaxRuntimeError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    progress(STEPS, STEPS)
    return cell


def _read_model(
    model: StudyModel,
    tasks: Mapping[str, TaskRows],
    wanted: Wanted,
    reader: TargetReader,
    spec: StudySpec,
    seed: int,
) -> dict[tuple[str, int], list[Scores] | str]:
    """Read source_1, source_2 and the target of all cells that are wanted, each layer of each store once.

    Where one of them cannot be had there is a line that says why.
    """
    places = sorted({0, *(place for _, place in wanted)})  # components are fitted on the baseline
    stores = [model.stores[place] for place in places]
    selected = {task: [tasks[task].rows[place] for place in places] for task in {task: None for task, _ in wanted}}
    key, layers = jax.random.key(seed), _layers(model, reader)
    variables: list[tuple[str, Sequence[int | str], Read]] = [
        (role, layers, partial(_read_role, role)) for role in (spec.source_1_role, spec.source_2_role)
    ]
    variables.append(("last", reader.layers(model.baseline), reader.read))
    by_variable = [
        read_scores(stores, selected, name=n, layers=at, read=read, reduction=spec.pid.reduction, dim=dim, key=key)
        for (n, at, read), dim in zip(variables, spec.dims, strict=True)
    ]
    return {(t, p): _whole([scores[t][i] for scores in by_variable]) for t in selected for i, p in enumerate(places)}


def _whole(variables: Sequence[Scores | str]) -> list[Scores] | str:
    problem = next((one for one in variables if isinstance(one, str)), None)
    return [one for one in variables if isinstance(one, Scores)] if problem is None else problem


def _layers(model: StudyModel, reader: TargetReader) -> tuple[int, ...]:
    """List the layers of the sources: all, or those that have a target of their own."""
    if reader.is_same_for_all:
        return model.baseline.layers
    return tuple(int(layer) for layer in reader.layers(model.baseline))


def _read_role(role: str, store: ActivationStore, layer: int | str) -> np.ndarray:
    return store.read(role=role, layer=layer)
