"""What decides the content of a store, and how it is written into the manifest and read back."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from extraction.datasets.load import DataSettings, data_digest
from extraction.datasets.sample import Sample
from extraction.edges import GROUPS

POOLING = "mean over the positions of the role, float32"
# Fields of RunSettings that JSON gives back as they were.
_PLAIN = ("template", "batch_size", "shard_size", "max_new_tokens", "dtype", "share_images", "keep")
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
        roles: Token groups recorded; none for answers alone.
        layers: Layers recorded, 0 for the embeddings; all if None.
        share_images: Whether questions about one image share one pass over it.
        keep: "all", or "correct": the samples were chosen among those that the model answers correctly.
    """

    model: ModelSettings
    data: DataSettings
    template: str
    batch_size: int = 64
    shard_size: int = 128
    max_new_tokens: int = 8
    dtype: str = "float32"
    roles: tuple[str, ...] = ("image", "question", "last")
    layers: tuple[int, ...] | None = None
    share_images: bool = True
    keep: str = "all"

    def __post_init__(self) -> None:
        for name in ("batch_size", "shard_size", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.dtype not in ("float32", "float16"):
            raise ValueError(f"dtype on disk must be 'float32' or 'float16', got {self.dtype!r}.")
        if len(set(self.roles)) < len(self.roles):
            raise ValueError(f"roles must be different, got {self.roles}.")
        if unknown := [role for role in self.roles if role not in GROUPS]:
            raise ValueError(f"roles must be among {GROUPS}, got {unknown}: check the spelling.")
        if self.keep not in ("all", "correct"):
            raise ValueError(f"keep must be 'all' or 'correct', got {self.keep!r}.")
        if self.layers is not None and (not self.layers or list(self.layers) != sorted(set(self.layers))):
            raise ValueError(f"layers must be different numbers in rising order, or None for all, got {self.layers}.")


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
        layers=None if fields["layers"] is None else tuple(fields["layers"]),
        **{name: fields[name] for name in _PLAIN},
    )


def parse_layers(text: str) -> tuple[int, ...] | None:
    """Read layers such as "0,8,16"; None for "all".

    Raises:
        ValueError: If they are no numbers.
    """
    if text.strip() == "all":
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ValueError(f"layers must be 'all' or numbers with commas, such as 0,8,16, got {text!r}.")
    return tuple(sorted({int(part) for part in parts}))
