"""What a study is made from: models that can be used, their samples and targets, and the hashes of their cells."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pid_jax.runtime.processes import Processes
from pid_jax.store import StoreError
from pid_jax.store.targets import Answer, TargetReader, target_reader
from pid_jax.study.answers import TaskAnswers, check_answers, task_answers
from pid_jax.study.cache import CellKey, cell_digest, store_digests
from pid_jax.study.model import StudyModel, TaskRows, check_model, task_rows
from pid_jax.study.spec import StudySpec


class UnknownTaskError(ValueError):
    """A task is asked for that no model has."""


@dataclass(frozen=True, kw_only=True)
class ReadyModel:
    """A model that can be studied with one target.

    Attributes:
        model: Its stores.
        spec: The settings, with the target.
        tasks: Its samples.
        reader: Reads the target; None where it is an answer.
        answers: The answers by task; none where the target is a state.
        digests: Hashes of the cells of all tasks that can be studied.
    """

    model: StudyModel
    spec: StudySpec
    tasks: Mapping[str, TaskRows]
    reader: TargetReader | None
    answers: Mapping[str, TaskAnswers]
    digests: Mapping[CellKey, str]

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers of the sources: all, or those that have a target of their own."""
        if self.reader is None or self.reader.is_same_for_all:
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
            ready.append(_prepare_model(model, spec, seed))
        except (ValueError, StoreError) as error:
            lines.append(f"model {model.name!r}: {error}")
    if not ready:
        raise ValueError(" ".join(["There is nothing to study.", *lines]))
    known = list(dict.fromkeys(str(t) for one in ready for t in one.model.baseline.columns["task"].tolist()))
    unknown = [task for task in spec.tasks or () if task not in known]
    if unknown:
        raise UnknownTaskError(f"tasks must be among {known}, got {unknown}: check the spelling.")
    return ready, lines


def _prepare_model(model: StudyModel, spec: StudySpec, seed: int) -> ReadyModel:
    """Find the samples, targets and hashes of cells of one model."""
    for name in ("source_1_role", "source_2_role"):
        if getattr(spec, name) not in model.baseline.roles:
            raise StoreError(
                f"{name} is {getattr(spec, name)!r}, and {model.baseline.path} has roles {model.baseline.roles}: name "
                "one of these."
            )
    tasks, reader, answers = task_rows(model, spec), None, {}
    if isinstance(spec.target, Answer):
        check_answers(spec.target, model.baseline)
        answers = {
            name: task_answers(spec.target, model.stores, rows.rows, spec.categorical)
            for name, rows in tasks.items()
            if not rows.problem
        }
        tasks = {
            name: dataclasses.replace(rows, problem=answers[name].problem) if name in answers else rows
            for name, rows in tasks.items()
        }
    else:
        reader = target_reader(spec.target, model.baseline)
    digests = store_digests(model, spec)
    cells = {
        (task, index): cell_digest(model, rows, index, digests, spec, [task, seed, *_classes(answers.get(task), index)])
        for task, rows in tasks.items()
        if not rows.problem
        for index in range(len(model.stores))
    }
    return ReadyModel(model=model, spec=spec, tasks=tasks, reader=reader, answers=answers, digests=cells)


def _classes(answers: TaskAnswers | None, index: int) -> list:
    return [] if answers is None else [answers.classes, answers.codes[index].tolist(), answers.notes[index]]
