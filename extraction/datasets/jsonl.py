"""Neutral JSONL: one object {id, image, question, answer, task} a line."""

import json
from collections.abc import Mapping
from pathlib import Path
from sys import intern

from extraction.datasets.image_source import ImageFile
from extraction.datasets.record import Draft, RecordError, Records, read_name, read_text
from extraction.datasets.sample import Sample
from extraction.errors import shown

_LONGEST_LINE = 1 << 24  # bytes; a longer one is read in pieces, none of which is an object


def load_jsonl(path: Path, images: Path | None = None) -> list[Sample]:
    """Read samples from a JSONL file.

    Args:
        path: The file; `answer` and `task` may be left out of a line.
        images: Folder that images are relative to and must lie in; the file's own folder if not given.

    Returns:
        The samples in the order of the file; a line that cannot be used is one with a problem. Whether an image can be
        read is found out when it is used.

    Raises:
        ValueError: If the file is missing, or no line of it can be used.
    """
    if not path.is_file():
        raise ValueError(f"jsonl file {shown(path)} does not exist: check the path.")
    folder = images or path.parent
    if not folder.is_dir():
        raise ValueError(f"image folder {shown(folder)} does not exist: correct --images.")
    records = Records()
    known: dict[str, ImageFile] = {}

    def build(fields: Mapping[str, object]) -> Draft:
        image = read_text(fields, "image")
        return Draft(
            image=known.setdefault(image, ImageFile(folder / image, folder)),
            question=read_text(fields, "question"),
            answer=_read_answer(fields),
            task=intern(read_name(fields, "task")) if fields.get("task") else "all",
        )

    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), 1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.strip():
                continue
            place = f"line-{number:06d}"
            try:
                fields = json.loads(line.decode())
            except (ValueError, RecursionError) as error:
                what = f"it is not valid JSON ({shown(error)})"
                records.add_problem(place, None, f"{place}: {what}: write one object a line")
            else:
                records.add(place, fields, build)
    return records.finish(path, "sample")


def _read_answer(fields: Mapping[str, object]) -> str | None:
    """Return the answer; numbers and truth values are written as in Python."""
    answer = fields.get("answer")
    if answer is None:
        return None
    if isinstance(answer, list | dict):
        raise RecordError(f"answer must be one text, got {shown(repr(answer))}: choose one")
    return intern(read_text({"answer": str(answer)}, "answer"))
