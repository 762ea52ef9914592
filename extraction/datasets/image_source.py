"""Where the image of a sample is: a file, a row of a data set, or memory. Opening is in `extraction.passes.images`."""

import contextlib
import hashlib
import os
import stat
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from extraction.errors import SampleError, image_error, shown

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
            resolved = self.path.resolve()
            if self.folder is not None and not resolved.is_relative_to(self.folder.resolve()):
                raise image_error(
                    self.path,
                    f"leads out of the image folder {shown(self.folder)} and is not opened: correct its name, or give "
                    "the folder that holds all images by --images",
                )
            return _read_regular(resolved)
        except SampleError:
            raise
        except FileNotFoundError:
            raise image_error(self.path, "does not exist: check its name and the image folder (--images)") from None
        except (OSError, ValueError, RuntimeError) as error:
            why = getattr(error, "strerror", None) or error
            raise image_error(self.path, f"cannot be read ({shown(why)}): correct its name") from None


class _WithoutFile:
    """What has no place but memory, and is told apart by a hash of its content, its name."""

    name: Any  # a cached property of each kind

    @property
    def folder_name(self) -> str:
        """The same for all."""
        return "memory"

    @property
    def key(self) -> Hashable:
        """Its name."""
        return self.name


@dataclass(frozen=True)
class MemoryImage(_WithoutFile):
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


@dataclass(frozen=True)
class EncodedImage(_WithoutFile):
    """The bytes of an image file."""

    content: bytes

    @cached_property
    def name(self) -> str:
        """Hash of the bytes."""
        return hashlib.sha256(self.content).hexdigest()[:32]

    def read(self) -> bytes:
        """Return the bytes.

        Raises:
            SampleError: If they are too many.
        """
        refuse_large(len(self.content), "an image in memory")
        return self.content


def as_image(image: Any) -> Any:
    """Bring the image of a sample, as people give it, into the form of a path or a source.

    Raises:
        TypeError: If it is no image; the message goes on after "image of sample ...".
        ValueError: If it is an array of another form than that of 8-bit pixels.
    """
    match image:
        case None | Path() | MemoryImage():
            return image
        case str() if "://" in image:
            raise TypeError(f"must be a file, got the URL {shown(image)}: download it first.")
        case str():
            return Path(image)
        case Image.Image():
            return MemoryImage(image)
        case bytes() | bytearray() | memoryview():
            return EncodedImage(bytes(image))
        case np.ndarray():
            return MemoryImage(_from_pixels(image))
    if all(hasattr(image, name) for name in ("name", "folder_name", "key", "read")):
        return image
    raise TypeError(
        "must be a path, a PIL image, the bytes of a file (file.read()), or a uint8 array of NumPy (height, width, 3), "
        f"got {type(image).__name__}."
    )


def _from_pixels(pixels: np.ndarray) -> Image.Image:
    is_gray, is_color = pixels.ndim == 2, pixels.ndim == 3 and pixels.shape[2] in (3, 4)
    if not (is_gray or is_color):
        raise ValueError(
            f"must have shape (height, width) or (height, width, 3 or 4), got {pixels.shape}: move its axes."
        )
    if pixels.dtype != np.uint8:
        raise ValueError(f"must have values of 0 to 255 as uint8, got {pixels.dtype}: scale and convert it.")
    return Image.fromarray(np.ascontiguousarray(pixels))


def _read_regular(path: Path) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):
        raise image_error(path, "is a folder, a pipe or a device: an image must be a regular file")
    with os.fdopen(os.open(path, _READ_ONLY), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        refuse_large(size, path)
        return file.read(size)


def refuse_large(size: int, name: object) -> None:
    """Raise a SampleError for an encoded image of more bytes than `LARGEST_FILE`."""
    if size > LARGEST_FILE:
        raise image_error(name, f"has more than {LARGEST_FILE / 1e6:.0f} MB: save the image at a smaller size")


def _as_text(name: str) -> str:
    """Escape bytes of a file name that are no text, so that the name can be written as JSON."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
