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
    """Yield where a row is, and the row, or what is wrong with it.

    Every line is a row: a quote that is not closed spoils its own line, and swallows none behind it.
    """
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        lines = iter(file)
        header = next(csv.reader([next(lines, "")]), [])
        missing = [name for name in _COLUMNS if header.count(name) != 1]
        if missing:
            raise ValueError(
                f"csv file {shown(path)} must have the columns {', '.join(_COLUMNS)}, once each; wrong: "
                f"{', '.join(missing)}."
            )
        for number, line in enumerate(lines, 2):
            if not line.strip():
                continue
            try:
                row = next(csv.reader([line], strict=True))
            except csv.Error as error:
                why = f"it is no row of a CSV file ({shown(error)}): look for a quote that is not closed"
                yield f"line-{number:06d}", why
                continue
            if len(row) != len(header):
                why = f"it has {len(row)} fields instead of {len(header)}: look for commas and quotes"
                yield f"line-{number:06d}", why
            else:
                yield f"line-{number:06d}", dict(zip(header, row, strict=True))
