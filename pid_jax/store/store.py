"""Activation store: a folder of immutable shards and one manifest, safe to kill and to resume at any moment."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pid_jax.runtime.progress import Progress, no_progress
from pid_jax.store.activations import Activations, take_rows
from pid_jax.store.folder import Folder, join_path, open_folder
from pid_jax.store.layout import ArrayLayout
from pid_jax.store.manifest import (
    Manifest,
    ManifestError,
    check_ids,
    decode_manifest,
    describe_differences,
    encode_manifest,
)
from pid_jax.store.open_arrays import open_arrays
from pid_jax.store.read import find_problems, gather_rows, read_own_header
from pid_jax.store.shard import Failure, ShardHeader, StoreError, check_rows, shard_name, write_shard

MANIFEST = "manifest.json"
_LONG_TEXT = 1000


class ActivationStore(Activations):
    """Hidden states on disk or in an object store, one row a sample, by role and layer.

    A shard is complete if and only if it exists. Nothing is locked or appended to: any number of processes and machines
    may write different shards, and a run that was killed goes on with the shards that are missing. Rows are ordered by
    id. See docs/store.md.
    """

    def __init__(self, folder: Folder, manifest: Manifest) -> None:
        self._folder = folder
        self.manifest = manifest

    @property
    def folder(self) -> Folder:
        """The folder that holds the store."""
        return self._folder

    @property
    def path(self) -> Path | str:
        """Where the store is: a path, or the URL of an object store."""
        return self.folder.path

    @classmethod
    def create(cls, path: str | Path, manifest: Manifest) -> "ActivationStore":
        """Start a store, or resume one that was started with an equal manifest.

        Args:
            path: A local path, or a URL such as s3://bucket/prefix.
            manifest: What the store will hold. A store that exists keeps its evidence; versions of packages in its
                settings, which earlier releases wrote there, are not compared.

        Raises:
            StoreError: If the folder holds a store with another manifest.
            ValueError: If ids repeat or none is given.
        """
        check_ids(manifest.ids)
        if manifest.shard_size < 1:
            raise ValueError(f"shard_size must be at least 1, got {manifest.shard_size}.")
        folder = open_folder(path)
        # Others may start the same store now. They write its manifest first, so it is looked for after the shards.
        has_shards = any(name.startswith("shard-") for name in folder.names())
        if not folder.exists(MANIFEST):
            if has_shards:
                raise StoreError(
                    f"{path} holds shards but no {MANIFEST}, so nobody knows how they were made: restore the manifest, "
                    "choose another output folder, or delete the shards."
                )
            folder.write(MANIFEST, [encode_manifest(manifest).encode()])
        store = cls.open(path)
        different = describe_differences(store.manifest.deciding, manifest.deciding)
        if different:
            raise StoreError(
                f"{path} already holds a store made with other settings ({different}). Choose another "
                "output folder, use the same settings to resume, or delete the folder."
            )
        folder.clean()
        return store

    @classmethod
    def open(cls, path: str | Path) -> "ActivationStore":
        """Open a store for reading or writing.

        Args:
            path: A local path, or a URL such as s3://bucket/prefix.

        Raises:
            StoreError: If there is none, it was changed, or it is of another schema version.
        """
        folder = open_folder(path)
        try:
            return cls(folder, decode_manifest(folder.read(MANIFEST).tobytes().decode()))
        except FileNotFoundError:
            raise StoreError(
                f"{path} is no activation store: it has no {MANIFEST}. Make one with `pid-extract run`."
            ) from None
        except (ManifestError, UnicodeDecodeError) as error:
            raise StoreError(f"{join_path(folder.path, MANIFEST)} {error}.") from error

    @classmethod
    def from_arrays(
        cls,
        path: str | Path,
        source: Any,
        *,
        table: Any = None,
        layout: ArrayLayout | None = None,
        shard_size: int = 256,
        progress: Progress = no_progress,
    ) -> "ActivationStore":
        """Copy states of other tools into a store; a copy that was stopped resumes.

        Samples with values that are not finite become failures. Studies read arrays as they are, by
        `open_activations`: a copy is for object stores, and for files that are slow to read by layer.

        Args:
            path: Folder or URL of the store.
            source: What `open_activations` returns, or arrays as it takes them.
            table: What is known of the samples, where arrays are given.
            layout: How to read the arrays.
            shard_size: Samples a shard, which are in memory at a time with all roles and layers.
            progress: Called with shards done and all there are.

        Raises:
            StoreError: If the arrays cannot be read, or the folder holds another store.
        """
        states = source if isinstance(source, Activations) else open_arrays(source, table, layout)
        settings = {**states.manifest.settings, "content": list(states.content_digests)}
        store = cls.create(path, replace(states.manifest, shard_size=shard_size, settings=settings))
        missing = store.missing_shards()
        for done, index in enumerate(missing):
            progress(done, len(missing))
            ids, columns, tensors, failures = take_rows(states, store.shard_ids(index))
            store.write_shard(index, ids, columns, tensors, failures)
        progress(len(missing), len(missing))
        return cls.open(path)

    @staticmethod
    def exists(path: str | Path) -> bool:
        """Whether a store was started there."""
        return open_folder(path).exists(MANIFEST)

    # Writing

    def shard_path(self, index: int) -> Path | str:
        """Where shard `index` is, for messages."""
        return join_path(self.path, shard_name(index))

    def shard_ids(self, index: int) -> tuple[str, ...]:
        """Ids that belong to shard `index`, rows or failures."""
        return self.manifest.shard_ids(index)

    def has_shard(self, index: int) -> bool:
        """Whether shard `index` exists."""
        return self.folder.exists(shard_name(index))

    def present_shards(self) -> list[int]:
        """Shards that exist."""
        there = self.folder.names()
        return [i for i in range(self.manifest.shard_count) if shard_name(i) in there]

    def missing_shards(self) -> list[int]:
        """Shards that are still to be made."""
        return sorted({*range(self.manifest.shard_count)} - {*self.present_shards()})

    @property
    def is_complete(self) -> bool:
        """Whether every shard exists."""
        return not self.missing_shards()

    def write_shard(
        self,
        index: int,
        ids: Sequence[str],
        columns: Sequence[Mapping[str, Any]],
        tensors: Mapping[str, Any],
        failures: Sequence[Failure] = (),
        versions: Mapping[str, str] | None = None,
    ) -> None:
        """Write shard `index`: every one of its ids is a row or a failure.

        Args:
            index: Number of the shard.
            ids: Ids of the rows.
            columns: One mapping a row: texts, numbers and truth values, also as scalars of NumPy and PyTorch.
            tensors: Array-likes (rows, d) by name, float16, bfloat16 (stored as float32), float32 or float64.
            failures: Samples without a row.
            versions: Versions of the packages that made the shard, by name: recorded, and never compared.

        Raises:
            TypeError: If ids, columns or failures are of another type, or a tensor does not hold real numbers.
            ValueError: If an id is missing, double or foreign, or a tensor is, or it has another shape or dtype.
        """
        ids, failures = check_rows(ids, columns, failures)
        if not 0 <= index < self.manifest.shard_count:
            raise ValueError(f"index must be within 0 to {self.manifest.shard_count - 1}, got {index}.")
        given = [*ids, *(failure.id for failure in failures)]
        if sorted(given) != sorted(self.shard_ids(index)):
            raise ValueError(
                f"Shard {index} needs each of its {len(self.shard_ids(index))} ids once, as a row or a failure."
            )
        if set(tensors) != set(self.manifest.tensors) and (ids or tensors):
            raise ValueError(f"Shard {index} needs the tensors {self.manifest.tensors}, got {tuple(tensors)}.")
        digest = self.manifest.digest
        kept = tensors if ids else {}
        name = shard_name(index)
        write_shard(self.folder, name, ids, columns, kept, failures, manifest=digest, versions=versions)

    # Reading

    def header(self, index: int) -> ShardHeader:
        """Read and check the header of shard `index`, which must exist.

        Raises:
            StoreError: If it is damaged, or the shard of another place or store.
        """
        return read_own_header(self.folder, self.manifest, index)

    @property
    def content_digests(self) -> list[str]:
        """Checksums of the headers of all shards, which cover every byte."""
        return [header.digest for header in self.headers.values()]

    @cached_property
    def headers(self) -> dict[int, ShardHeader]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Headers of all shards; the store must be complete.

        Raises:
            StoreError: If shards are missing or damaged.
        """
        self.check_complete()
        return self.headers_of(range(self.manifest.shard_count))

    def check_complete(self) -> None:
        """Refuse a store with missing shards, by a `StoreError`."""
        missing = self.missing_shards()
        if missing:
            raise StoreError(
                f"{self.path} is not complete: {len(missing)} of {self.manifest.shard_count} shards are missing. Run "
                "the same extraction again; it goes on where it stopped."
            )

    def headers_of(self, indices: Sequence[int]) -> dict[int, ShardHeader]:
        """Read and check the headers of some shards, which must exist.

        Raises:
            StoreError: If one is damaged, or the shard of another place or store.
        """
        found: dict[int, ShardHeader] = {}
        self.folder.each(lambda index: found.update({index: self.header(index)}), indices)
        return {index: found[index] for index in indices}

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
        """Per-sample values (task, gold, predicted, correct, n_image, ...) in the order of `ids`.

        Raises:
            StoreError: If there is no row, or columns differ between rows.
        """
        rows = [row for header in self.headers.values() for row in header.columns]
        if not rows:
            raise self._no_rows()
        ordered = [rows[i] for i in self._order]
        names = {frozenset(row) for row in rows}
        if len(names) > 1:
            some = sorted(frozenset.union(*names) - frozenset.intersection(*names))
            raise StoreError(
                f"{self.path} has columns that only some samples have: {some}. Extract again, into one store."
            )
        return {name: self._as_array(name, [row[name] for row in ordered]) for name in ordered[0]}

    def _as_array(self, name: str, values: list[Any]) -> np.ndarray:
        """Keep the type of a column: an array of objects where texts are long, as NumPy would make all of them so."""
        types = {type(value) for value in values}
        if not (len(types) == 1 or types <= {int, float}) or types & {list, dict}:
            found = sorted(kind.__name__ for kind in types)
            raise StoreError(
                f"{self.path} has values of types {found} in column {name!r}, wanted texts, numbers or truth values."
            )
        is_long = types == {str} and max(map(len, values)) > _LONG_TEXT
        return np.array(values, dtype=object if is_long else None)

    def read(self, *, role: str, layer: int | str, rows: Any = None) -> np.ndarray:
        """Read one role at one layer.

        Only the shards that hold rows asked for are read; one of them is in memory at a time.

        Args:
            role: One of `roles`.
            layer: One of `layers`, or `NORM`.
            rows: Rows wanted, as indices, a mask or a slice of `ids`; all if not given.

        Returns:
            States (n, d), rows in the order of `ids`.

        Raises:
            StoreError: If there is no such tensor, or its bytes were changed.
            TypeError: If the layer is no number of a layer and no text.
        """
        name = self.tensor(role, layer)
        filled = {index: header for index, header in self.headers.items() if header.ids}
        if not filled:
            raise self._no_rows()
        wanted = self._order if rows is None else self._order[rows]
        return gather_rows(self.folder, filled, name, wanted)

    def verify(self) -> list[str]:
        """Check every byte and every id; return one line a problem, none if all is well."""
        return find_problems(self.folder, self.manifest)

    def _no_rows(self) -> StoreError:
        count = len(self.failures)
        return StoreError(f"{self.path} holds no row: all {count} samples failed; see `pid-extract verify`.")
