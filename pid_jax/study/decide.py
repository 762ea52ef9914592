"""What the models of a study decide from one modality and from both: `decision_pid` of every task, cell by cell."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import xarray as xr

from pid_jax.runtime.devices import use_devices
from pid_jax.runtime.processes import Processes
from pid_jax.runtime.progress import Progress, part_of
from pid_jax.store import Activations, StoreError
from pid_jax.store.decision import DecisionPosteriors, decision_of, read_decision
from pid_jax.store.targets import AnswerLogits, target_reader
from pid_jax.study.cache import (
    Cell,
    CellCache,
    CellKey,
    decision_digest,
    decision_store_digests,
    gather_cells,
    hash_json,
)
from pid_jax.study.decision_cell import solve_decision
from pid_jax.study.decision_results import assemble_decisions
from pid_jax.study.model import StudyModel, TaskRows, check_model, task_rows
from pid_jax.study.scores import named_key
from pid_jax.study.spec import StudySpec

_ABSENT = ("image", "question")


@dataclass(frozen=True, kw_only=True)
class _Deciding:
    """A model whose decisions can be studied.

    Attributes:
        model: Its stores.
        stores: Those with the image absent, and those with the question absent.
        tasks: The samples of every task.
        digests: Hashes of the cells.
    """

    model: StudyModel
    stores: tuple[list[Activations], list[Activations]]
    tasks: Mapping[str, TaskRows]
    digests: Mapping[CellKey, str]


def run_decisions(
    models: Sequence[StudyModel],
    *,
    spec: StudySpec,
    seed: int,
    cells: Path | None,
    progress: Progress,
    tell: Callable[[str], None],
    processes: Processes,
) -> tuple[xr.Dataset | None, list[str]]:
    """Decompose what each model decides about each task, with the samples that the rest of the study has.

    Args:
        models: Models; those without stores of decisions are passed over.
        spec: Settings: tasks, samples that are kept, and the level of intervals.
        seed: Seed of everything random.
        cells: Folder for the cells, as for `run_study`.
        progress: Called with steps done and all there are.
        tell: Called with a line on what is there already.
        processes: Those that share the work; all return the same.

    Returns:
        The dataset of `decision.nc`, None if nothing could be decomposed; and a line on everything left out.

    Raises:
        ProcessError: If another process failed, was lost, or has other stores.
    """
    if not any(model.decision for model in models):
        return None, []
    ready, lines = _prepare(models, spec, seed)
    processes.agree(json.dumps([lines, [[*one.digests.values()] for one in ready]]), "stores of decisions")
    cache = CellCache(cells)
    found: dict[tuple[str, str], Cell] = {}
    with use_devices():
        for number, one in enumerate(ready):
            part = part_of(progress, number, len(ready))
            own = _cells_of(one, cache, spec.level, seed, part, tell, processes)
            found |= {(one.model.name, task): cell for (task, _), cell in own.items()}
    lines += _describe_failures(found)
    done = {place: cell for place, cell in found.items() if isinstance(cell, xr.Dataset)}
    if not done:
        return None, lines
    decision = assemble_decisions([one.model for one in ready], done, spec, lines)
    identity = hash_json([[*one.digests.values()] for one in ready])
    return decision.assign_attrs(study=identity), lines


def _prepare(models: Sequence[StudyModel], spec: StudySpec, seed: int) -> tuple[list[_Deciding], list[str]]:
    ready, lines = [], []
    for model in models:
        if not model.decision:
            continue
        try:
            checked, _ = check_model(model)
        except ValueError:
            continue  # the study itself says why
        try:
            ready.append(_prepare_model(checked, spec, seed))
        except (ValueError, OSError) as error:
            lines.append(f"model {model.name!r}: its own decision is left out: {error}")
    return ready, lines


def _prepare_model(model: StudyModel, spec: StudySpec, seed: int) -> _Deciding:
    """Sort the stores of decisions, and hash what each task depends on.

    Raises:
        ValueError: If one of the stores holds something else, one kind is missing, or one is damaged.
    """
    stores: dict[str, list[Activations]] = {absent: [] for absent in _ABSENT}
    for store in model.decision:
        absent = decision_of(store.manifest.condition).get("absent")
        if absent not in stores:
            raise StoreError(f"{store.path} was not made by `pid-extract decision`: leave it out of `decision`")
        stores[absent].append(store)
    for absent, own in stores.items():
        if not own:
            raise StoreError(
                f"it needs stores with the image absent and with the question absent, and none has the {absent} "
                f"absent: make both with `pid-extract decision --baseline {model.baseline.path}`"
            )
    target_reader(AnswerLogits(), model.baseline)  # refuses a readout that is missing or damaged
    tasks = {name: rows for name, rows in task_rows(model, spec).items() if len(rows.ids)}
    digests = decision_store_digests(model)
    cells = {(task, 0): decision_digest(model, rows, digests, spec, [task, seed]) for task, rows in tasks.items()}
    return _Deciding(model=model, stores=(stores["image"], stores["question"]), tasks=tasks, digests=cells)


def _cells_of(
    ready: _Deciding,
    cache: CellCache,
    level: float,
    seed: int,
    progress: Progress,
    tell: Callable[[str], None],
    processes: Processes,
) -> dict[CellKey, Cell]:
    """Read the cells that are there, and make the others."""
    own = {key: cache.read(ready.digests[key]) for key in processes.share(list(ready.digests))}
    there = {key: cell for key, cell in own.items() if cell is not None}
    found = gather_cells(there, ready.digests, processes)
    if found:
        tell(f"{ready.model.name}, its own decision: {len(found)} of {len(ready.digests)} cells are there and reused.")
    wanted = [key for key in ready.digests if key not in found]
    if not wanted:
        return found
    shared = processes.share(wanted)
    posteriors = _read(ready, [task for task, _ in shared])
    made: dict[CellKey, Cell] = {}
    for number, (task, place) in enumerate(shared):
        progress(number, len(shared))
        cell = _solve(posteriors[task], level, named_key(jax.random.key(seed), task))
        if isinstance(cell, xr.Dataset):
            cache.write(ready.digests[task, place], cell)
        made[task, place] = cell
    return found | gather_cells(made, ready.digests, processes)


def _read(ready: _Deciding, tasks: Sequence[str]) -> dict[str, DecisionPosteriors | str]:
    """Read the posteriors of some tasks; task by task where not all can be read."""
    if not tasks:
        return {}
    try:
        whole = read_decision(ready.model.baseline, *ready.stores)
    except StoreError:  # of one task alone, perhaps
        whole = None
    found: dict[str, DecisionPosteriors | str] = {}
    for task in tasks:
        try:
            own = whole.of_task(task) if whole else read_decision(ready.model.baseline, *ready.stores, task=task)
            found[task] = _with_samples(own, ready.tasks[task].ids)
        except (ValueError, OSError) as error:
            found[task] = str(error).rstrip(".")
    return found


def _with_samples(posteriors: DecisionPosteriors, ids: np.ndarray) -> DecisionPosteriors:
    """Keep the samples that the study has."""
    rows = np.flatnonzero(np.isin(posteriors.ids, ids))
    if not len(rows):
        raise ValueError("none of its samples is in the stores of decisions")
    names = ("p_both", "p_image", "p_question", "ids", "tasks", "gold", "gold_index", "predicted")
    return dataclasses.replace(posteriors, **{name: getattr(posteriors, name)[rows] for name in names})


def _solve(posteriors: DecisionPosteriors | str, level: float, key: jax.Array) -> Cell:
    """Make a cell, or return why it cannot be made."""
    if isinstance(posteriors, str):
        return posteriors
    try:
        cell = solve_decision(posteriors, level, key)
    except (ValueError, ArithmeticError, MemoryError, jax.errors.JaxRuntimeError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    names = {"sample": posteriors.ids.astype(str).astype(object)}
    return cell.assign_coords(names).assign_attrs(method=posteriors.method, draws=posteriors.draws)


def _describe_failures(found: Mapping[tuple[str, str], Cell]) -> list[str]:
    """Write one line for every reason of a model, with the tasks that have it."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for (model, task), cell in found.items():
        if isinstance(cell, str):
            reasons.setdefault((model, cell), []).append(task)
    return [
        f"model {model!r}: its own decision about {', '.join(tasks)} is left out: {reason}"
        for (model, reason), tasks in reasons.items()
    ]
