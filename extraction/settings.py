"""What decides the content of a store, and how it is written into the manifest and read back."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from extraction.datasets.easy_vqa import load_easy_vqa
from extraction.datasets.jsonl import load_jsonl
from extraction.datasets.sample import Sample
from extraction.datasets.select import select_samples

POOLING = "mean over the positions of the role, float32"
_PACKAGES = ("torch", "transformers", "tokenizers", "pillow")


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Which model, and how it runs; see `extraction.models.load_model`."""

    name: str
    revision: str | None = None
    dtype: str = "auto"
    attn_implementation: str = "sdpa"


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which samples.

    Attributes:
        reader: "easy-vqa" or "jsonl".
        path: The JSONL file.
        images: Folder of its images.
        tasks: Tasks wanted; all if None.
        per_task: Samples a task at most, chosen by `seed`.
        seed: Seed of that choice.
        split: Split of easy-VQA.
        one_per_image: Whether to keep one sample of each task and image only.
    """

    reader: str
    path: str | None = None
    images: str | None = None
    tasks: tuple[str, ...] | None = None
    per_task: int | None = None
    seed: int = 0
    split: str = "test"
    one_per_image: bool = False


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Everything but the condition.

    Attributes:
        template: Resolved prompt template with `{q}`.
        batch_size: Samples a forward pass.
        shard_size: Samples a shard.
        max_new_tokens: Longest answer.
        dtype: "float32" or "float16" on disk.
        roles: Token groups recorded.
    """

    model: ModelSettings
    data: DataSettings
    template: str
    batch_size: int = 64
    shard_size: int = 128
    max_new_tokens: int = 8
    dtype: str = "float32"
    roles: tuple[str, ...] = ("image", "question", "last")

    def __post_init__(self) -> None:
        for name in ("batch_size", "shard_size", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.dtype not in ("float32", "float16"):
            raise ValueError(f"dtype on disk must be 'float32' or 'float16', got {self.dtype!r}.")


def load_samples(data: DataSettings) -> list[Sample]:
    """Read and select the samples.

    Raises:
        ValueError: If the data or a task is not there, or the cap is not positive.
    """
    if data.reader == "easy-vqa":
        return load_easy_vqa(data.split, data.tasks, data.per_task, data.seed, data.one_per_image)
    samples = load_jsonl(Path(str(data.path)), Path(data.images) if data.images else None)
    return select_samples(samples, data.tasks, data.per_task, data.seed, data.one_per_image)


def data_digest(samples: Sequence[Sample]) -> str:
    """Hash ids, questions, answers, tasks, and the images' names and folders."""
    rows = [(s.id, f"{s.image.parent.name}/{s.image.name}", s.question, s.answer, s.task) for s in samples]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def to_manifest(settings: RunSettings, samples: Sequence[Sample], fingerprint: dict[str, str]) -> dict[str, Any]:
    """Write settings as the JSON-ready mapping that a manifest keeps."""
    return {
        **asdict(settings),
        "data_sha256": data_digest(samples),
        "fingerprint": fingerprint,
        "pooling": POOLING,
        "versions": {name: version(name) for name in _PACKAGES},
    }


def from_manifest(fields: dict[str, Any]) -> RunSettings:
    """Read settings back from a manifest."""
    data = dict(fields["data"])
    data["tasks"] = None if data["tasks"] is None else tuple(data["tasks"])
    return RunSettings(
        model=ModelSettings(**fields["model"]),
        data=DataSettings(**data),
        roles=tuple(fields["roles"]),
        **{n: fields[n] for n in ("template", "batch_size", "shard_size", "max_new_tokens", "dtype")},
    )
