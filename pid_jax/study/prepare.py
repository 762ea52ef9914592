"""What a study is made from: models that can be used, their samples and targets, and the hashes of their cells."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pid_jax.runtime.processes import Processes
from pid_jax.store import StoreError
from pid_jax.store.targets import TargetReader, target_reader
from pid_jax.study.cache import CellKey, cell_digest, store_digests
from pid_jax.study.model import StudyModel, TaskRows, check_model, task_rows
from pid_jax.study.spec import StudySpec


@dataclass(frozen=True, kw_only=True)
class ReadyModel:
    """A model that can be studied.

    Attributes:
        model: Its stores.
        tasks: Its samples.
        reader: Reads the target.
        digests: Hashes of the cells of all tasks that can be studied.
    """

    model: StudyModel
    tasks: Mapping[str, TaskRows]
    reader: TargetReader
    digests: Mapping[CellKey, str]

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers of the sources: all, or those that have a target of their own."""
        if self.reader.is_same_for_all:
            return self.model.baseline.layers
        return tuple(int(layer) for layer in self.reader.layers(self.model.baseline))


def prepare_together(
    models: Sequence[StudyModel], spec: StudySpec, seed: int, problems: Sequence[str], processes: Processes
) -> tuple[list[ReadyModel], list[str]]:
    """Find the models that can be studied, and make sure that all processes find the same.

    Args:
        models: Baselines and knockouts.
        spec: The settings.
        seed: Seed of everything random.
        problems: Lines on what was left out before.
        processes: Those that share the work.

    Returns:
        The models, and a line on everything that is left out.

    Raises:
        ValueError: If there is none, or a task is not known.
        ProcessError: If another process found something else.
    """
    what = "models, stores or settings"
    try:
        ready, lines = _prepare(models, spec, seed, problems)
    except ValueError as error:
        processes.agree(str(error), what)
        raise
    cells = {one.model.name: [[*key, digest] for key, digest in one.digests.items()] for one in ready}
    processes.agree(json.dumps([lines, cells]), what)
    return ready, lines


def _prepare(
    models: Sequence[StudyModel], spec: StudySpec, seed: int, problems: Sequence[str]
) -> tuple[list[ReadyModel], list[str]]:
    """Find the models that can be studied, and say what is left out."""
    lines, ready = list(problems), []
    used = []
    for model in models:
        try:
            checked, own = check_model(model)
            used.append(checked)
            lines += own
        except ValueError as error:
            lines.append(str(error))
    for model in used:
        try:
            reader, tasks = target_reader(spec.target, model.baseline), task_rows(model, spec)
            digests = store_digests(model, spec)
            cells = {
                (task, place): cell_digest(model, task, rows, place, digests, spec, seed)
                for task, rows in tasks.items()
                if not rows.problem
                for place in range(len(model.stores))
            }
            ready.append(ReadyModel(model=model, tasks=tasks, reader=reader, digests=cells))
        except (ValueError, StoreError) as error:
            lines.append(f"model {model.name!r}: {error}")
    if not ready:
        raise ValueError(" ".join(["There is nothing to study.", *lines]))
    known = list(dict.fromkeys(str(t) for one in ready for t in one.model.baseline.columns["task"].tolist()))
    unknown = [task for task in spec.tasks or () if task not in known]
    if unknown:
        raise ValueError(f"tasks must be among {known}, got {unknown}: check the spelling.")
    return ready, lines
