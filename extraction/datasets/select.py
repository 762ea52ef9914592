"""Choose samples by task, capped and seeded."""

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

    The choice in one task depends on `seed` and the task alone, so it is the same whichever other tasks are kept.
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
    for task in known if tasks is None else tasks:
        of_task, draw = [sample for sample in usable if sample.task == task], random.Random(f"{task}/{seed}")
        ids = _one_per_image(of_task, draw) if one_per_image else [sample.id for sample in of_task]
        capped = per_task is not None and per_task < len(ids)
        chosen.update(draw.sample(ids, per_task) if capped else ids)  # type: ignore[arg-type]
    return [sample for sample in samples if sample.id in chosen]


def _one_per_image(samples: Sequence[Sample], draw: random.Random) -> list[str]:
    by_image: dict[Hashable, list[str]] = {}
    for sample in samples:
        by_image.setdefault(sample.image_key, []).append(sample.id)
    return [draw.choice(ids) for ids in by_image.values()]
