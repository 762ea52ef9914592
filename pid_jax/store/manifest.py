"""What an activation store holds, written down before the first sample is extracted."""

import hashlib
import json
import operator
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

NORM = "norm"
BASELINE = "baseline"
"""Name of the condition without a knockout."""
GROUPS = ("system", "image", "question", "suffix", "last")
"""Token groups of a prompt, in its order; each may be a role of a store."""
SCHEMA = "pid_jax.ActivationStore/2"


class ManifestError(ValueError):
    """A manifest that this version cannot read; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything that decides what a store holds. Two runs with equal contents of it write equal shards.

    Attributes:
        ids: Ids of all samples wanted, in the order of extraction.
        shard_size: Samples a shard; shard k holds ids[k * shard_size : (k + 1) * shard_size].
        tensors: Names of the tensors of every shard, see `tensor_name`.
        condition: What was done to the model: name, label, edges cut or title of the mask, first and last block.
        settings: Model, prompt, data and pooling, JSON-ready. Stores of earlier releases have the versions of packages
            here, under `versions`; since then each shard records its own.
        evidence: What self-tests measured before the run, JSON-ready. It decides nothing, so it is neither compared nor
            part of `digest`, and a store that is resumed keeps the evidence it has.
    """

    ids: tuple[str, ...]
    shard_size: int
    tensors: tuple[str, ...]
    condition: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> dict[str, Any]:
        """The fields that decide what a store holds: all but `evidence`."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "evidence"}

    @property
    def deciding(self) -> dict[str, Any]:
        """What two runs must have in common to fill one store: `content` without the versions of packages."""
        return {**self.content, "settings": self.deciding_settings}

    @property
    def deciding_settings(self) -> dict[str, Any]:
        """The settings that decide numbers: all but the versions of packages, see decision 0027."""
        return {name: value for name, value in self.settings.items() if name != "versions"}

    @property
    def begun_with(self) -> Mapping[str, str]:
        """Versions of packages for shards that record none, which are those of earlier releases."""
        return self.settings.get("versions", {})

    @cached_property
    def digest(self) -> str:
        """SHA-256 of `content`, which every shard repeats."""
        return _digest(self.content)

    @property
    def shard_count(self) -> int:
        """Number of shards of the complete store."""
        return -(-len(self.ids) // self.shard_size)

    def shard_ids(self, index: int) -> tuple[str, ...]:
        """Ids that belong to shard `index`, rows or failures."""
        return self.ids[index * self.shard_size : (index + 1) * self.shard_size]


def encode_manifest(manifest: Manifest) -> str:
    """Write a manifest as the text of its file, with a checksum."""
    body = json.loads(json.dumps({**manifest.content, "evidence": manifest.evidence}))  # as it will be read
    return json.dumps({"schema": SCHEMA, "sha256": _digest(body), **body}, indent=1, ensure_ascii=False)


def decode_manifest(text: str) -> Manifest:
    """Read what `encode_manifest` wrote.

    Raises:
        ManifestError: If it was changed, or another version wrote it.
    """
    try:
        body: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"is not valid JSON ({error}): restore it, or extract again") from error
    schema = body.pop("schema", None) if isinstance(body, dict) else None
    if schema != SCHEMA:
        raise ManifestError(
            f"has store schema {schema!r}, this version reads {SCHEMA!r}: extract again, or use the version of pid_jax "
            "that wrote it"
        )
    if body.pop("sha256", None) != _digest(body):
        raise ManifestError("was changed since it was written: restore it, or extract again")
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in body.items()}
    return Manifest(**given)


def tensor_name(role: str, layer: int | str) -> str:
    """Name the tensor of a role at a layer; tensors of one layer are neighbors on disk.

    Args:
        role: image, question, last, ...
        layer: 0 for the embeddings, l for the output of decoder block l, `NORM` for the final norm's output.

    Raises:
        TypeError: If the layer is no whole number and no text.
        ValueError: If it is below 0.

    Example:
        >>> from pid_jax.store import NORM, tensor_name
        >>> tensor_name("image", 12), tensor_name("last", NORM)
        ('012/image', 'norm/last')
    """
    if isinstance(layer, str):
        return f"{layer}/{role}"
    if isinstance(layer, bool) or not hasattr(layer, "__index__"):
        raise TypeError(f"layer must be the number of a layer, or {NORM!r}, got {layer!r}.")
    number = operator.index(layer)
    if number < 0:
        raise ValueError(f"layer must be 0 or more, got {layer}: take it from store.layers, such as store.layers[-1].")
    return f"{number:03d}/{role}"


def describe_differences(
    old: Mapping[str, Any], new: Mapping[str, Any], places: tuple[str, str] = ("there", "asked for")
) -> str:
    """Say in one line which settings differ and how; empty if none do.

    Args:
        old: Settings.
        new: Settings to compare.
        places: What to call where both are.
    """
    return "; ".join(_differences(json.loads(json.dumps(old)), json.loads(json.dumps(new)), places))


def check_ids(ids: Sequence[str]) -> None:
    """Refuse ids that are missing or repeat."""
    if not ids:
        raise ValueError("ids is empty: no sample was selected; check the task names and the limit.")
    wrong = [i for i in ids if not isinstance(i, str) or "\0" in i]
    if wrong:
        raise ValueError(f"ids must be texts without NUL, got {wrong[0]!r}: NumPy would drop it at the end.")
    double = [i for i, count in Counter(ids).items() if count > 1]
    if double:
        raise ValueError(f"ids must be unique, {len(double)} of them repeat (for example {double[:3]}).")


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], places: tuple[str, str], prefix: str = ""
) -> list[str]:
    lines: list[str] = []
    for name in sorted({*old, *new}):
        a, b = old.get(name), new.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            lines += _differences(a, b, places, f"{prefix}{name}.")
        elif a != b:
            lines.append(f"{prefix}{name}: {_short(a)} {places[0]}, {_short(b)} {places[1]}")
    return lines


def _short(value: Any) -> str:
    return f"{len(value)} entries" if isinstance(value, list) and len(value) > 4 else repr(value)
