"""Neutral JSONL: one object {id, image, question, answer, task} a line."""

import json
from pathlib import Path

from extraction.datasets.sample import Sample

_NEEDED = ("id", "image", "question")


def load_jsonl(path: Path, images: Path | None = None) -> list[Sample]:
    """Read samples from a JSONL file.

    Args:
        path: The file; `answer` and `task` may be left out of a line.
        images: Folder that image paths are relative to; the file's own folder if not given.

    Returns:
        The samples in the order of the file. Whether an image can be read is found out when it is used.

    Raises:
        ValueError: If the file is missing or empty, or a line is no such object.
    """
    if not path.is_file():
        raise ValueError(f"jsonl file {path} does not exist: check the path.")
    folder = images or path.parent
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    samples = [_parse(line, f"{path}:{number}", folder) for number, line in enumerate(lines, 1) if line.strip()]
    if not samples:
        raise ValueError(f"jsonl file {path} holds no sample: give it one object a line.")
    return samples


def _parse(line: str, place: str, folder: Path) -> Sample:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place} is not valid JSON ({error}): write one object a line.") from error
    if not isinstance(fields, dict) or any(not isinstance(fields.get(name), str) for name in _NEEDED):
        raise ValueError(
            f"{place} needs an object with the texts {', '.join(_NEEDED)} (ids are texts), got {line[:80]!r}."
        )
    answer = fields.get("answer")
    return Sample(
        id=fields["id"],
        image=folder / fields["image"],
        question=fields["question"],
        answer=None if answer is None else str(answer),
        task=str(fields.get("task") or "all"),
    )
