"""The one record that every data set is read into."""

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from extraction.datasets.image_source import ImageFile, ImageSource, MemoryImage, as_image
from extraction.errors import shown

_MAY_LACK = ("answer", "problem")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One question about one image.

    Attributes:
        id: Unique and stable; also the row id in the activation store.
        image: The image: its file, its encoded bytes, a PIL image, 8-bit pixels as an array (height, width) or (height,
            width, 3 or 4), or another source. None only beside a problem.
        question: The question as the data set writes it.
        answer: The gold answer, None where the data set hides it.
        task: Name of the group of questions that is analyzed together.
        problem: Why the record cannot be used, None if it can.

    Raises:
        TypeError: If a field is of another type.
        ValueError: If an array is no image, or a text holds half of a surrogate pair.
    """

    id: str
    image: ImageSource | str | Path | bytes | Image.Image | np.ndarray | None
    question: str
    answer: str | None
    task: str
    problem: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.id, str):
            raise TypeError(f"id of a sample must be a text, got {self.id!r}: use str(...), with leading zeros if any.")
        for name in ("id", "question", "answer", "task", "problem"):
            if (value := getattr(self, name)) is not None or name not in _MAY_LACK:
                self._check_text(name, value)
        try:
            object.__setattr__(self, "image", as_image(self.image))
        except (TypeError, ValueError) as error:
            raise type(error)(f"image of sample {shown(self.id)!r} {error}") from None

    def _check_text(self, name: str, value: object) -> None:
        """Refuse what the store could not hold; a question that no prompt can hold is a failure of its sample later."""
        if not isinstance(value, str):
            wanted = "a text or None" if name in _MAY_LACK else "a text"
            raise TypeError(f"{name} of sample {shown(self.id)!r} must be {wanted}, got {shown(repr(value))}.")
        if name != "question" and not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ValueError(f"{name} of sample {shown(self.id)!r} holds half of a surrogate pair: remove it.")

    @property
    def source(self) -> ImageSource | MemoryImage | None:
        """The image as a source."""
        return ImageFile(self.image) if isinstance(self.image, Path) else self.image  # type: ignore[return-value]

    @property
    def image_name(self) -> str:
        """Short name of the image."""
        return self.source.name if self.source else ""

    @property
    def image_place(self) -> str:
        """Name of the image's folder and of the image."""
        return f"{self.source.folder_name}/{self.source.name}" if self.source else ""

    @property
    def image_key(self) -> Hashable:
        """Equal for samples of one image."""
        return self.source.key if self.source else ("none", self.id)


def normalize_answer(text: str) -> str:
    """Bring an answer to the form in which it is compared: stripped, lower case, no final period."""
    return text.strip().lower().removesuffix(".").strip()


def is_correct(predicted: str, gold: str | None) -> bool:
    """Whether an answer equals the gold answer; never where there is none."""
    return bool(gold) and normalize_answer(predicted) == normalize_answer(str(gold))
