"""The cells of one model: what is there is read, the rest is computed. A cell is named by a hash of this code too."""

from collections.abc import Callable, Collection, Sequence
from functools import partial

import jax
import numpy as np
import xarray as xr

from pid_jax.runtime.processes import Processes
from pid_jax.runtime.progress import Progress, part_of
from pid_jax.store import ActivationStore
from pid_jax.study.cache import Cell, CellCache, CellKey, Place, gather_cells
from pid_jax.study.cell import CellData, draw_weights, solve_cell
from pid_jax.study.model import answered, condition_name
from pid_jax.study.prepare import ReadyModel
from pid_jax.study.scores import Read, Scores, named_key, read_scores
from pid_jax.study.spec import StudySpec

# Of each cell, as far as progress is told.
STEPS = 1000


def cells_of(
    ready: ReadyModel,
    spec: StudySpec,
    seed: int,
    cache: CellCache,
    processes: Processes,
    progress: Progress,
    tell: Callable[[str], None],
) -> dict[Place, Cell]:
    """Make the cells of one model, or read those that are there."""
    own = {key: cache.read(ready.digests[key]) for key in processes.share(list(ready.digests))}
    there = {key: cell for key, cell in own.items() if cell is not None}
    found = gather_cells(there, ready.digests, processes)
    if found:
        tell(f"{ready.model.name}: {len(found)} of {len(ready.digests)} cells are there and reused.")
    wanted = [key for key in ready.digests if key not in found]
    if wanted:
        shared = processes.share(sorted(wanted, key=lambda key: key[1]))  # baselines take longest
        scores = _read_model(ready, wanted, spec, seed, processes)
        scores = {key: scores[key] for key in wanted if key in shared}
        found |= gather_cells(_make(ready, scores, spec, seed, cache, progress), ready.digests, processes)
    return {
        (ready.model.name, task, condition_name(store)): rows.problem or found[task, place]
        for task, rows in ready.tasks.items()
        for place, store in enumerate(ready.model.stores)
    }


def _make(
    ready: ReadyModel,
    scores: dict[CellKey, list[Scores] | str],
    spec: StudySpec,
    seed: int,
    cache: CellCache,
    progress: Progress,
) -> dict[CellKey, Cell]:
    """Make cells and write them, one after the other."""
    made: dict[CellKey, Cell] = {}
    weights: dict[str, np.ndarray] = {}
    for number, (task, place) in enumerate(list(scores)):
        variables = scores.pop((task, place))
        if isinstance(variables, str):
            made[task, place] = variables
            continue
        store, own = ready.model.stores[place], ready.tasks[task]
        if task not in weights:
            weights = {task: draw_weights(own.ids.tolist(), spec.replicates, seed)}
        data = CellData(
            variables=variables,
            weights=weights[task],
            answered=answered(store, own.rows[place]),
            is_baseline=place == 0,
        )
        told = part_of(progress, number, len(made) + len(scores) + 1)
        cell = _solve(data, spec, f"{task}/{condition_name(store)}", seed, told)
        if isinstance(cell, xr.Dataset):
            cell = cell.assign_coords(layer=list(ready.layers))
            cache.write(ready.digests[task, place], cell)
        made[task, place] = cell
    return made


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
    ready: ReadyModel, wanted: Collection[CellKey], spec: StudySpec, seed: int, processes: Processes
) -> dict[CellKey, list[Scores] | str]:
    """Read source_1, source_2 and the target of all cells that are wanted, each layer of each store once.

    Where one of them cannot be had there is a line that says why.
    """
    model, reader = ready.model, ready.reader
    places = sorted({0, *(place for _, place in wanted)})  # components are fitted on the baseline
    stores = [model.stores[place] for place in places]
    selected = {task: [ready.tasks[task].rows[place] for place in places] for task in dict(wanted)}
    variables: list[tuple[str, Sequence[int | str], Read]] = [
        (role, ready.layers, partial(_read_role, role)) for role in (spec.source_1_role, spec.source_2_role)
    ]
    variables.append(("last", reader.layers(model.baseline), reader.read))
    by_variable = [
        read_scores(
            stores,
            selected,
            name=name,
            layers=layers,
            read=read,
            reduction=spec.pid.reduction,
            dim=dim,
            key=jax.random.key(seed),
            processes=processes,
        )
        for (name, layers, read), dim in zip(variables, spec.dims, strict=True)
    ]
    return {(t, p): _whole([scores[t][i] for scores in by_variable]) for t in selected for i, p in enumerate(places)}


def _whole(variables: Sequence[Scores | str]) -> list[Scores] | str:
    problem = next((one for one in variables if isinstance(one, str)), None)
    return [one for one in variables if isinstance(one, Scores)] if problem is None else problem


def _read_role(role: str, store: ActivationStore, layer: int | str) -> np.ndarray:
    return store.read(role=role, layer=layer)
