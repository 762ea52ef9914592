"""Choose samples by task, capped and seeded."""

import hashlib
import json
import random
from collections.abc import Hashable, Sequence

from extraction.datasets.sample import Sample


def select_samples(
    samples: Sequence[Sample],
    tasks: Sequence[str] | None,
    per_task: int | None,
    seed: int,
    one_per_image: bool = False,
) -> list[Sample]:
    """Keep the wanted tasks, and at most `per_task` samples of each.

    The cap keeps the samples with the smallest hashes of task, seed and id: it does not depend on the order of the data
    or on which other tasks are kept, and one record more changes one sample at most.
    Samples with a problem are all kept: they cost nothing, and become recorded failures.

    Args:
        samples: All samples.
        tasks: Names of the tasks to keep; None keeps all.
        per_task: Largest number of samples a task; None keeps all.
        seed: Seed of the choice.
        one_per_image: Whether to keep one sample of each task and image only, so that samples of a task are
            independent: several questions about one image share its tokens.

    Returns:
        The chosen samples, in their old order.

    Raises:
        ValueError: For an unknown task or a cap below 1.
    """
    usable = [sample for sample in samples if sample.problem is None]
    known = list(dict.fromkeys(sample.task for sample in usable))
    unknown = [task for task in tasks or () if task not in known]
    if unknown:
        raise ValueError(f"tasks must be among {known}, got {unknown}: check the spelling.")
    if per_task is not None and per_task < 1:
        raise ValueError(f"per_task must be at least 1, or left out for all samples, got {per_task}.")
    chosen = {sample.id for sample in samples if sample.problem is not None}
    of_task: dict[str, list[Sample]] = {task: [] for task in known}
    for sample in usable:
        of_task[sample.task].append(sample)
    for task in known if tasks is None else tasks:
        draw = random.Random(f"{task}/{seed}")
        ids = _one_per_image(of_task[task], draw) if one_per_image else [sample.id for sample in of_task[task]]
        chosen.update(sorted(ids, key=lambda i: _lot(task, seed, i))[:per_task])
    return [sample for sample in samples if sample.id in chosen]


def _lot(task: str, seed: int, sample_id: str) -> str:
    """Draw a lot that depends on nothing but the sample: a record more or in another place moves one choice at most."""
    return hashlib.sha256(json.dumps([task, seed, sample_id]).encode()).hexdigest()


def _one_per_image(samples: Sequence[Sample], draw: random.Random) -> list[str]:
    by_image: dict[Hashable, list[str]] = {}
    for sample in samples:
        by_image.setdefault(sample.image_key, []).append(sample.id)
    return [draw.choice(ids) for ids in by_image.values()]
