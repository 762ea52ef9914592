"""Choose samples by task, capped and seeded."""

import random
from collections.abc import Sequence

from extraction.datasets.sample import Sample


def select_samples(
    samples: Sequence[Sample], tasks: Sequence[str] | None, per_task: int | None, seed: int
) -> list[Sample]:
    """Keep the wanted tasks, and at most `per_task` samples of each.

    The choice in one task depends on `seed` and the task alone, so it is the same whichever other tasks are kept.

    Args:
        samples: All samples.
        tasks: Names of the tasks to keep; None keeps all.
        per_task: Largest number of samples a task; None keeps all.
        seed: Seed of the choice.

    Returns:
        The chosen samples, in their old order.

    Raises:
        ValueError: For an unknown task or a cap below 1.
    """
    known = list(dict.fromkeys(sample.task for sample in samples))
    unknown = [task for task in tasks or () if task not in known]
    if unknown:
        raise ValueError(f"tasks must be among {known}, got {unknown}: check the spelling.")
    if per_task is not None and per_task < 1:
        raise ValueError(f"per_task must be at least 1, or left out for all samples, got {per_task}.")
    chosen: set[str] = set()
    for task in known if tasks is None else tasks:
        ids = [sample.id for sample in samples if sample.task == task]
        capped = per_task is not None and per_task < len(ids)
        chosen.update(random.Random(f"{task}/{seed}").sample(ids, per_task) if capped else ids)  # type: ignore[arg-type]
    return [sample for sample in samples if sample.id in chosen]
