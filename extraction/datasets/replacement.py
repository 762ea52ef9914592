"""Images or questions of samples exchanged for those of other samples of the same task, by a seeded permutation."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from extraction.datasets.sample import Sample


@dataclass(frozen=True, kw_only=True)
class Replaced:
    """Samples with one part of another sample.

    Attributes:
        samples: In the order of the originals, with their ids, tasks and gold answers. A sample that is alone in its
            task, or that does not take part, has a `problem` instead.
        partners: Id of the sample that the part comes from, by id.
    """

    samples: tuple[Sample, ...]
    partners: dict[str, str]


def replace_part(samples: Sequence[Sample], part: str, seed: int, draw: int, ids: frozenset[str]) -> Replaced:
    """Give every sample the image or the question of another sample of its task; each is used once.

    The samples of a task are ordered by lots, and each gets the part of the next: a random cycle. The other sample may
    have the same image, or the same question, as often as this occurs by chance. Were that excluded, what is absent
    would still say which one it is not, and averages over draws would not be averages over the task.

    The draw depends on nothing but seed, draw, part, and the ids of each task.

    Args:
        samples: The samples.
        part: "image" or "question".
        seed: Seed.
        draw: Number of the draw, from 1.
        ids: Ids of those that take part.
    """
    by_task: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.id in ids:
            by_task.setdefault(sample.task, []).append(sample)
    sources: dict[str, Sample] = {}
    for own in by_task.values():
        ring = sorted(own, key=lambda sample: _lot(part, seed, draw, sample.id))
        if len(ring) > 1:
            sources |= {sample.id: other for sample, other in zip(ring, [*ring[1:], ring[0]], strict=True)}
    return Replaced(
        samples=tuple(_exchange(sample, sources.get(sample.id), part, sample.id in ids) for sample in samples),
        partners={i: source.id for i, source in sources.items()},
    )


def _exchange(sample: Sample, source: Sample | None, part: str, takes_part: bool) -> Sample:
    if source is not None:
        return replace(sample, **{part: getattr(source, part)})
    if sample.problem is not None:
        return sample
    why = f"no other sample of its task {sample.task!r} has {'an image' if part == 'image' else 'a question'} to give"
    return replace(sample, problem=why if takes_part else "the sample has no row in the baseline")


def _lot(part: str, seed: int, draw: int, sample: str) -> str:
    return hashlib.sha256(json.dumps([part, seed, draw, sample]).encode()).hexdigest()
