"""GQA as it is downloaded: `questions/<split>_questions.json`, or a folder of such files, and `images/<imageId>.jpg`.

A file is one object {questionId: {question, imageId, answer, types, ...}}. It is read entry by entry, and only the
questions of the six tasks are kept.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from extraction.datasets.gqa_tasks import is_hidden, read_question
from extraction.datasets.image_source import ImageFile
from extraction.datasets.json_stream import iterate_object
from extraction.datasets.record import Records
from extraction.datasets.sample import Sample
from extraction.errors import shown

DEFAULT_SPLIT = "val_balanced"
_IMAGE_FOLDERS = ("images", "allImages/images")


def load_gqa(folder: Path, split: str = DEFAULT_SPLIT, images: Path | None = None) -> list[Sample]:
    """Read the questions of the six tasks.

    Args:
        folder: The download, with `questions` and `images` (or `allImages/images`).
        split: val_balanced, train_all, testdev_balanced, ...
        images: Folder of the images if it is elsewhere.

    Returns:
        Samples by image id and question id, so that questions of an image are neighbors.

    Raises:
        ValueError: If a folder or the split is missing, a file is no JSON object, or none of its questions can be used.
    """
    files = _question_files(folder, split)
    candidates = [folder / name for name in _IMAGE_FOLDERS]
    image_of = images_in(images or next(filter(Path.is_dir, candidates), candidates[0]))

    build = partial(read_question, image_of=image_of, may_hide=is_hidden(split))
    records = Records()
    for file in files:
        for number, (name, entry) in enumerate(iterate_object(file), 1):
            fields = entry if isinstance(entry, dict) else {}
            records.add(f"{file.stem}-{number:09d}", {**fields, "id": name}, build)
    return records.finish(files[0], "question of the six tasks", by_image=True)


def images_in(folder: Path) -> Callable[[str], ImageFile]:
    """Return the function that gives the image of an id; one object an image, however many questions it has.

    Raises:
        ValueError: If there is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"image folder {shown(folder)} does not exist: give the folder of <imageId>.jpg by --images.")
    known: dict[str, ImageFile] = {}

    def image_of(name: str) -> ImageFile:
        if name not in known:
            known[name] = ImageFile(folder / f"{name}.jpg", folder)
        return known[name]

    return image_of


def _question_files(folder: Path, split: str) -> list[Path]:
    questions = folder / "questions"
    if not questions.is_dir():
        raise ValueError(f"gqa folder {shown(folder)} has no folder 'questions': unpack GQA's there, or correct --gqa.")
    single, several = questions / f"{split}_questions.json", questions / f"{split}_questions"
    files = [single] if single.is_file() else sorted(several.glob("[!.]*.json"))
    if not files:
        there = sorted({path.stem.removesuffix("_questions") for path in questions.glob("[!.]*_questions*")})
        raise ValueError(f"split must be one of {there}, which are in {shown(questions)}, got {split!r}: use --split.")
    return files
