"""What a store holds, in numbers: also one that is still being made."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pid_jax.store.activations import Activations
from pid_jax.store.manifest import NORM
from pid_jax.store.shard import ShardHeader
from pid_jax.store.store import ActivationStore

_UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class TaskInfo:
    """Samples of one task.

    Attributes:
        task: Its name.
        count: Rows.
        answered: Rows with a gold answer.
        accuracy: Share of correct answers among those; None without any.
        majority_rate: Share of the most frequent gold answer; None without any.
        gold_entropy: Entropy of the gold answers in bits; None without any.
        predicted_entropy: Entropy of the predicted answers in bits.
        images: Distinct images; None if the store does not name them.
        n_image: Mean number of image tokens; None if the store does not count them.
        n_question: Mean number of question tokens; None if the store does not count them.
    """

    task: str
    count: int
    answered: int
    accuracy: float | None
    majority_rate: float | None
    gold_entropy: float | None
    predicted_entropy: float | None
    images: int | None
    n_image: float | None
    n_question: float | None


@dataclass(frozen=True, kw_only=True)
class StoreInfo:
    """A store, or what there is of it.

    Attributes:
        path: Where it is.
        rows: Samples with states or answers.
        wanted: Samples that the complete store has, failures included.
        failures: Failures by stage.
        shards: Shards that exist.
        shards_wanted: Shards of the complete store.
        bytes: Bytes of these shards.
        condition: Name of what was done to the model.
        model: Name of the model.
        revision: Its revision.
        model_dtype: Precision that it ran in, as asked for.
        dtypes: Types of the values on disk.
        layers: Layers recorded.
        roles: Roles recorded.
        has_norm: Whether the final norm's output is there.
        width: Values a state; None if there is none.
        versions: For each package the shards that each version of it made.
        parity: What the comparison of states with those of a plain call of the model measured; empty without one.
        tasks: What is known of each task.
    """

    path: str
    rows: int
    wanted: int
    failures: Mapping[str, int]
    shards: int
    shards_wanted: int
    bytes: int
    condition: str
    model: str
    revision: str | None
    model_dtype: str
    dtypes: tuple[str, ...]
    layers: tuple[int, ...]
    roles: tuple[str, ...]
    has_norm: bool
    width: int | None
    versions: Mapping[str, Mapping[str, int]]
    parity: Mapping[str, Any]
    tasks: tuple[TaskInfo, ...]


def describe_store(store: ActivationStore) -> StoreInfo:
    """Describe a store by the headers of the shards that exist; states are not read.

    Raises:
        StoreError: If a header is damaged.
    """
    missing = set(store.missing_shards())
    count = store.manifest.shard_count
    headers = list(store.headers_of([index for index in range(count) if index not in missing]).values())
    places = [place for header in headers for place in header.places.values()]
    model = store.manifest.settings.get("model", {})
    rows = [row for header in headers for row in header.columns]
    of_task: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        of_task.setdefault(str(row.get("task", _UNKNOWN)), []).append(row)
    return StoreInfo(
        path=str(store.path),
        rows=len(rows),
        wanted=len(store.manifest.ids),
        failures=_failures(headers),
        shards=len(headers),
        shards_wanted=count,
        bytes=sum(header.size for header in headers),
        condition=str(store.manifest.condition.get("name", _UNKNOWN)),
        model=str(model.get("name", _UNKNOWN)),
        revision=model.get("revision"),
        model_dtype=str(model.get("dtype", _UNKNOWN)),
        dtypes=tuple(sorted({place.dtype.name for place in places})),
        layers=store.layers,
        roles=store.roles,
        has_norm=any(name.startswith(f"{NORM}/") for name in store.manifest.tensors),
        width=places[0].shape[1] if places else None,
        versions=count_versions(store, headers),
        parity=store.manifest.evidence.get("parity", {}),
        tasks=tuple(_describe_task(task, some) for task, some in of_task.items()),
    )


def count_versions(store: Activations, headers: Iterable[ShardHeader]) -> dict[str, dict[str, int]]:
    """Count, for each package and each version of it, the shards that it made; empty where none is recorded."""
    counts: dict[str, Counter[str]] = {}
    for header in headers:
        for package, version in (header.versions or store.manifest.begun_with).items():
            counts.setdefault(package, Counter())[version] += 1
    return {package: dict(sorted(counts[package].items())) for package in sorted(counts)}


def describe_parity(parity: Mapping[str, Any]) -> str:
    """Write what the comparison with `output_hidden_states` measured."""
    devices = ", ".join(parity["devices"])
    return (
        f"{parity['states']} states of {len(parity['samples'])} samples equal output_hidden_states to "
        f"{parity['alone']:.0e} alone and {parity['together']:.0e} in one batch (allowed "
        f"{parity['tolerance_alone']:.0e} and {parity['tolerance_together']:.0e}; {parity['attention']}, "
        f"{parity['dtype']}, {devices})"
    )


def _failures(headers: Sequence[ShardHeader]) -> dict[str, int]:
    return dict(Counter(failure.stage for header in headers for failure in header.failures).most_common())


def _describe_task(task: str, rows: Sequence[Mapping[str, Any]]) -> TaskInfo:
    answered = [row for row in rows if row.get("gold", "") != ""]
    gold = _shares([row["gold"] for row in answered])
    images = {row["image"] for row in rows if "image" in row}
    return TaskInfo(
        task=task,
        count=len(rows),
        answered=len(answered),
        accuracy=_mean(answered, "correct"),
        majority_rate=float(gold.max()) if len(gold) else None,
        gold_entropy=_entropy(gold),
        predicted_entropy=_entropy(_shares([row["predicted"] for row in rows if "predicted" in row])),
        images=len(images) or None,
        n_image=_mean(rows, "n_image"),
        n_question=_mean(rows, "n_question"),
    )


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [row[name] for row in rows if name in row]
    return float(np.mean(values)) if values else None


def _shares(values: Sequence[Any]) -> np.ndarray:
    counts = np.array(list(Counter(values).values()), dtype=float)
    return counts / counts.sum()


def _entropy(shares: np.ndarray) -> float | None:
    """Entropy in bits; None of nothing."""
    return float(-(shares * np.log2(shares)).sum()) + 0.0 if len(shares) else None
