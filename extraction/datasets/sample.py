"""The one record that every data set is read into."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One question about one image.

    Attributes:
        id: Unique and stable; also the row id in the activation store.
        image: The image file.
        question: The question as the data set writes it.
        answer: The gold answer, None where the data set hides it.
        task: Name of the group of questions that is analyzed together.
    """

    id: str
    image: Path
    question: str
    answer: str | None
    task: str
