"""Where the image of a sample is: a file, a row of a data set, or memory. Opening is in `extraction.images`."""

import contextlib
import hashlib
import os
import stat
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from PIL import Image

from extraction.errors import SampleError, shown

LARGEST_FILE = 100_000_000
"""Bytes of an encoded image; more are refused."""

_ORIENTATION = 0x0112  # of EXIF
# Without O_NONBLOCK, opening a named pipe waits for its writer; the path is resolved, so a link was put there since.
_READ_ONLY = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class ImageSource(Protocol):
    """An image that can be read where it is needed, also in another process."""

    @property
    def name(self) -> str:
        """What the store calls it."""
        ...

    @property
    def folder_name(self) -> str:
        """Name of the folder it is in."""
        ...

    @property
    def key(self) -> Hashable:
        """Equal keys are the same image."""
        ...

    def read(self) -> bytes:
        """Return the encoded image.

        Raises:
            SampleError: If it cannot be read.
        """
        ...


@dataclass(frozen=True)
class ImageFile:
    """A file.

    Attributes:
        path: The file.
        folder: Folder that it must lie in once all links are followed; anywhere if None.
    """

    path: Path
    folder: Path | None = None

    @property
    def name(self) -> str:
        """Where the file is in the folder; its name where no folder is given."""
        inside = self.folder is not None and self.path.is_relative_to(self.folder)
        return _as_text(str(self.path.relative_to(self.folder)) if inside else self.path.name)  # type: ignore[arg-type]

    @property
    def folder_name(self) -> str:
        """Name of its folder."""
        return _as_text(self.path.parent.name)

    @property
    def key(self) -> Hashable:
        """Its path."""
        return self.path

    def read(self) -> bytes:
        """Read the file, if it is a regular one inside of the folder; nothing else is opened.

        Raises:
            SampleError: If it is outside, missing, no regular file, or too large.
        """
        try:
            return _read_regular(self._resolve())
        except SampleError:
            raise
        except FileNotFoundError:
            raise SampleError(
                "image", f"{shown(self.path)} does not exist: check its name and the image folder (--images)"
            ) from None
        except (OSError, ValueError, RuntimeError) as error:
            why = getattr(error, "strerror", None) or error
            raise SampleError("image", f"{shown(self.path)} cannot be read ({shown(why)}): correct its name") from None

    def _resolve(self) -> Path:
        resolved = self.path.resolve()
        if self.folder is not None and not resolved.is_relative_to(self.folder.resolve()):
            raise SampleError(
                "image",
                f"{shown(self.path)} leads out of the image folder {shown(self.folder)} and is not opened: correct its "
                "name, or give the folder that holds all images by --images",
            )
        return resolved


@dataclass(frozen=True)
class MemoryImage:
    """An image that is already decoded."""

    image: Image.Image

    @cached_property
    def name(self) -> str:
        """Hash of its pixels and of what decides how they are shown: palette, transparency, orientation."""
        pixels = hashlib.sha256(f"{self.image.mode} {self.image.size}".encode())
        with contextlib.suppress(OSError, ValueError, SyntaxError):  # damaged, which is found out when it is opened
            pixels.update(self.image.tobytes())
            view = (
                self.image.getpalette(),
                self.image.info.get("transparency"),
                self.image.getexif().get(_ORIENTATION),
            )
            pixels.update(repr(view).encode())
        return pixels.hexdigest()[:32]

    @property
    def folder_name(self) -> str:
        """The same for all."""
        return "memory"

    @property
    def key(self) -> Hashable:
        """Hash of its pixels."""
        return self.name


def _read_regular(path: Path) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):
        raise SampleError("image", f"{shown(path)} is a folder, a pipe or a device: an image must be a regular file")
    with os.fdopen(os.open(path, _READ_ONLY), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_FILE:
            raise SampleError(
                "image", f"{shown(path)} has more than {LARGEST_FILE / 1e6:.0f} MB: save the image at a smaller size"
            )
        return file.read(size)


def _as_text(name: str) -> str:
    """Escape bytes of a file name that are no text, so that the name can be written as JSON."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
