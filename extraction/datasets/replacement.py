"""Images or questions of samples exchanged for those of other samples of the same task, by a seeded permutation."""

import hashlib
import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from extraction.datasets.sample import Sample


@dataclass(frozen=True, kw_only=True)
class Replaced:
    """Samples with one part of another sample.

    Attributes:
        samples: In the order of the originals, with their ids, tasks and gold answers. A sample that is alone in its
            task, or that does not take part, has a `problem` instead.
        partners: Id of the sample that the part comes from, by id.
        unchanged: Ids of samples whose partner has the same image, or the same question. There are only as many as
            cannot be avoided: those of an image or a question that more than half of a task shares.
    """

    samples: tuple[Sample, ...]
    partners: dict[str, str]
    unchanged: tuple[str, ...]


def replace_part(samples: Sequence[Sample], part: str, seed: int, draw: int, ids: frozenset[str]) -> Replaced:
    """Give every sample the image or the question of another sample of its task; each is used once.

    Samples with one image (or question) are neighbors on a ring, in an order drawn by lots, and the ring is turned by
    a random angle of at least its largest group. The draw depends on nothing but seed, draw, part, and the samples.

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
        if len(own) > 1:
            sources |= _turn(own, part, (part, seed, draw))
    made = tuple(_exchange(sample, sources.get(sample.id), part, sample.id in ids) for sample in samples)
    by_id = {sample.id: sample for sample in samples}
    unchanged = (i for i, source in sources.items() if _part_of(by_id[i], part) == _part_of(source, part))
    return Replaced(
        samples=made, partners={i: source.id for i, source in sources.items()}, unchanged=tuple(sorted(unchanged))
    )


def _turn(samples: Sequence[Sample], part: str, name: tuple[str, int, int]) -> dict[str, Sample]:
    """Return the sample whose part each sample of a task gets, by id."""
    lots = {sample.id: _lot(*name, sample.id) for sample in samples}
    first: dict[Hashable, int] = {}
    sizes: dict[Hashable, int] = {}
    for sample in samples:
        key = _part_of(sample, part)
        first[key] = min(first.get(key, lots[sample.id]), lots[sample.id])
        sizes[key] = sizes.get(key, 0) + 1
    ring = sorted(samples, key=lambda sample: (first[_part_of(sample, part)], lots[sample.id]))
    count, largest = len(ring), min(max(sizes.values()), len(ring) - 1)
    turns = max(count - 2 * largest, 0) + 1  # from `largest` to `count - largest`, where both ends are apart
    turn = largest + _lot(*name, ring[0].id, "turn") % turns
    return {sample.id: ring[(i + turn) % count] for i, sample in enumerate(ring)}


def _exchange(sample: Sample, source: Sample | None, part: str, takes_part: bool) -> Sample:
    if source is not None:
        return replace(sample, **{part: getattr(source, part)})
    if sample.problem is not None:
        return sample
    why = f"no other sample of its task {sample.task!r} has {'an image' if part == 'image' else 'a question'} to give"
    return replace(sample, problem=why if takes_part else "the sample has no row in the baseline")


def _part_of(sample: Sample, part: str) -> Hashable:
    return sample.image_key if part == "image" else sample.question.strip()


def _lot(*name: object) -> int:
    return int(hashlib.sha256(json.dumps(name).encode()).hexdigest(), 16)
