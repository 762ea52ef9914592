"""easy-VQA: synthetic images of one colored shape, read from the installed package.

The PyPI package `easy-vqa` (MIT license) carries 4,000 training and 1,000 test images of
64x64 pixels with 38,575 and 9,673 questions. `data/<split>/questions.json` is a list of
`[question, answer, image_id]`, the image is `data/<split>/images/<image_id>.png`.

Source: V. Zhou, easy-VQA, https://github.com/vzhou842/easy-VQA.
"""

import importlib.util
import json
from pathlib import Path

from extraction.datasets.sample import Sample

SPLITS = ("train", "test")
TASKS = ("what", "yes-no")


def load_easy_vqa(split: str = "test") -> list[Sample]:
    """Read easy-VQA from the installed package.

    A question belongs to the task "yes-no" if its gold answer is "yes" or "no", and to "what"
    otherwise. In this data set that is the same as the first word of the question: all "what"
    questions start with "what" (answers: a shape or a color), all "yes-no" questions with "is"
    or "does".

    Args:
        split: "train" or "test".

    Returns:
        Samples in the order of the file, with ids such as "easy-vqa-test-000123", where the
        number is the index in the file.

    Raises:
        ValueError: Unknown split.
        ModuleNotFoundError: The package `easy-vqa` is not installed.
        FileNotFoundError: The package is installed, but holds no such questions.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, got {split!r}")
    folder = _data_folder() / split
    file = folder / "questions.json"
    if not file.is_file():
        raise FileNotFoundError(f"easy-vqa holds no {file}; install it anew: pip install --force-reinstall easy-vqa")
    rows = json.loads(file.read_text(encoding="utf-8"))
    images = {image_id: folder / "images" / f"{image_id}.png" for image_id in {row[2] for row in rows}}
    return [
        Sample(
            id=f"easy-vqa-{split}-{index:06d}",
            image=images[image_id],
            question=question,
            answer=answer,
            task="yes-no" if answer in ("yes", "no") else "what",
        )
        for index, (question, answer, image_id) in enumerate(rows)
    ]


def _data_folder() -> Path:
    """Find the data without importing the package."""
    spec = importlib.util.find_spec("easy_vqa")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the easy-VQA data need the package easy-vqa; install it: pip install easy-vqa")
    return Path(spec.submodule_search_locations[0]) / "data"
