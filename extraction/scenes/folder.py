"""A folder of generated scenes in the layout in which GQA is published."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from extraction.datasets.sample import Sample
from extraction.scenes.drawing import encode_jpeg
from extraction.scenes.question import describe_question
from extraction.scenes.questions import ask_questions
from extraction.scenes.scene import IMAGES, image_ids, make_scene
from pid_jax.runtime.files import TEMPORARY_SUFFIX, write_bytes

TRAIN_FILES = 10
"""Files that the published training questions are split into."""

_SHARE = 5  # one training and one testdev image to so many validation images


@dataclass(frozen=True, kw_only=True)
class GQAFolder:
    """What was written.

    Attributes:
        path: The folder.
        images: Number of images of each split.
        questions: Number of questions of each split.
        written: Number of files written now; the others were there.
    """

    path: Path
    images: dict[str, int]
    questions: dict[str, int]
    written: int


def write_gqa_folder(out: Path, *, images: int = IMAGES, seed: int = 0) -> GQAFolder:
    """Write questions and images of generated scenes as GQA does.

    Each file is written whole or not at all, images first, so a folder that was interrupted is
    continued by the same call.

    Args:
        out: Folder to write; new, empty, or written before with the same arguments.
        images: Number of validation images; a fifth as many, at least ten, for training, and a fifth for testdev.
        seed: Seed of scenes and questions; seed and image id decide a scene.

    Returns:
        What was written. The bytes depend on arguments, and on the versions of Python and Pillow.

    Raises:
        ValueError: If `images` is not between 1 and the size of a split.
        FileExistsError: If `out` is a file or holds anything else.
    """
    out = Path(out)
    splits = _split_images(images)
    questions = {split: _questions_of(ids, seed) for split, ids in splits.items()}
    files = _all_files(splits, questions, seed)
    found = _found_files(out)
    if unknown := sorted(found - set(files)):
        raise _not_the_same(out, unknown[0])
    for name in found:
        if (out / name).read_bytes() != files[name]:
            raise _not_the_same(out, name)
    for name in [name for name in files if name not in found]:
        write_bytes(out / name, files[name])
    return GQAFolder(
        path=out,
        images={split: len(ids) for split, ids in splits.items()},
        questions={split: sum(map(len, of_image.values())) for split, of_image in questions.items()},
        written=len(files) - len(found),
    )


def scene_samples(folder: Path, image_id: int, seed: int) -> list[Sample]:
    """Return the questions about one image as samples; ids and image file are those of the folder."""
    return [
        Sample(
            id=_question_id(image_id, number),
            image=Path(folder) / _image_name(image_id),
            question=question.text,
            answer=question.answer,
            task=question.task,
        )
        for number, question in enumerate(ask_questions(make_scene(seed, image_id)))
    ]


def _split_images(images: int) -> dict[str, range]:
    fifth = max(1, images // _SHARE)
    return {
        "train": image_ids("train", max(TRAIN_FILES, fifth)),
        "val": image_ids("val", images),
        "testdev": image_ids("testdev", fifth),
    }


def _questions_of(ids: range, seed: int) -> dict[int, dict[str, object]]:
    """Describe the questions of each image by their ids."""
    described: dict[int, dict[str, object]] = {}
    for image_id in ids:
        asked = {_question_id(image_id, n): q for n, q in enumerate(ask_questions(make_scene(seed, image_id)))}
        described[image_id] = {name: describe_question(q, name, str(image_id)) for name, q in asked.items()}
    return described


def _all_files(
    splits: dict[str, range], questions: dict[str, dict[int, dict[str, object]]], seed: int
) -> dict[str, bytes]:
    """Return the content of every file by its path within the folder."""
    files = {_image_name(i): encode_jpeg(make_scene(seed, i)) for ids in splits.values() for i in ids}
    for number in range(TRAIN_FILES):
        part = {i: of_image for i, of_image in questions["train"].items() if i % TRAIN_FILES == number}
        files[f"questions/train_all_questions/train_all_questions_{number}.json"] = _encode(part)
    for split in ("val", "testdev"):
        files[f"questions/{split}_balanced_questions.json"] = _encode(questions[split])
    return files


def _encode(questions: dict[int, dict[str, object]]) -> bytes:
    merged = {name: entry for of_image in questions.values() for name, entry in of_image.items()}
    return json.dumps(merged).encode()


def _found_files(out: Path) -> set[str]:
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"out must be a folder, but {out} is a file; choose another name.")
    return {path.relative_to(out).as_posix() for path in _files_below(out) if path.suffix != TEMPORARY_SUFFIX}


def _files_below(out: Path) -> Iterator[Path]:
    return (path for path in out.rglob("*") if not path.is_dir())


def _not_the_same(out: Path, name: str) -> FileExistsError:
    return FileExistsError(
        f"out must be a new or empty folder, or one written with the same arguments and versions, but {out / name} is "
        "not what would be written; choose another folder."
    )


def _image_name(image_id: int) -> str:
    return f"images/{image_id}.jpg"


def _question_id(image_id: int, number: int) -> str:
    """Number the questions of an image; ids are digits with a leading zero, as most of GQA's."""
    return f"0{image_id}{number}"
