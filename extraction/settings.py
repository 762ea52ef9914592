"""What decides the content of a store, and how it is written into the manifest and read back."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from extraction.datasets.load import DataSettings, data_digest
from extraction.datasets.sample import Sample

TINY = "tiny"
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
    return RunSettings(
        model=ModelSettings(**fields["model"]),
        data=DataSettings(**fields["data"]),
        roles=tuple(fields["roles"]),
        **{n: fields[n] for n in ("template", "batch_size", "shard_size", "max_new_tokens", "dtype")},
    )
