"""What decides the content of a store, and how it is written into the manifest and read back."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from operator import index
from typing import Any

from extraction.datasets.load import DataSettings
from pid_jax.store.manifest import GROUPS

_PACKAGES = ("torch", "transformers", "tokenizers", "pillow")


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Which model, and how it runs; see `extraction.model.load.load_model`."""

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
        layers: Layers recorded, 0 for the embeddings, -1 for the last block; all if None. A manifest has none below 0.
            With the role "last" alone there may be none: the final norm's output is recorded in any case.
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
            object.__setattr__(self, name, _whole(name, given := getattr(self, name)))
            if given < 1:
                raise ValueError(f"{name} must be at least 1, got {given}.")
        dtype = getattr(self.dtype, "__name__", str(self.dtype)).removeprefix("torch.")  # of NumPy, PyTorch or a text
        if dtype not in ("float32", "float16"):
            raise ValueError(f"dtype on disk must be 'float32' or 'float16', got {self.dtype!r}.")
        object.__setattr__(self, "dtype", dtype)
        object.__setattr__(self, "roles", _listed("roles", self.roles, "names such as ('image', 'last')"))
        if unknown := [role for role in self.roles if role not in GROUPS]:
            raise ValueError(f"roles must be among {GROUPS}, got {unknown}: check the spelling.")
        if len(set(self.roles)) < len(self.roles):
            raise ValueError(f"roles must be different, got {self.roles}.")
        if self.keep not in ("all", "correct"):
            raise ValueError(f"keep must be 'all' or 'correct', got {self.keep!r}.")
        if not isinstance(self.share_images, bool):
            raise TypeError(f"share_images must be True or False, got {self.share_images!r}.")
        if self.layers is not None:
            given = _listed("layers", self.layers, "whole numbers such as (0, 8, -1), or None for all")
            if not given and self.roles != ("last",):
                raise ValueError("layers is empty: give whole numbers such as (0, 8, -1), or None for all.")
            object.__setattr__(self, "layers", tuple(sorted({_whole("layers", layer) for layer in given})))


def _whole(name: str, value: Any) -> int:
    """Return a whole number of Python or NumPy as an int."""
    try:
        if not isinstance(value, bool):
            return index(value)
    except TypeError:
        pass
    raise TypeError(f"{name} must be a whole number, such as 8, got {value!r}.")


def _listed(name: str, values: Any, wanted: str) -> tuple[Any, ...]:
    """Return several values as a tuple; a text is one value, not its letters."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list of {wanted}, got {values!r}.")
    return tuple(values)


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that make states, which every shard records."""
    return {name: version(name) for name in _PACKAGES}


def from_manifest(fields: dict[str, Any]) -> RunSettings:
    """Read settings back from a manifest."""
    own = {name: fields[name] for name in RunSettings.__dataclass_fields__}
    parts = {"model": ModelSettings(**fields["model"]), "data": DataSettings(**fields["data"])}
    return RunSettings(**(own | parts))


def parse_layers(text: str) -> tuple[int, ...] | None:
    """Read layers such as "0,8,-1"; None for "all".

    Raises:
        ValueError: If they are no numbers.
    """
    if text.strip() == "all":
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.removeprefix("-").isdecimal() for part in parts):
        raise ValueError(f"layers must be 'all' or numbers with commas, such as 0,8,-1, got {text!r}.")
    return tuple(sorted({int(part) for part in parts}))
