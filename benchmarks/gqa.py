"""Time and memory of reading a GQA file of the size of val_all (1.6 GB, 2 million questions, generated).

Run with `python -m benchmarks.gqa [megabytes]`; needs that much space in the temporary folder.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from extraction.datasets.gqa import load_gqa
from extraction.datasets.gqa_tasks import TASKS

IMAGES = 10_234
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


def write(path: Path, size: int) -> int:
    number = 0
    with path.open("w") as file:
        file.write("{")
        while file.tell() < size:
            file.write(f'{"," if number else ""}"{number:08d}": {json.dumps(record(number))}')
            number += 1
        file.write("}")
    return number


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    size = int(sys.argv[1] if len(sys.argv) > 1 else 1600) * 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        for name in ("images", "questions"):
            (Path(folder) / name).mkdir()
        count = write(Path(folder) / "questions" / "val_all_questions.json", size)
        before, start, cpu = peak(), time.perf_counter(), time.process_time()
        samples = load_gqa(Path(folder), "val_all")
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    tasks = len({sample.task for sample in samples})
    print(f"{size / 1e6:.0f} MB, {count} questions, {len(samples)} kept in {tasks} of {len(TASKS)} tasks:")
    print(f"{wall:.1f} s ({cpu:.1f} s CPU), peak memory {before:.0f} MB before, {peak():.0f} MB after")


if __name__ == "__main__":
    main()
