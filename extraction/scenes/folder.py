"""A folder of generated scenes in the layout in which GQA is published."""

import json
from dataclasses import dataclass
from pathlib import Path

from extraction.datasets.sample import Sample
from extraction.scenes.drawing import encode_jpeg
from extraction.scenes.question import Question, describe_question
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
    fifth = max(1, images // _SHARE)
    counts = {"train": max(TRAIN_FILES, fifth), "val": images, "testdev": fifth}
    splits = {split: image_ids(split, count) for split, count in counts.items()}
    files = _all_files(splits, seed)
    found = _found_files(out)
    for name in sorted(found):
        if name not in files or (out / name).read_bytes() != files[name]:
            raise FileExistsError(
                "out must be a new or empty folder, or one written with the same arguments and versions, but "
                f"{out / name} is not what would be written; choose another folder."
            )
    for name in [name for name in files if name not in found]:
        write_bytes(out / name, files[name])
    return GQAFolder(
        path=out,
        images={split: len(ids) for split, ids in splits.items()},
        questions={split: sum(len(_questions_of(i, seed)) for i in ids) for split, ids in splits.items()},
        written=len(files) - len(found),
    )


def scene_samples(folder: Path, image_id: int, seed: int) -> list[Sample]:
    """Return the questions about one image as samples; ids and image file are those of the folder."""
    image = Path(folder) / _image_name(image_id)
    return [question.as_sample(name, image) for name, question in _questions_of(image_id, seed).items()]


def _questions_of(image_id: int, seed: int) -> dict[str, Question]:
    """Ask about an image; ids are digits with a leading zero, as most of GQA's."""
    return {f"0{image_id}{number}": one for number, one in enumerate(ask_questions(make_scene(seed, image_id)))}


def _all_files(splits: dict[str, range], seed: int) -> dict[str, bytes]:
    """Return the content of every file by its path within the folder."""
    files = {_image_name(i): encode_jpeg(make_scene(seed, i)) for ids in splits.values() for i in ids}
    parts = {f"{split}_balanced_questions": splits[split] for split in ("val", "testdev")}
    for number in range(TRAIN_FILES):
        parts[f"train_all_questions/train_all_questions_{number}"] = splits["train"][number::TRAIN_FILES]
    for part, ids in parts.items():
        described = {
            name: describe_question(question, name, str(image_id))
            for image_id in ids
            for name, question in _questions_of(image_id, seed).items()
        }
        files[f"questions/{part}.json"] = json.dumps(described).encode()
    return files


def _found_files(out: Path) -> set[str]:
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"out must be a folder, but {out} is a file; choose another name.")
    files = (path for path in out.rglob("*") if not path.is_dir() and path.suffix != TEMPORARY_SUFFIX)
    return {path.relative_to(out).as_posix() for path in files}


def _image_name(image_id: int) -> str:
    return f"images/{image_id}.jpg"
