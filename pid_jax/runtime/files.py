"""Files that are written whole or not at all, and labeled data sets in them."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

TEMPORARY_SUFFIX = ".partial"

_REMEDIES = {
    errno.ENOSPC: "free space on this disk",
    errno.EDQUOT: "free space, or ask for a larger quota",
    errno.EFBIG: "allow larger files (`ulimit -f`), or choose another disk",
    errno.EROFS: "choose another place",
    errno.EACCES: "change the permissions, or choose another place",
    errno.EPERM: "change the permissions, or choose another place",
    errno.EIO: "check the disk",
}


class WriteError(OSError):
    """A file cannot be written; the message names the file, the reason and the remedy."""


@contextmanager
def atomic_write(path: Path, size: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and rename it to `path`.

    A reader sees the old file or the new one, never a part of one, also when the process is killed. What a killed
    process leaves ends in `.partial` and is ignored by every reader.

    Args:
        path: The file.
        size: Bytes that it will have, for the error; None if nobody knows.

    Raises:
        WriteError: If the disk is full or read-only, or the file must not be written; nothing is left then.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}-{os.getpid()}-{secrets.token_hex(4)}{path.suffix}{TEMPORARY_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        if error.errno not in _REMEDIES or isinstance(error, WriteError):
            raise
        with suppress(OSError):  # so that what is free is counted without it
            temporary.unlink()
        raise _write_error(path, error.errno, size) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


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
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically; one that holds the same is kept, with a new time."""
    path = Path(path)
    with suppress(OSError):
        if path.stat().st_size == len(content) and path.read_bytes() == content:
            os.utime(path)
            return
    with atomic_write(path, len(content)) as temporary:
        temporary.write_bytes(content)


def free_bytes(path: Path) -> int:
    """Return the bytes that are free on the disk where a path is, or would be."""
    return shutil.disk_usage(
        next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    ).free


def describe_bytes(count: int) -> str:
    """Write a number of bytes in a unit that people read, such as "1.5 GB"."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.1f} kB"


def encode_dataset(data: "xr.Dataset") -> bytes:
    """Write a dataset as the bytes of a netCDF file.

    They are made in memory, since HDF5 that meets a full disk may end the whole process.
    """
    return bytes(data.to_netcdf(engine="h5netcdf"))


def read_dataset(path: str | Path, schema: str, writer: str) -> "xr.Dataset":
    """Read a netCDF file into memory.

    Args:
        path: The file.
        schema: What its attribute `schema` must say.
        writer: What writes such files, for the error.

    Raises:
        ValueError: If the file is missing or holds something else.
    """
    import xarray as xr  # takes as long to import as JAX does

    try:
        with xr.open_dataset(path, engine="h5netcdf") as opened:
            data = opened.load()
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist: make it with {writer}.") from None
    except (OSError, KeyError, RuntimeError) as error:  # the latter two from inside of damaged files
        raise ValueError(f"{path} is no netCDF file that can be read ({error}): make it anew with {writer}.") from error
    found = data.attrs.get("schema", "no schema")
    if found != schema:
        raise ValueError(f"{path} holds {found!r}, wanted {schema!r}: make it with {writer}.")
    return data


def _write_error(path: Path, number: int, size: int | None) -> WriteError:
    need = ""
    if number == errno.ENOSPC:
        with suppress(OSError):
            free = describe_bytes(free_bytes(path))
            need = f" It needs {describe_bytes(size)}, and {free} are free." if size else f" {free} are free."
    made = WriteError(
        f"{path} cannot be written ({os.strerror(number)}): {_REMEDIES[number]}, then run the same command again, "
        f"which resumes. Files that are complete are kept.{need}"
    )
    made.errno = number
    return made


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
