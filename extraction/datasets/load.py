"""Which samples a run uses: every reader by name, and the choice among its samples."""

import hashlib
import json
import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from extraction.datasets import easy_vqa, gqa, gqa_tasks
from extraction.datasets.csv_form import load_csv
from extraction.datasets.hub import load_hub
from extraction.datasets.jsonl import load_jsonl
from extraction.datasets.sample import Sample


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How a kind of data is read.

    Attributes:
        read: Takes the paths, one unless `takes_several`, the folder of images and the split.
        split: Split if none is asked for; None if such data have no splits.
        tasks: Names of its tasks; None if the data decide.
        needs_path: Whether it reads from a path.
        takes_images: Whether the folder of images can be given.
        takes_several: Whether it reads from several paths, too.
    """

    read: Callable[[Sequence[Path], Path | None, str], list[Sample]]
    split: str | None = None
    tasks: tuple[str, ...] | None = None
    needs_path: bool = True
    takes_images: bool = True
    takes_several: bool = False


def _given_by_caller(paths: Sequence[Path], images: Path | None, split: str) -> list[Sample]:
    raise ValueError("These samples were given from Python: give them again, by `extraction.extract_with_knockouts`.")


READERS = {
    "easy-vqa": Reader(
        read=lambda paths, images, split: easy_vqa.load_easy_vqa(split),
        split="test",
        tasks=easy_vqa.TASKS,
        needs_path=False,
        takes_images=False,
    ),
    "jsonl": Reader(read=lambda paths, images, split: load_jsonl(paths[0], images)),
    "gqa": Reader(
        read=lambda paths, images, split: gqa.load_gqa(paths[0], split, images),
        split=gqa.DEFAULT_SPLIT,
        tasks=gqa_tasks.TASKS,
    ),
    "csv": Reader(read=lambda paths, images, split: load_csv(paths, images), tasks=gqa_tasks.TASKS, takes_several=True),
    "dataset": Reader(
        read=lambda paths, images, split: load_hub(paths[0], split),
        split=gqa.DEFAULT_SPLIT,
        tasks=gqa_tasks.TASKS,
        takes_images=False,
    ),
    "python": Reader(read=_given_by_caller, needs_path=False, takes_images=False),
}


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which samples; JSON-ready, and made again from the fields that JSON gives back.

    Attributes:
        reader: One of `READERS`.
        path: File or folder of the data; None for "easy-vqa". Several files of "csv" are a tuple; a sequence of one is
            stored as that one.
        images: Folder of the images where the data do not say it.
        tasks: Tasks wanted; all if None.
        per_task: Samples a task at most, chosen by `seed`.
        seed: Seed of that choice.
        split: Split of the data; the usual one of the reader if None is given.
        one_per_image: Whether to keep one sample of each task and image only, so that samples of a task are
            independent: several questions about one image share its tokens.
        limit: The first samples of the choice only; all if None.
    """

    reader: str
    path: str | Path | Sequence[str | Path] | None = None
    images: str | Path | None = None
    tasks: tuple[str, ...] | None = None
    per_task: int | None = None
    seed: int = 0
    split: str | None = None
    one_per_image: bool = False
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.reader not in READERS:
            raise ValueError(f"reader must be one of {sorted(READERS)}, got {self.reader!r}.")
        reader = READERS[self.reader]
        object.__setattr__(self, "path", _one_or_several(self.path))
        object.__setattr__(self, "images", None if self.images is None else str(self.images))
        if reader.needs_path != (self.path is not None):
            raise ValueError(f"{self.reader} data need {'a' if reader.needs_path else 'no'} path, got {self.path!r}.")
        if isinstance(self.path, tuple) and not reader.takes_several:
            raise ValueError(f"{self.reader} data are read from one path, got {len(self.path)}: give one.")
        if self.images is not None and not reader.takes_images:
            raise ValueError(f"{self.reader} data hold their images: leave images ({self.images!r}) out.")
        if self.split is not None and reader.split is None:
            raise ValueError(f"{self.reader} data have no splits: leave split ({self.split!r}) out.")
        for name in ("per_task", "limit"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, or left out for all samples, got {value}.")
        object.__setattr__(self, "split", self.split or reader.split)
        if self.tasks is not None:
            object.__setattr__(self, "tasks", tuple(self.tasks))
            unknown = [task for task in self.tasks if reader.tasks and task not in reader.tasks]
            if unknown:
                raise ValueError(f"tasks must be among {list(reader.tasks or ())}, got {unknown}: check the spelling.")

    @property
    def paths(self) -> list[Path]:
        """Where the data are; one path that leads nowhere for data that need none."""
        several = self.path if isinstance(self.path, tuple) else (self.path or "",)
        return [Path(str(path)) for path in several]


def _one_or_several(path: str | Path | Sequence[str | Path] | None) -> str | tuple[str, ...] | None:
    """Return several paths as a tuple, and one as itself, so that the settings of one path are always the same."""
    if path is None:
        return None
    paths: Any = [path] if isinstance(path, str | Path) else path
    if not isinstance(paths, Sequence) or not paths or not all(isinstance(one, str | Path) for one in paths):
        raise ValueError(f"path must be a path or a sequence of paths, got {path!r}: give at least one.")
    return str(paths[0]) if len(paths) == 1 else tuple(str(one) for one in paths)


def load_samples(data: DataSettings) -> list[Sample]:
    """Read and select the samples.

    Raises:
        ValueError: If the data or a task is not there.
    """
    read = READERS[data.reader].read
    samples = read(data.paths, Path(data.images) if data.images else None, data.split or "")
    return select(samples, data)


def select(samples: Sequence[Sample], data: DataSettings) -> list[Sample]:
    """Keep the samples that the settings choose, in their old order.

    A cap keeps the samples with the smallest hashes of task, seed and id: it does not depend on the order of the data
    or on which other tasks are kept, and one record more changes one sample at most.
    Samples with a problem are all kept: they cost nothing, and become recorded failures.

    Raises:
        ValueError: If there is no sample of a task that is asked for.
    """
    of_task: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.problem is None:
            of_task.setdefault(sample.task, []).append(sample)
    if unknown := [task for task in data.tasks or () if task not in of_task]:
        raise ValueError(f"tasks must be among {list(of_task)}, got {unknown}: check the spelling.")
    chosen = {sample.id for sample in samples if sample.problem is not None}
    for task in of_task if data.tasks is None else data.tasks:
        ids = _one_per_image(of_task[task], data.seed) if data.one_per_image else [one.id for one in of_task[task]]
        chosen.update(sorted(ids, key=partial(_lot, task, data.seed))[: data.per_task])
    return [sample for sample in samples if sample.id in chosen][: data.limit]


def _lot(task: str, seed: int, sample_id: str) -> str:
    """Draw a lot that depends on nothing but the sample: a record more or in another place moves one choice at most."""
    return hashlib.sha256(json.dumps([task, seed, sample_id]).encode()).hexdigest()


def _one_per_image(samples: Sequence[Sample], seed: int) -> list[str]:
    """Choose one sample of each image, so that samples of a task are independent."""
    draw = random.Random(f"{samples[0].task}/{seed}")
    by_image: dict[Hashable, list[str]] = {}
    for sample in samples:
        by_image.setdefault(sample.image_key, []).append(sample.id)
    return [draw.choice(ids) for ids in by_image.values()]


def data_digest(samples: Sequence[Sample]) -> str:
    """Hash ids, names of the images and their folders, questions, answers and tasks, in any order.

    The digest is the sum modulo 2^256 of the SHA-256 of every sample, so the digests of two parts add up to that of the
    whole.
    """
    total = 0
    for sample in samples:
        row = json.dumps([sample.id, sample.image_place, sample.question, sample.answer, sample.task])
        total += int.from_bytes(hashlib.sha256(row.encode()).digest(), "big")
    return f"{total % 2**256:064x}"
