"""GQA questions as CSV: question_id, img_id, question, answer, type_detailed, type_semantic, type_structural."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from extraction.datasets.gqa import images_in
from extraction.datasets.gqa_tasks import read_question
from extraction.datasets.record import Draft, Records
from extraction.datasets.sample import Sample
from extraction.errors import shown

_COLUMNS = ("question_id", "img_id", "question", "answer", "type_detailed", "type_semantic", "type_structural")


def load_csv(path: Path, images: Path | None) -> list[Sample]:
    """Read the questions of the six tasks.

    Args:
        path: The file; other columns may be there too. Ids stay texts.
        images: Folder of the images, <img_id>.jpg.

    Returns:
        Samples by image id and question id. An empty answer is None.

    Raises:
        ValueError: If the file, a column or the folder is missing, or no row can be used.
    """
    if not path.is_file():
        raise ValueError(f"csv file {shown(path)} does not exist: check the path.")
    if images is None:
        raise ValueError("a csv file needs the folder of its images, <img_id>.jpg: give it by --images.")
    image_of = images_in(images)

    def build(row: Mapping[str, object]) -> Draft | None:
        types = {name: row[f"type_{name}"] or None for name in ("structural", "semantic", "detailed")}
        fields = {"imageId": row["img_id"], "question": row["question"], "answer": row["answer"] or None}
        return read_question({**fields, "types": types}, image_of, may_hide=True)

    records = Records()
    for place, row in _rows(path):
        if isinstance(row, str):
            records.add_problem(place, None, f"{place}: {row}")
        else:
            records.add(place, row, build, id_field="question_id")
    return records.finish(path, "question of the six tasks", by_image=True)


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str] | str]]:
    """Yield where a row is, and the row, or what is wrong with it."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        missing = [name for name in _COLUMNS if name not in header]
        if missing:
            raise ValueError(
                f"csv file {shown(path)} must have the columns {', '.join(_COLUMNS)}; {', '.join(missing)} are missing."
            )
        while True:
            place = f"line-{reader.line_num + 1:06d}"
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield place, f"it is no row of a CSV file ({shown(error)}): look for a quote that is not closed"
                continue
            if row and len(row) != len(header):
                yield place, f"it has {len(row)} fields instead of {len(header)}: look for commas and quotes"
            elif row:
                yield place, dict(zip(header, row, strict=True))
