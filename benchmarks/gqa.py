"""Time and memory of reading GQA from its own JSON file and from a Hugging Face data set, both generated.

`python -m benchmarks.gqa [megabytes]`: a file of the size of val_all (1,600 MB, 2 million questions) if not given, and
10,000 images of 60 kB with 30,000 questions; needs 600 MB more than the file in the temporary folder. Prints a table.
"""

import json
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import Cost, apart, resident_mb
from benchmarks.tables import Row, markdown_table
from extraction.datasets.gqa import load_gqa
from extraction.datasets.hub import load_hub
from extraction.datasets.sample import Sample

IMAGES = 10_234
QUESTIONS, BYTES, GROUP = 30_000, 60_000, 100
SCHEMA = pa.schema([("id", pa.string()), ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])
# Types of GQA, so that about every fourth question belongs to one of the six tasks.
TYPES = [("choose", "attr", "chooseAttr"), ("choose", "rel", "relChooser"), ("query", "attr", "positionQuery")]
OTHERS = [("query", "rel", "relS"), ("verify", "obj", "exist"), ("query", "attr", "directOf")]


def record(number: int) -> dict:
    structural, semantic, detailed = TYPES[number % 3] if number % 4 == 0 else OTHERS[number % 3]
    steps = [{"operation": "select", "dependencies": [], "argument": f"utensil ({number})"}]
    steps += [{"operation": f"relate {i}", "dependencies": [i], "argument": "_,on,s (1116)"} for i in range(3)]
    return {
        "semantic": steps,
        "entailed": [f"{number + i:08d}" for i in range(3)],
        "equivalent": [f"{number:08d}"],
        "question": f"Is the utensil number {number} to the left or to the right of the large wooden table?",
        "imageId": str(2_300_000 + number * 7919 % IMAGES),
        "isBalanced": number % 13 == 0,
        "groups": {"global": None, "local": "14-plate_on,s"},
        "answer": "left",
        "semanticStr": "select: utensil (1)->relate: _,on,s (1116) [0]->relate: _,on,s (1116) [1]",
        "annotations": {"answer": {}, "question": {"2": "1", "7": "3"}, "fullAnswer": {"1": "1", "6": "2"}},
        "types": {"structural": structural, "semantic": semantic, "detailed": detailed},
        "fullAnswer": "The utensil is to the left of the table.",
    }


def write_json(folder: Path, size: int) -> None:
    """Write questions in the layout of GQA's own files until they have so many bytes."""
    for name in ("images", "questions"):
        (folder / name).mkdir()
    number = 0
    with (folder / "questions" / "val_all_questions.json").open("w") as file:
        file.write("{")
        while file.tell() < size:
            file.write(f'{"," if number else ""}"{number:08d}": {json.dumps(record(number))}')
            number += 1
        file.write("}")


def write_hub(folder: Path) -> None:
    """Write images and questions in the layout of the data set at Hugging Face."""
    draw = random.Random(0)
    for name in ("images", "instructions"):
        (folder / f"val_balanced_{name}").mkdir()
    with pq.ParquetWriter(folder / "val_balanced_images" / "images.parquet", SCHEMA) as out:
        for start in range(0, IMAGES, GROUP):
            rows = [{"id": str(start + i), "image": {"bytes": draw.randbytes(BYTES)}} for i in range(GROUP)]
            out.write_table(pa.Table.from_pylist(rows, SCHEMA))
    same = {"question": "Left or right?", "answer": "left"}
    same["types"] = {"structural": "choose", "semantic": "rel", "detailed": "relChooser"}
    rows = [{"id": str(i), "imageId": str(i * 7919 % IMAGES)} | same for i in range(QUESTIONS)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "val_balanced_instructions" / "questions.parquet")


def measured(step: str, action: Callable[[], Sequence[Sample]]) -> tuple[Row, Sequence[Sample]]:
    before = resident_mb()
    with Cost() as cost:
        samples = action()
    seconds = {"s": cost.wall, "CPU s": cost.cpu}
    return {
        "step": step,
        "samples": len(samples),
        **seconds,
        "MB before": before,
        "peak MB": before + cost.peak,
    }, samples


def read_json(folder: Path) -> list[Row]:
    return [measured("GQA's JSON file", lambda: load_gqa(folder, "val_all"))[0]]


def read_hub(folder: Path) -> list[Row]:
    def read(chosen: Sequence[Sample]) -> Sequence[Sample]:
        for sample in chosen:
            sample.source.read()
        return chosen

    loading, samples = measured("Hugging Face data set, questions", lambda: load_hub(folder))
    some = random.Random(0).sample(samples, 300)
    return [
        loading,
        measured("its images in order", lambda: read(samples))[0],
        measured("its images at random", lambda: read(some))[0],
    ]


def main() -> None:
    size = int(sys.argv[1] if len(sys.argv) > 1 else 1600) * 1_000_000
    rows = []
    for read, write in ((read_json, lambda folder: write_json(folder, size)), (read_hub, write_hub)):
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder))
            rows += apart(read, Path(folder))
    print(markdown_table(rows))


if __name__ == "__main__":
    main()
