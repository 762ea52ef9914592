"""The cells of one model: what is there is read, the rest is computed. A cell is named by a hash of this code too."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
import xarray as xr

from pid_jax.runtime.processes import Processes
from pid_jax.runtime.progress import Progress, part_of
from pid_jax.store import Activations
from pid_jax.store.targets import Answer
from pid_jax.study.answer_cell import AnswerData, solve_answers
from pid_jax.study.by_measure import layers_of_claims
from pid_jax.study.cache import Cell, CellCache, CellKey, Place, comparison_digest, gather_cells
from pid_jax.study.cell import CellData, compare_gaussianizers, draw_weights, solve_cell
from pid_jax.study.conditions import cut_of
from pid_jax.study.model import answered, condition_name
from pid_jax.study.pairwise_cell import solve_pairwise_cell
from pid_jax.study.prepare import ReadyModel
from pid_jax.study.scores import Read, Scores, leading_scores, named_key, read_scores

# Of each cell, in reports of progress.
STEPS = 1000
# What makes a single cell fail, and not the study.
_FAILURES = (ValueError, ArithmeticError, MemoryError, jax.errors.JaxRuntimeError)


Cells = dict[Place, Cell]
# Called with the number of a target, its cells, and whether the comparison of Gaussianizers is still missing.
Found = Callable[[int, Cells, bool], None]


def cells_of(
    targets: Sequence[ReadyModel],
    seed: int,
    cache: CellCache,
    processes: Processes,
    progress: Progress,
    tell: Callable[[str], None],
    found_some: Found = lambda number, cells, is_compared_later: None,
) -> list[Cells]:
    """Make the cells of one model for each target, or read those that are there.

    Sources are read once for all targets. What takes longest, the comparison of Gaussianizers, comes after all cells.

    Args:
        targets: The model with each target.
        seed: Seed of everything random.
        cache: Where cells are kept.
        processes: Those that share the work.
        progress: Called with steps done and all there are.
        tell: Called with a line on what is there already.
        found_some: Called when the cells of a target were made; not where several processes share the work.
    """
    found = [_cells_there(ready, cache, processes, tell) for ready in targets]
    wanted = [[key for key in ready.digests if key not in there] for ready, there in zip(targets, found, strict=True)]
    if any(wanted):
        every = list(dict.fromkeys(key for keys in wanted for key in keys))
        sources = _read_sources(targets, every, seed, processes)
        for number, (ready, keys) in enumerate(zip(targets, wanted, strict=True)):
            shared = processes.share(sorted(keys, key=lambda key: key[1]))  # baselines take longest
            scores = _with_target(ready, sources, keys, seed, processes)
            scores = {key: scores[key] for key in keys if key in shared}
            compared = {key: one for key, one in scores.items() if is_compared(ready, key)}
            parts = 1 + bool(compared)
            share = part_of(progress, number, len(targets))
            there = {key: cache.read(ready.digests[key]) for key in compared}
            made: dict[CellKey, Cell] = {key: cell for key, cell in there.items() if cell is not None}
            scores = {key: one for key, one in scores.items() if key not in made}
            made |= _make(ready, scores, seed, cache, part_of(share, 0, parts), tell)
            if keys and processes.count == 1:
                found_some(number, _by_place(ready, found[number] | made), bool(compared))
            made |= _compare(ready, compared, made, seed, cache, part_of(share, 1, parts))
            found[number] |= gather_cells(made, ready.digests, processes)
    return [_by_place(ready, there) for ready, there in zip(targets, found, strict=True)]


def is_compared(ready: ReadyModel, key: CellKey) -> bool:
    """Tell whether Gaussianizers are compared in a cell: in baselines, about states."""
    return key[1] == 0 and bool(ready.spec.compared) and not isinstance(ready.spec.target, Answer)


def _cells_there(
    ready: ReadyModel, cache: CellCache, processes: Processes, tell: Callable[[str], None]
) -> dict[CellKey, Cell]:
    own = {key: _read_whole(ready, key, cache) for key in processes.share(list(ready.digests))}
    there = {key: cell for key, cell in own.items() if cell is not None}
    found = gather_cells(there, ready.digests, processes)
    if found:
        about = f"{ready.model.name}, {ready.spec.target.label}"
        tell(f"{about}: {len(found)} of {len(ready.digests)} cells are there and reused.")
    return found


def _read_whole(ready: ReadyModel, key: CellKey, cache: CellCache) -> xr.Dataset | None:
    """Read a cell with the comparison that belongs to it; None unless both are there."""
    cell = cache.read(ready.digests[key])
    if cell is None or not is_compared(ready, key):
        return cell
    compared = cache.read(comparison_digest(ready.digests[key], ready.spec))
    return None if compared is None else cell.merge(compared)


def _by_place(ready: ReadyModel, found: dict[CellKey, Cell]) -> Cells:
    return {
        (ready.model.name, task, condition_name(store)): rows.problem or found[task, index]
        for task, rows in ready.tasks.items()
        for index, store in enumerate(ready.model.stores)
    }


def _make(
    ready: ReadyModel,
    scores: dict[CellKey, list[Scores] | str],
    seed: int,
    cache: CellCache,
    progress: Progress,
    tell: Callable[[str], None],
) -> dict[CellKey, Cell]:
    """Make cells and write them, sequentially; those that another run has written meanwhile are read."""
    made: dict[CellKey, Cell] = {}
    is_told = False
    weights: dict[str, np.ndarray] = {}
    for number, (task, index) in enumerate(list(scores)):
        variables = scores.pop((task, index))
        if isinstance(variables, str):
            made[task, index] = variables
            continue
        there = cache.read(ready.digests[task, index])
        if there is not None:
            made[task, index] = there
            if not is_told:
                tell(f"{ready.model.name}: another run makes the same cells; they are shared, and nothing is damaged.")
            is_told = True
            continue
        if task not in weights:
            weights = {task: draw_weights(ready.tasks[task].ids.tolist(), ready.spec.replicates, seed)}
        share = part_of(progress, number, len(made) + len(scores) + 1)
        cell = _solve(ready, (task, index), variables, weights[task], seed, share)
        if isinstance(cell, xr.Dataset):
            cell = cell.assign_coords(layer=list(ready.layers))
            cache.write(ready.digests[task, index], cell)
        made[task, index] = cell
    return made


def _compare(
    ready: ReadyModel,
    scores: Mapping[CellKey, list[Scores] | str],
    made: Mapping[CellKey, Cell],
    seed: int,
    cache: CellCache,
    progress: Progress,
) -> dict[CellKey, Cell]:
    """Add to cells the atoms with every Gaussianizer; where they cannot be had, a cell is its reason."""
    whole: dict[CellKey, Cell] = {}
    for number, (at, variables) in enumerate(scores.items()):
        cell = made[at]
        if isinstance(variables, str) or isinstance(cell, str):
            continue
        digest = comparison_digest(ready.digests[at], ready.spec)
        compared = cache.read(digest)
        if compared is None:
            part = part_of(progress, number, len(scores))
            try:
                compared = compare_gaussianizers(variables, cell, ready.spec, _key_of(ready, at, seed), part)
            except _FAILURES as error:
                whole[at] = _reason(error)
                continue
            compared = compared.assign_coords(layer=cell["layer"].values)
            cache.write(digest, compared)
        whole[at] = cell.merge(compared)
    return whole


def _key_of(ready: ReadyModel, at: CellKey, seed: int) -> jax.Array:
    """Return the random key of a cell; all conditions of an answer have the same folds, so that they are paired."""
    task, index = at
    is_answer = isinstance(ready.spec.target, Answer)
    return named_key(jax.random.key(seed), task if is_answer else f"{task}/{condition_name(ready.model.stores[index])}")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _solve(
    ready: ReadyModel, at: CellKey, variables: list[Scores], weights: np.ndarray, seed: int, progress: Progress
) -> xr.Dataset | str:
    """Make a cell, or return why it cannot be made."""
    task, index = at
    store, spec, key = ready.model.stores[index], ready.spec, _key_of(ready, at, seed)
    shared = {"weights": weights, "answered": answered(store, ready.tasks[task].rows[index])}
    progress(0, STEPS)
    try:
        if isinstance(spec.target, Answer):
            own = ready.answers[task]
            codes, notes = own.codes[index], own.notes[index]
            data = AnswerData(sources=variables, codes=codes, classes=own.classes, notes=notes, **shared)
            cell = solve_answers(data, spec, key, progress)
        else:
            claimed = layers_of_claims(cut_of(store.manifest.condition), ready.layers, index == 0)
            data = CellData(variables=variables, is_baseline=index == 0, claimed_layers=claimed, **shared)
            cell = (solve_pairwise_cell if spec.pairwise else solve_cell)(data, spec, key, progress)
    except _FAILURES as error:
        return _reason(error)
    progress(STEPS, STEPS)
    return cell


@dataclass(frozen=True, kw_only=True)
class _Sources:
    """Scores of both sources in all layers that any target needs, or why there are none."""

    layers: tuple[int, ...]
    scores: tuple[Mapping[CellKey, Scores | str], Mapping[CellKey, Scores | str]]


def _read_sources(
    targets: Sequence[ReadyModel], wanted: Collection[CellKey], seed: int, processes: Processes
) -> _Sources:
    """Read source_1 and source_2 of all cells that are wanted, each layer of each store once for all targets."""
    one = targets[0]
    layers = tuple(layer for layer in one.model.baseline.layers if any(layer in ready.layers for ready in targets))
    dims = [ready.spec.source_dims for ready in targets]
    most = [None if None in own else max(own) for own in zip(*dims, strict=True)]
    first, second = (
        _read_cells(one, wanted, role, layers, partial(_read_role, role), dim, seed, processes)
        for role, dim in zip((one.spec.source_1_role, one.spec.source_2_role), most, strict=True)
    )
    return _Sources(layers=layers, scores=(first, second))


def _with_target(
    ready: ReadyModel, sources: _Sources, wanted: Collection[CellKey], seed: int, processes: Processes
) -> dict[CellKey, list[Scores] | str]:
    """Take the layers and components of the sources that a target needs, and read the target if it is a state.

    Where one of them cannot be had there is a line that says why.
    """
    rows = [sources.layers.index(layer) for layer in ready.layers]
    parts: list[dict[CellKey, Scores | str]] = []
    for scores, dim in zip(sources.scores, ready.spec.source_dims, strict=True):
        taken = {key: scores[key] for key in wanted}
        parts.append({k: one if isinstance(one, str) else leading_scores(one, rows, dim) for k, one in taken.items()})
    if ready.reader is not None and wanted:
        layers, dim = ready.reader.layers(ready.model.baseline), ready.spec.dims[2]
        parts.append(_read_cells(ready, wanted, "last", layers, ready.reader.read, dim, seed, processes))
    return {key: _whole([part[key] for part in parts]) for key in wanted}


def _read_cells(
    ready: ReadyModel,
    wanted: Collection[CellKey],
    name: str,
    layers: Sequence[int | str],
    read: Read,
    dim: int | None,
    seed: int,
    processes: Processes,
) -> dict[CellKey, Scores | str]:
    """Read one variable of all cells that are wanted."""
    indices = sorted({0, *(index for _, index in wanted)})  # components are fitted on the baseline
    found = read_scores(
        [ready.model.stores[index] for index in indices],
        {task: [ready.tasks[task].rows[index] for index in indices] for task in dict(wanted)},
        name=name,
        layers=layers,
        read=read,
        reduction=ready.spec.pid.reduction,
        dim=dim,
        key=jax.random.key(seed),
        processes=processes,
    )
    return {(task, index): one for task, every in found.items() for index, one in zip(indices, every, strict=True)}


def _whole(variables: Sequence[Scores | str]) -> list[Scores] | str:
    problem = next((one for one in variables if isinstance(one, str)), None)
    return [one for one in variables if isinstance(one, Scores)] if problem is None else problem


def _read_role(role: str, store: Activations, layer: int | str) -> np.ndarray:
    return store.read(role=role, layer=layer)
