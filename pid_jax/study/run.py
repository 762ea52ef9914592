"""A study: all models, tasks, conditions and layers, cell by cell."""

from collections.abc import Callable, Sequence
from pathlib import Path

import xarray as xr

from pid_jax.runtime.devices import use_devices
from pid_jax.runtime.processes import ALONE, Processes
from pid_jax.runtime.progress import Progress, no_progress, part_of
from pid_jax.study.assemble import assemble
from pid_jax.study.cache import Cell, Place, open_cache
from pid_jax.study.make import cells_of
from pid_jax.study.model import StudyModel
from pid_jax.study.prepare import prepare_together
from pid_jax.study.spec import StudySpec

# JAX would take two numbers that differ by a multiple of this for one seed.
SEEDS = 2**32


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
        ValueError: If names repeat, the seed is none, a task is not known, or nothing at all could be estimated.
        ProcessError: If another process failed, was lost, or has other stores.
    """
    spec = StudySpec() if spec is None else spec
    if isinstance(seed, bool) or not 0 <= seed < SEEDS:
        raise ValueError(f"seed must be a whole number from 0 to 2**32 - 1, got {seed!r}: choose another one.")
    names = [model.name for model in models]
    if double := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"models must have different names, got {double} more than once: rename one.")
    ready, lines = prepare_together(models, spec, seed, problems, processes)
    cache = open_cache(cells, spec, tell)
    found: dict[Place, Cell] = {}
    with use_devices():
        for place, one in enumerate(ready):
            told = part_of(progress, place, len(ready))
            found |= cells_of(one, spec, seed, cache, processes, told, tell)
    if all(isinstance(cell, str) for cell in found.values()):
        reasons = list(dict.fromkeys(f"{'/'.join(key)}: {cell}" for key, cell in found.items()))
        raise ValueError(" ".join(["Nothing could be estimated.", *reasons[:3]]))
    tasks = {one.model.name: one.tasks for one in ready}
    return assemble([one.model for one in ready], tasks, found, spec, lines)
