"""The one record that every data set is read into."""

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from extraction.datasets.image_source import ImageFile, ImageSource, MemoryImage


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One question about one image.

    Attributes:
        id: Unique and stable; also the row id in the activation store.
        image: The image file, another source, or the decoded image itself. None only beside a problem.
        question: The question as the data set writes it.
        answer: The gold answer, None where the data set hides it.
        task: Name of the group of questions that is analyzed together.
        problem: Why the record cannot be used, None if it can.
    """

    id: str
    image: ImageSource | Path | Image.Image | None
    question: str
    answer: str | None
    task: str
    problem: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.id, str):
            raise TypeError(f"id of a sample must be a text, got {self.id!r}: use str(...), with leading zeros if any.")
        if isinstance(self.image, Image.Image):
            object.__setattr__(self, "image", MemoryImage(self.image))

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
