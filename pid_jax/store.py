"""Activation store: a folder of immutable shards and one manifest, safe to kill and to resume at any moment."""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pid_jax.atomic import TEMPORARY_SUFFIX, write_text
from pid_jax.manifest import NORM, Manifest, check_ids, describe_differences, tensor_name
from pid_jax.shard import Failure, ShardHeader, StoreError, read_header, read_tensor, write_shard

SCHEMA = "pid_jax.ActivationStore/1"
MANIFEST = "manifest.json"
# A shard is written within seconds; a partial file this old was left by a process that was killed.
_ABANDONED_AFTER_S = 3600.0


class ActivationStore:
    """Hidden states on disk, one row a sample, by role and layer.

    A shard is complete if and only if it exists. Nothing is locked or appended to: any number of processes may write
    different shards, and a run that was killed goes on with the shards that are missing. Rows are ordered by id.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def create(cls, path: str | Path, manifest: Manifest) -> "ActivationStore":
        """Start a store, or go on with one that was started with an equal manifest.

        Raises:
            StoreError: If the folder holds a store with another manifest.
            ValueError: If ids repeat or none is given.
        """
        path = Path(path)
        check_ids(manifest.ids)
        if manifest.shard_size < 1:
            raise ValueError(f"shard_size must be at least 1, got {manifest.shard_size}.")
        if (path / MANIFEST).exists():
            store = cls.open(path)
            different = describe_differences(asdict(store.manifest), asdict(manifest))
            if different:
                raise StoreError(
                    f"{path} already holds a store made with other settings ({different}). Choose another "
                    "output folder, use the same settings to resume, or delete the folder."
                )
            store._remove_abandoned()
            return store
        if any(path.glob("shard-*.safetensors")):
            raise StoreError(
                f"{path} holds shards but no {MANIFEST}, so nobody knows how they were made: restore the manifest, "
                "choose another output folder, or delete the shards."
            )
        path.mkdir(parents=True, exist_ok=True)
        write_text(path / MANIFEST, json.dumps({"schema": SCHEMA, **asdict(manifest)}, indent=1, ensure_ascii=False))
        return cls(path, manifest)

    @classmethod
    def open(cls, path: str | Path) -> "ActivationStore":
        """Open a store for reading or writing.

        Raises:
            StoreError: If there is none, or one of another schema version.
        """
        path = Path(path)
        try:
            fields = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise StoreError(
                f"{path} is no activation store: it has no {MANIFEST}. Make one with `pid-extract run`."
            ) from None
        except json.JSONDecodeError as error:
            raise StoreError(f"{path / MANIFEST} is not valid JSON ({error}): restore it, or extract again.") from error
        schema = fields.pop("schema", None)
        if schema != SCHEMA:
            raise StoreError(
                f"{path} has store schema {schema!r}, this version reads {SCHEMA!r}: extract again, or use the version "
                "of pid_jax that wrote it."
            )
        return cls(path, Manifest(**fields | {name: tuple(fields[name]) for name in ("ids", "tensors")}))

    # Writing

    def shard_path(self, index: int) -> Path:
        """Where shard `index` is."""
        return self.path / f"shard-{index:05d}.safetensors"

    def shard_ids(self, index: int) -> tuple[str, ...]:
        """Ids that belong to shard `index`, rows or failures."""
        size = self.manifest.shard_size
        return self.manifest.ids[index * size : (index + 1) * size]

    def missing_shards(self) -> list[int]:
        """Shards that are still to be made."""
        return [i for i in range(self.manifest.shard_count) if not self.shard_path(i).exists()]

    @property
    def is_complete(self) -> bool:
        """Whether every shard exists."""
        return not self.missing_shards()

    def write_shard(
        self,
        index: int,
        ids: Sequence[str],
        columns: Sequence[Mapping[str, Any]],
        tensors: Mapping[str, np.ndarray],
        failures: Sequence[Failure] = (),
    ) -> None:
        """Write shard `index`: every one of its ids is a row or a failure.

        Raises:
            ValueError: If an id is missing, double or foreign, or a tensor is.
        """
        given = [*ids, *(failure.id for failure in failures)]
        if sorted(given) != sorted(self.shard_ids(index)):
            raise ValueError(
                f"Shard {index} needs each of its {len(self.shard_ids(index))} ids once, as a row or a failure."
            )
        if ids and set(tensors) != set(self.manifest.tensors):
            raise ValueError(f"Shard {index} needs the tensors {self.manifest.tensors}, got {tuple(tensors)}.")
        write_shard(self.shard_path(index), ids, columns, tensors, failures)

    # Reading

    @cached_property
    def headers(self) -> dict[int, ShardHeader]:
        """Headers of all shards; the store must be complete.

        Raises:
            StoreError: If shards are missing or damaged.
        """
        missing = self.missing_shards()
        if missing:
            raise StoreError(
                f"{self.path} is not complete: {len(missing)} of {self.manifest.shard_count} shards are missing. Run "
                "the same extraction again; it goes on where it stopped."
            )
        return {index: read_header(self.shard_path(index)) for index in range(self.manifest.shard_count)}

    @cached_property
    def _row_ids(self) -> np.ndarray:
        return np.array([i for header in self.headers.values() for i in header.ids], dtype=np.str_)

    @cached_property
    def _order(self) -> np.ndarray:
        return np.argsort(self._row_ids, kind="stable")

    @property
    def ids(self) -> np.ndarray:
        """Ids of all rows, sorted."""
        return self._row_ids[self._order]

    @property
    def failures(self) -> list[Failure]:
        """Samples without a row."""
        return [failure for header in self.headers.values() for failure in header.failures]

    @cached_property
    def columns(self) -> dict[str, np.ndarray]:
        """Per-sample values (task, gold, predicted, correct, n_image, ...) in the order of `ids`."""
        rows = [row for header in self.headers.values() for row in header.columns]
        if not rows:
            raise self._no_rows()
        ordered = [rows[i] for i in self._order]
        return {name: np.array([row[name] for row in ordered]) for name in ordered[0]}

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers recorded: 0 is the embeddings, l the output of decoder block l."""
        return tuple(sorted({int(prefix) for prefix, _ in self._parts if prefix != NORM}))

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles recorded."""
        return tuple(sorted({role for _, role in self._parts}))

    @property
    def _parts(self) -> list[tuple[str, str]]:
        return [tuple(name.split("/", 1)) for name in self.manifest.tensors]  # type: ignore[misc]

    def read(self, *, role: str, layer: int | str) -> np.ndarray:
        """Read one role at one layer.

        Args:
            role: One of `roles`.
            layer: One of `layers`, or `NORM`.

        Returns:
            States (n, d), rows in the order of `ids`.

        Raises:
            StoreError: If there is no such tensor, or its bytes were changed.
        """
        name = tensor_name(role, layer)
        if name not in self.manifest.tensors:
            raise StoreError(
                f"{self.path} has no states for role={role!r}, layer={layer!r}; it has roles {self.roles} and layers "
                f"{self.layers}, and {[n for n in self.manifest.tensors if n.startswith(NORM)]}."
            )
        parts = [
            read_tensor(self.shard_path(index), name, header.sha256[name])
            for index, header in self.headers.items()
            if header.ids
        ]
        if not parts:
            raise self._no_rows()
        return np.concatenate([part.astype(np.result_type(*parts), copy=False) for part in parts])[self._order]

    def iter_layers(self, role: str) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (layer, states), one layer in memory at a time."""
        for layer in self.layers:
            yield layer, self.read(role=role, layer=layer)

    def verify(self) -> list[str]:
        """Check every byte and every id; return one line a problem, none if all is well."""
        missing = self.missing_shards()
        problems = [f"shard {index} is missing: run the same extraction again to make it" for index in missing]
        seen: list[str] = []
        for index in sorted(set(range(self.manifest.shard_count)) - set(missing)):
            path = self.shard_path(index)
            try:
                header = read_header(path)
                for name, digest in header.sha256.items():
                    read_tensor(path, name, digest)
            except StoreError as error:
                problems.append(str(error))
                continue
            found = [*header.ids, *(failure.id for failure in header.failures)]
            seen += found
            if sorted(found) != sorted(self.shard_ids(index)):
                problems.append(f"shard {index} does not hold the ids that the manifest gives it: delete it and resume")
        if len(seen) != len(set(seen)):
            problems.append(f"{len(seen) - len(set(seen))} ids stand in more than one place")
        return problems

    def _no_rows(self) -> StoreError:
        count = len(self.failures)
        return StoreError(f"{self.path} holds no row: all {count} samples failed; see `pid-extract verify`.")

    def _remove_abandoned(self) -> None:
        for leftover in self.path.glob(f".*{TEMPORARY_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):  # its writer may just have renamed it
                if time.time() - leftover.stat().st_mtime > _ABANDONED_AFTER_S:
                    leftover.unlink()
