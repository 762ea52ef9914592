"""Files that are written whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY_SUFFIX = ".partial"


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and rename it to `path`.

    A reader sees the old file or the new one, never a part of one, also when the process is killed. What a killed
    process leaves ends in `.partial` and is ignored by every reader.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}-{os.getpid()}-{secrets.token_hex(4)}{path.suffix}{TEMPORARY_SUFFIX}")
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def check_file(path: Path, option: str) -> None:
    """Refuse a path at which no file can be written, before anything is computed for it.

    Args:
        path: The file; it and folders above it need not exist.
        option: What the path was given by.

    Raises:
        ValueError: If it is a folder, or no file can be made there.
    """
    if path.is_dir():
        raise ValueError(f"{option} {path} is a folder, wanted a file: add the name of one.")
    check_folder(path.absolute().parent, option)


def check_folder(path: Path, option: str) -> None:
    """Refuse a path at which no folder can be written to, before anything is computed for it; see `check_file`."""
    there = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    if not there.is_dir():
        raise ValueError(f"{option} {path} cannot be a folder, since {there} is a file: choose another place.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{option} {path} cannot be written, since {there} is read-only: choose another place.")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
