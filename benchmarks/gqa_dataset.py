"""Time and memory of reading a Hugging Face data set on disk: 10,000 images of 60 kB, 30,000 questions, generated.

Run with `python -m benchmarks.gqa_dataset`; needs 600 MB in the temporary folder.
"""

import random
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.gqa import IMAGES, peak
from extraction.datasets.hub import load_hub

QUESTIONS, BYTES, GROUP = 30_000, 60_000, 100
SCHEMA = pa.schema([("id", pa.string()), ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])


def write(folder: Path) -> None:
    draw = random.Random(0)
    for name in ("images", "instructions"):
        (folder / f"val_balanced_{name}").mkdir()
    with pq.ParquetWriter(folder / "val_balanced_images" / "images.parquet", SCHEMA) as out:
        for start in range(0, IMAGES, GROUP):
            rows = [{"id": str(start + i), "image": {"bytes": draw.randbytes(BYTES)}} for i in range(GROUP)]
            out.write_table(pa.Table.from_pylist(rows, SCHEMA))
    types = {"structural": "choose", "semantic": "rel", "detailed": "relChooser"}
    rows = [
        {
            "id": str(i),
            "imageId": str(i * 7919 % IMAGES),
            "question": "Left or right?",
            "answer": "left",
            "types": types,
        }
        for i in range(QUESTIONS)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "val_balanced_instructions" / "questions.parquet")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        write(Path(name))
        print(f"peak memory {peak():.0f} MB before")
        start = time.perf_counter()
        samples = load_hub(Path(name))
        print(f"{len(samples)} questions loaded in {time.perf_counter() - start:.1f} s, peak memory {peak():.0f} MB")
        for order, chosen in (("in order", samples), ("at random", random.Random(0).sample(samples, 300))):
            start = time.perf_counter()
            for sample in chosen:
                sample.source.read()
            each = (time.perf_counter() - start) / len(chosen) * 1e3
            print(f"images read {order}: {each:.2f} ms each, peak memory {peak():.0f} MB")


if __name__ == "__main__":
    main()
