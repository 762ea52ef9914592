"""GQA as a Hugging Face data set on disk: questions and images in two configurations, joined by image id.

The layout is that of `lmms-lab/GQA`: `<split>_instructions` (id, imageId, question, answer, types) and `<split>_images`
(id, image {bytes, path}), each a folder of parquet files, or of the Arrow files that `datasets.save_to_disk` writes.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from extraction.datasets.gqa import DEFAULT_SPLIT
from extraction.datasets.gqa_tasks import is_hidden, read_question
from extraction.datasets.image_source import refuse_large
from extraction.datasets.record import RecordError, Records
from extraction.datasets.sample import Sample
from extraction.datasets.tables import find_tables, iterate_rows, last_group
from extraction.errors import SampleError, image_error, shown

_QUESTIONS, _IMAGES = "_instructions", "_images"


@dataclass(frozen=True)
class DatasetImage:
    """The image in a row of a table.

    Attributes:
        file: File of the table.
        group: Group of rows.
        row: Row in the group.
        name: Id of the image.
        folder_name: Configuration of the data set.
    """

    file: Path
    group: int
    row: int
    name: str
    folder_name: str

    @property
    def key(self) -> Hashable:
        """Where it is, so that samples are ordered as images are stored."""
        return str(self.file), self.group, self.row

    def read(self) -> bytes:
        """Read its group of rows, unless it was read last, and return the bytes.

        Raises:
            SampleError: If there are none, or the file is damaged.
        """
        try:
            data = last_group(self.file, self.group, "image")[self.row].as_py()
        except (ValueError, LookupError) as error:
            raise SampleError("image", str(error)) from error
        data = data.get("bytes") if isinstance(data, dict) else data
        if not isinstance(data, bytes):
            raise image_error(self.name, "is not in the data set as bytes, only as a path, which is never opened")
        refuse_large(len(data), self.name)
        return data


def load_hub(folder: Path, split: str = DEFAULT_SPLIT) -> list[Sample]:
    """Read the questions of the six tasks.

    Args:
        folder: Folder of the data set, such as a snapshot in the cache of the hub.
        split: Name of the configurations without their ending: val_balanced, testdev_balanced, ...

    Returns:
        Samples in the order of the images and by question id, so that questions of an image are neighbors.

    Raises:
        ValueError: If a configuration or a column is missing, a file is damaged, or no question can be used.
        ModuleNotFoundError: If pyarrow is not installed.
    """
    questions, images = (_tables(folder, split, ending) for ending in (_QUESTIONS, _IMAGES))
    known = _index_images(images, split + _IMAGES)

    def image_of(name: str) -> DatasetImage:
        if name not in known:
            raise RecordError(f"imageId {shown(name)!r} is not among the images of {split}{_IMAGES}: download them all")
        return known[name]

    build = partial(read_question, image_of=image_of, may_hide=is_hidden(split))
    records, number = Records(), 0
    for file in questions:
        for _, _, row in iterate_rows(file, ("id", "imageId", "question", "answer", "types")):
            number += 1
            records.add(f"row-{number:09d}", row, build)
    return records.finish(folder, "question of the six tasks", by_image=True)


def _tables(folder: Path, split: str, ending: str) -> list[Path]:
    if not folder.is_dir():
        raise ValueError(f"data set folder {shown(folder)} does not exist: correct --dataset.")
    root = folder.resolve()
    if root.parent.name == "snapshots":  # in the cache of the hub, whose repository has the blobs
        root = root.parent.parent
    files = find_tables(folder / f"{split}{ending}", root)
    if not files:
        there = sorted(path.name.removesuffix(ending) for path in folder.glob(f"*{ending}"))
        raise ValueError(
            f"split must be one of {there}, which have a folder <split>{ending} in {shown(folder)}, got {split!r}: use "
            "--split, or download the files of that configuration."
        )
    return files


def _index_images(files: list[Path], configuration: str) -> dict[str, DatasetImage]:
    """Find out where each image is, from the ids alone."""
    known: dict[str, DatasetImage] = {}
    for file in files:
        for group, row, fields in iterate_rows(file, ("id",)):
            if not isinstance(name := fields.get("id"), str):
                raise ValueError(f"{shown(file)} must have a column 'id' of texts: download it again.")
            known[name] = DatasetImage(file, group, row, name, configuration)
    return known
