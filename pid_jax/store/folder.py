"""Folders that hold a store: one on a disk, or a prefix of an object store behind fsspec."""

import contextlib
import mmap
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

import numpy as np

from pid_jax.runtime.files import TEMPORARY_SUFFIX, atomic_write

Item = TypeVar("Item")

# A shard is written within seconds; a partial file this old was left by a process that was killed.
_ABANDONED_AFTER_S = 3600.0
# Requests under way at once: each waits for the network most of its time.
_REQUESTS = 16
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(//|:)")
_COLLAPSED_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:[/\\](?![/\\])")


class Folder(Protocol):
    """What a store needs of the place where it lies: whole files by name, never renamed, locked or appended to."""

    @property
    def path(self) -> Path | str:
        """The place, for messages."""
        ...

    def names(self) -> set[str]:
        """List the files that exist; none if the folder does not."""
        ...

    def exists(self, name: str) -> bool:
        """Say whether a file exists, whole."""
        ...

    def size(self, name: str) -> int:
        """Bytes of a file."""
        ...

    def read(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Read bytes `start` to `stop` of a file as uint8, fewer if it ends before."""
        ...

    def write(self, name: str, parts: Iterable[bytes | memoryview]) -> None:
        """Write a file that consists of `parts`, whole or not at all."""
        ...

    def each(self, action: Callable[[Item], object], items: Sequence[Item]) -> None:
        """Call an action that reads for every item, at the same time where that is faster."""
        ...

    def clean(self) -> None:
        """Remove what killed writers left."""
        ...


class LocalFolder:
    """A folder on a disk: files are mapped into memory, and renamed when they are complete."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> set[str]:
        """List the files that exist; none if the folder does not."""
        if not self.path.is_dir():
            return set()
        with os.scandir(self.path) as entries:  # a link that leads nowhere is no file, nor is a folder
            return {entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file()}

    def exists(self, name: str) -> bool:
        """Say whether a file exists, whole."""
        return (self.path / name).is_file()

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return (self.path / name).stat().st_size

    def read(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Read bytes `start` to `stop` of a file as uint8, fewer if it ends before: a view of the mapped file."""
        with (self.path / name).open("rb") as file:
            if not file.seek(0, 2):  # an empty file cannot be mapped
                return np.empty(0, np.uint8)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.frombuffer(mapped, np.uint8)[start:stop]

    def write(self, name: str, parts: Iterable[bytes | memoryview]) -> None:
        """Write a file that consists of `parts`, whole or not at all."""
        parts = [memoryview(part).cast("B") for part in parts]
        size = sum(part.nbytes for part in parts)
        with atomic_write(self.path / name, size) as temporary, temporary.open("wb") as file:
            for part in parts:
                file.write(part)

    def each(self, action: Callable[[Item], object], items: Sequence[Item]) -> None:
        """Call an action for every item, one after the other: one thread reads as fast as memory does."""
        for item in items:
            action(item)

    def clean(self) -> None:
        """Remove partial files that are so old that their writers must be dead."""
        for leftover in self.path.glob(f".*{TEMPORARY_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):  # its writer may just have renamed it
                if time.time() - leftover.stat().st_mtime > _ABANDONED_AFTER_S:
                    leftover.unlink()


class RemoteFolder:
    """A prefix of an object store: one PUT a file, parts read by byte ranges.

    Args:
        path: The URL, for messages.
        system: Its fsspec file system.
        root: The prefix, as that file system names it.
    """

    def __init__(self, path: str, system: Any, root: str) -> None:
        self.path = path
        self._system, self._root = system, root.rstrip("/")

    def names(self) -> set[str]:
        """List the files that exist; none if nothing has this prefix."""
        self._system.invalidate_cache()  # other machines write, too
        try:
            return {entry.rsplit("/", 1)[-1] for entry in self._system.ls(self._root, detail=False)}
        except FileNotFoundError:
            return set()

    def exists(self, name: str) -> bool:
        """Say whether a file exists, whole."""
        self._system.invalidate_cache()
        return self._system.exists(self._place(name))

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return int(self._system.size(self._place(name)))

    def read(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Read bytes `start` to `stop` of a file as uint8, fewer if it ends before."""
        return np.frombuffer(self._system.cat_file(self._place(name), start=start, end=stop), np.uint8)

    def write(self, name: str, parts: Iterable[bytes | memoryview]) -> None:
        """Write a file that consists of `parts` by one PUT, which an object store does whole or not at all."""
        self._system.pipe_file(self._place(name), b"".join(memoryview(part).cast("B") for part in parts))

    def each(self, action: Callable[[Item], object], items: Sequence[Item]) -> None:
        """Call an action that reads for every item, with several requests under way."""
        with ThreadPoolExecutor(_REQUESTS) as pool:
            for _ in pool.map(action, items):
                pass

    def clean(self) -> None:
        """Nothing: what was not put whole does not exist."""

    def _place(self, name: str) -> str:
        return f"{self._root}/{name}"


def open_folder(path: str | Path) -> Folder:
    """Find the folder that a path or a URL names; it need not exist.

    Args:
        path: A local path, `file://...`, or the URL of an object store that fsspec knows: `s3://bucket/prefix`.

    Raises:
        ModuleNotFoundError: If a package is missing, with its name.
        TypeError: If it is no text and no path.
        ValueError: If nobody knows this kind of URL.
    """
    if not isinstance(path, str | Path):
        raise TypeError(f"path must be a folder or a URL, got {path!r}.")
    text = str(path)
    if isinstance(path, Path) and _COLLAPSED_URL.match(text):
        raise ValueError(
            f"path {text!r} was a URL before it became a Path, which takes a slash away: give URLs as strings."
        )
    if not _URL.match(text) or isinstance(path, Path):
        return LocalFolder(Path(path))
    if text.startswith("file://"):
        return LocalFolder(Path(unquote(urlsplit(text).path)))
    return RemoteFolder(text, *_file_system(text))


def join_path(path: Path | str, name: str) -> Path | str:
    """Name a file of a folder."""
    return path / name if isinstance(path, Path) else f"{path.rstrip('/')}/{name}"


def _file_system(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"{url} is no local path, and remote stores need the package fsspec: run `pip install fsspec`, and for "
            "s3:// also s3fs, for gs:// gcsfs, for az:// adlfs."
        ) from None
    try:
        return url_to_fs(url)
    except ImportError as error:
        raise ModuleNotFoundError(f"{url} cannot be reached: {error}") from error
    except ValueError as error:
        raise ValueError(f"{url} is no URL that fsspec knows ({error}); see docs/store.md.") from error
