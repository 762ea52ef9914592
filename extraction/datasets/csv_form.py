"""GQA questions as CSV: question_id, img_id, question, answer, type_detailed, type_semantic, type_structural."""

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from extraction.datasets.gqa import images_in
from extraction.datasets.gqa_tasks import read_question
from extraction.datasets.record import Draft, Records
from extraction.datasets.sample import Sample
from extraction.errors import shown

_COLUMNS = ("question_id", "img_id", "question", "answer", "type_detailed", "type_semantic", "type_structural")
_WANTED = "question of the six tasks"
_MOST_LINES = 1000
"""Lines that a row may span; a quote that is closed later than that counts as damage."""


def load_csv(paths: Sequence[Path], images: Path | None) -> list[Sample]:
    """Read the questions of the six tasks.

    Args:
        paths: The files; other columns may be there too. Ids stay texts, and are unique over all files.
        images: Folder of the images, <img_id>.jpg.

    Returns:
        Samples by image id and question id. An empty answer is None.

    Raises:
        ValueError: If a file, a column or the folder is missing, a file holds no row that can be used or is given
            twice, or an id is in two files.
    """
    _check_paths(paths)
    if images is None:
        raise ValueError("a csv file needs the folder of its images, <img_id>.jpg: give it by --images.")
    image_of = images_in(images)

    def build(row: Mapping[str, object]) -> Draft | None:
        types = {name: row[f"type_{name}"] or None for name in ("structural", "semantic", "detailed")}
        fields = {"imageId": row["img_id"], "question": row["question"], "answer": row["answer"] or None}
        return read_question({**fields, "types": types}, image_of, may_hide=True)

    records, file_of = Records(), dict[str, Path]()
    for path in paths:
        start = len(records)
        for number, row in _read_rows(path):
            place = f"line-{number:06d}" if len(paths) == 1 else f"{shown(path.stem)}-line-{number:06d}"
            if isinstance(row, str):
                records.add_problem(place, None, f"{place}: {row}")
                continue
            if (other := file_of.setdefault(row["question_id"], path)) != path and row["question_id"].strip():
                raise ValueError(
                    f"question_id {shown(row['question_id'])!r} is in {shown(other)} and in {shown(path)}, but must be "
                    "unique over all csv files: leave one of the files out, or give its questions other ids."
                )
            records.add(place, row, build, id_field="question_id")
        records.require(path, _WANTED, start)
    return records.finish(paths[0], _WANTED, by_image=True)


def _check_paths(paths: Sequence[Path]) -> None:
    for path in paths:
        if not path.is_file():
            raise ValueError(f"csv file {shown(path)} does not exist: check the path.")
    places = [path.resolve() for path in paths]
    if double := [path for i, path in enumerate(paths) if places[i] in places[:i]]:
        raise ValueError(f"csv file {shown(double[0])} is given twice: give every file once.")


def _read_rows(path: Path) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Yield the line in which a row begins, and the row, or what is wrong with it."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = _split_rows(file)
        _, header = next(rows, (1, []))
        missing = [name for name in _COLUMNS if isinstance(header, str) or header.count(name) != 1]
        if missing:
            raise ValueError(
                f"csv file {shown(path)} must have the columns {', '.join(_COLUMNS)}, once each; wrong: "
                f"{', '.join(missing)}."
            )
        for number, row in rows:
            yield number, row if isinstance(row, str) else dict(zip(header, row, strict=True))


def _split_rows(lines: Iterable[str]) -> Iterator[tuple[int, list[str] | str]]:
    """Yield the line in which a row begins, and its fields, or what is wrong with it.

    A quoted field may hold line breaks, so a row consists of the fewest lines that hold an even number of quotes. If
    these lines are not one row with as many fields as the first, the header, a quote is missing somewhere: then the
    first line alone is the damaged row, and the next line begins another one. Whatever the damage, a line is looked at
    about three times at most, since a row that spans lines ends at the next line with an odd number of quotes.
    """
    source, number, width = iter(lines), 1, 0
    ahead = deque(islice(source, 1))
    while ahead:
        count, row = 1, ""
        if ahead[0].strip():
            count, row = _first_row(ahead, source, width)
            yield number, row
            width = width or (len(row) if isinstance(row, list) else 0)
        for _ in range(count):
            ahead.popleft()
        number += count
        if not ahead:
            ahead.extend(islice(source, 1))


def _first_row(ahead: deque[str], source: Iterator[str], width: int) -> tuple[int, list[str] | str]:
    """Return how many lines the row at the beginning of `ahead` spans, and its fields, or what is wrong with it."""
    count, quotes = 1, ahead[0].count('"')
    while quotes % 2 and count < _MOST_LINES:
        if count == len(ahead):
            ahead.extend(islice(source, 1))
        if count == len(ahead):
            break
        quotes += ahead[count].count('"')
        count += 1
    if count > 1 and quotes % 2 == 0:
        row = _parse(islice(ahead, count))
        if isinstance(row, list) and len(row) == (width or len(row)):
            return count, row
    row = _parse([ahead[0]])
    if isinstance(row, list) and width and len(row) != width:
        row = f"it has {len(row)} fields instead of {width}: look for commas and quotes"
    return 1, row


def _parse(lines: Iterable[str]) -> list[str] | str:
    """Read lines that should be one row."""
    try:
        rows = list(csv.reader(lines, strict=True))
    except csv.Error as error:
        return f"it is no row of a CSV file ({shown(error)}): look for a quote that is not closed"
    return rows[0] if len(rows) == 1 else f"it is {len(rows)} rows: look for a quote that is not closed"
