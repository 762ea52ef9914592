"""GQA as a Hugging Face data set on disk: joined by image id, images read row group by row group."""

import io
import json
import multiprocessing
import pickle
import tracemalloc
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from PIL import Image

from extraction.datasets import tables
from extraction.datasets.hub import load_hub
from extraction.errors import SampleError
from extraction.passes.images import open_image
from tests.extraction.datasets.test_gqa import TYPES, question

pa = pytest.importorskip("pyarrow", reason="parquet files need pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def picture(number):
    made = io.BytesIO()
    Image.new("RGB", (8, 8), (number, 0, 255 - number)).save(made, "PNG")
    return made.getvalue()


def image_table(numbers):
    rows = [{"id": f"{n:03d}", "image": {"bytes": picture(n), "path": f"/etc/{n}.png"}} for n in numbers]
    return pa.Table.from_pylist(rows)


def question_table(pairs):
    rows = []
    for i, (task, image) in enumerate(pairs):
        record = question(task, image)
        rows.append({"id": f"{i:05d}", **{k: record[k] for k in ("imageId", "question", "answer", "types")}})
    return pa.Table.from_pylist(rows)


PAIRS = [(task, f"{n:03d}") for n in (7, 2, 11) for task in (*TYPES, "other")]


@pytest.fixture(params=["parquet", "arrow"])
def folder(tmp_path, request):
    def write(table, path, rows=4):
        path.parent.mkdir(exist_ok=True)
        if request.param == "parquet":
            pq.write_table(table, path.with_suffix(".parquet"), row_group_size=rows)
        else:
            with pa.OSFile(str(path.with_suffix(".arrow")), "wb") as file, pa.ipc.new_stream(file, table.schema) as out:
                out.write_table(table, max_chunksize=rows)
            (path.parent / "cache-1.arrow").write_bytes(b"left by the library")
            (path.parent / "state.json").write_text(json.dumps({"_data_files": []}))

    write(question_table(PAIRS), tmp_path / "val_balanced_instructions" / "val-00000-of-00001")
    write(image_table(range(6)), tmp_path / "val_balanced_images" / "val-00000-of-00002")
    write(image_table(range(6, 12)), tmp_path / "val_balanced_images" / "val-00001-of-00002")
    return tmp_path


def test_questions_and_their_images(folder):
    samples = load_hub(folder)
    assert [s.image_name for s in samples] == ["002"] * 6 + ["007"] * 6 + ["011"] * 6
    assert [s.task for s in samples] == list(TYPES) * 3
    assert [s.id for s in samples[:6]] == [f"{i:05d}" for i in range(7, 13)]
    assert (samples[0].question, samples[0].answer) == (question()["question"], "wooden")
    for sample in samples:
        number = int(sample.image_name)
        assert open_image(sample).getpixel((3, 3)) == (number, 0, 255 - number)
    assert samples[0].image_place == "val_balanced_images/002"
    assert samples[0].image_key == samples[1].image_key != samples[6].image_key


def test_images_are_read_in_other_processes(folder):
    samples = load_hub(folder)
    assert pickle.loads(pickle.dumps(samples)) == samples
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as workers:
        colors = [image.getpixel((0, 0))[0] for image in workers.map(open_image, samples)]
    assert colors == [int(sample.image_name) for sample in samples]


def test_one_group_of_rows_is_in_memory(tmp_path):
    (tmp_path / "val_balanced_instructions").mkdir()
    (tmp_path / "val_balanced_images").mkdir()
    noise = np.random.default_rng(0)
    schema = pa.schema([("id", pa.string()), ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])
    with pq.ParquetWriter(tmp_path / "val_balanced_images" / "a.parquet", schema) as out:
        for start in range(0, 500, 20):
            rows = [{"id": str(i), "image": {"bytes": noise.bytes(50_000)}} for i in range(start, start + 20)]
            out.write_table(pa.Table.from_pylist(rows, schema))
    pairs = [("ChooseAttr", str(i)) for i in range(500)]
    pq.write_table(question_table(pairs), tmp_path / "val_balanced_instructions" / "a.parquet")
    tables.last_group.cache_clear()
    before, most = pa.total_allocated_bytes(), 0
    tracemalloc.start()
    for sample in load_hub(tmp_path):
        assert len(sample.image.read()) == 50_000
        most = max(most, pa.total_allocated_bytes() - before)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 8_000_000  # of 25 MB
    assert peak < 8_000_000


def test_records_that_cannot_be_used(tmp_path):
    (tmp_path / "val_balanced_instructions").mkdir()
    (tmp_path / "val_balanced_images").mkdir()
    pq.write_table(image_table([1]), tmp_path / "val_balanced_images" / "a.parquet")
    rows = question_table([("ChooseAttr", "001"), ("ChooseAttr", "404"), ("ChooseRel", "001")]).to_pylist()
    rows[2]["question"] = None
    rows.append({**rows[0]})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "val_balanced_instructions" / "a.parquet")
    samples = load_hub(tmp_path)
    problems = {s.id: s.problem for s in samples if s.problem}
    assert samples[0].id == "00000"
    assert set(problems) == {"00001", "00002", "row-000000004"}
    assert "imageId '404' is not among the images" in problems["00001"]
    assert "question is missing" in problems["00002"]
    assert "was there before" in problems["row-000000004"]


@pytest.mark.parametrize(
    ("image", "match"),
    [
        ({"bytes": None, "path": "/etc/passwd"}, "only as a path, which is never opened"),
        ({"bytes": b"x"}, "no image of"),
    ],
)
def test_rows_without_an_image(tmp_path, image, match):
    for name in ("val_balanced_instructions", "val_balanced_images"):
        (tmp_path / name).mkdir()
    schema = pa.schema([("id", pa.string()), ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])
    rows = pa.Table.from_pylist([{"id": "001", "image": image}], schema)
    pq.write_table(rows, tmp_path / "val_balanced_images" / "a.parquet")
    pq.write_table(question_table([("ChooseAttr", "001")]), tmp_path / "val_balanced_instructions" / "a.parquet")
    (sample,) = load_hub(tmp_path)
    with pytest.raises(SampleError, match=match) as caught:
        open_image(sample)
    assert caught.value.stage == "image"


def test_missing_and_damaged_files(folder):
    with pytest.raises(ValueError, match=r"\['val_balanced'\].*'train_all'"):
        load_hub(folder, "train_all")
    with pytest.raises(ValueError, match="correct --dataset"):
        load_hub(folder / "none")
    file = next((folder / "val_balanced_instructions").glob("val-*"))
    file.write_bytes(file.read_bytes()[:-50] + b"\0" * 50)
    if file.suffix == ".parquet":
        with pytest.raises(ValueError, match=r"is no parquet file .*download it again"):
            load_hub(folder)
    file.write_bytes(b"junk" * 10)
    with pytest.raises(ValueError, match="download it again"):
        load_hub(folder)


def test_groups_that_say_they_are_huge(folder, monkeypatch):
    samples = load_hub(folder)
    if samples[0].image.file.suffix == ".arrow":
        pytest.skip("a mapped file does not lie in memory")
    tables.last_group.cache_clear()
    monkeypatch.setattr(tables, "LARGEST_GROUP", 100)
    with pytest.raises(SampleError, match="write smaller groups"):
        open_image(samples[0])


def test_links_lead_nowhere_else(folder, tmp_path_factory):
    """In the cache of the hub, the files of a snapshot are links to blobs beside it."""
    file = next((folder / "val_balanced_images").glob("val-00000*"))
    cache = tmp_path_factory.mktemp("cache") / "datasets--lmms-lab--GQA"
    (cache / "blobs").mkdir(parents=True)
    (cache / "snapshots").mkdir()
    file.rename(cache / "blobs" / "0123abcd")
    file.symlink_to(cache / "blobs" / "0123abcd")
    with pytest.raises(ValueError, match="leads out of"):
        load_hub(folder)
    snapshot = folder.rename(cache / "snapshots" / "main")
    sample = load_hub(snapshot)[0]
    assert open_image(sample).getpixel((0, 0)) == (2, 0, 253)
