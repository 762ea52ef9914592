"""The options of `pid-extract run` that choose data: each kind is extracted, wrong choices end in one line."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest
from PIL import Image

from extraction.cli.main import main
from extraction.datasets.load import DataSettings, load_samples
from extraction.run.settings import from_manifest
from pid_jax.store import ActivationStore
from tests.extraction.datasets.test_csv import HEADER, row
from tests.extraction.datasets.test_gqa import TYPES, question
from tests.extraction.datasets.test_hub_dataset import image_table, pq, question_table

IMAGES = ("001", "002", "003")


@pytest.fixture
def pid_extract(command_line):
    return command_line("pid-extract", main)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The same 18 questions about three images, in every form."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("images", "questions", "val_balanced_instructions", "val_balanced_images"):
        (folder / name).mkdir()
    for i, name in enumerate(IMAGES):
        Image.new("RGB", (64, 64), (60 * i, 0, 0)).save(folder / "images" / f"{name}.jpg")
    pairs = [(task, image) for image in IMAGES for task in TYPES]
    records = {f"{i:05d}": question(task, image) for i, (task, image) in enumerate(pairs)}
    (folder / "questions" / "val_balanced_questions.json").write_text(json.dumps(records))
    rows, lines = [], []
    for (name, record), (task, image) in zip(records.items(), pairs, strict=True):
        rows.append(row(name, image, task, record["question"], record["answer"]))
        asked = {"question": record["question"], "answer": record["answer"], "task": task}
        lines.append(json.dumps({"id": name, "image": f"images/{image}.jpg", **asked}))
    (folder / "q.jsonl").write_text("\n".join(lines))
    with (folder / "q.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])
    pq.write_table(question_table(pairs), folder / "val_balanced_instructions" / "a.parquet")
    pq.write_table(image_table(map(int, IMAGES)), folder / "val_balanced_images" / "a.parquet")
    return folder


def options(data):
    return {
        "gqa": ("--gqa", data),
        "csv": ("--csv", data / "q.csv", "--images", data / "images"),
        "jsonl": ("--jsonl", data / "q.jsonl"),
        "dataset": ("--dataset", data),
    }


@pytest.mark.parametrize("kind", ["gqa", "csv", "jsonl", "dataset"])
def test_every_kind_of_data_is_extracted(pid_extract, data, tmp_path, kind):
    arguments = ("--tasks", "ChooseRel,QueryAttr", "--per-task", 2, "--limit", 3, "--seed", 1, "--max-new-tokens", 2)
    code, _, err = pid_extract("run", *options(data)[kind], "--out", tmp_path / "s", *arguments)
    assert code == 0, err
    store = ActivationStore.open(tmp_path / "s")
    assert not store.failures
    assert len(store.ids) == 3
    assert set(store.columns["task"]) <= {"ChooseRel", "QueryAttr"}
    settings = from_manifest(dict(store.manifest.settings)).data
    assert settings.reader == kind
    assert [sample.id for sample in load_samples(settings)] == list(store.manifest.ids)
    everything = load_samples(dataclasses.replace(settings, limit=None))
    assert [sample.id for sample in everything][:3] == list(store.manifest.ids)
    assert len(everything) == 4


def test_several_csv_files(pid_extract, data, tmp_path):
    """One a task, as the field publishes them, with a line break in a question."""
    rows = list(csv.reader((data / "q.csv").open(newline="")))
    at = rows[0].index("question")
    for name, part in (("a", rows[1:9]), ("b", rows[9:])):
        part[0][at] = "\r\n".join(part[0][at].split(" ", 1))
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([rows[0], *part])
    two = "--csv", tmp_path / "a.csv", "--csv", tmp_path / "b.csv"
    arguments = ("run", "--images", data / "images", "--max-new-tokens", 2, "--layers", "0", "--out", tmp_path / "s")
    code, _, err = pid_extract(*arguments, *two)
    assert code == 0, err
    store = ActivationStore.open(tmp_path / "s")
    assert (len(store.ids), store.failures) == (18, [])
    settings = from_manifest(dict(store.manifest.settings)).data
    assert settings.path == (str(tmp_path / "a.csv"), str(tmp_path / "b.csv"))
    assert [sample.id for sample in load_samples(settings)] == list(store.manifest.ids)
    assert pid_extract(*arguments, *two)[0] == 0  # the store is continued
    code, _, err = pid_extract("knockout", "--baseline", tmp_path / "s", "--out", tmp_path / "k")
    assert code == 0, err
    code, _, err = pid_extract(*arguments, *two, "--csv", data / "q.csv")
    assert code == 1
    assert "question_id '00000' is in" in err


def test_one_path_is_written_as_before():
    one, listed = (DataSettings(reader="csv", path=path, images="i") for path in ("a.csv", ["a.csv"]))
    assert one == listed
    assert json.dumps(dataclasses.asdict(listed))[:34] == '{"reader": "csv", "path": "a.csv",'
    several = DataSettings(reader="csv", path=["a.csv", "b.csv"], images="i")
    assert DataSettings(**json.loads(json.dumps(dataclasses.asdict(several)))) == several


def test_every_form_holds_the_same_samples(data):
    settings = (
        DataSettings(reader="gqa", path=str(data)),
        DataSettings(reader="csv", path=str(data / "q.csv"), images=str(data / "images")),
        DataSettings(reader="jsonl", path=str(data / "q.jsonl")),
        DataSettings(reader="dataset", path=str(data)),
    )
    forms = [
        [(s.id, s.question, s.answer, s.task, Path(s.image_name).stem) for s in load_samples(one)] for one in settings
    ]
    assert len(forms[0]) == 18
    assert all(form == forms[0] for form in forms)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((), "exactly one of --gqa FOLDER, --csv FILE, --jsonl FILE, --dataset FOLDER and --easy-vqa"),
        (("--easy-vqa", "--gqa", "{data}"), "exactly one of"),
        (("--gqa", "{data}", "--split", "train_all"), "split must be one of ['val_balanced']"),
        (("--gqa", "{data}/images"), "has no folder 'questions'"),
        (("--gqa", "{data}", "--images", "{data}/none"), "by --images"),
        (("--gqa", "{data}", "--tasks", "ChooseAtr"), "got ['ChooseAtr']: check the spelling"),
        (("--dataset", "{data}", "--split", "test"), "split must be one of ['val_balanced']"),
        (("--dataset", "{data}/none"), "correct --dataset"),
        (("--csv", "{data}/q.csv"), "give it by --images"),
        (("--csv", "{data}/none.csv", "--images", "{data}"), "does not exist"),
        (("--csv", "{data}/q.csv", "--images", "{data}/images", "--split", "val"), "csv data have no splits"),
        (("--csv", "{data}/q.csv", "--csv", "{data}/q.csv", "--images", "{data}"), "q.csv is given twice"),
        (("--csv", "{data}/q.csv", "--jsonl", "{data}/q.jsonl"), "exactly one of"),
        (("--jsonl", "{data}/q.jsonl", "--limit", "0"), "limit must be at least 1"),
        (("--jsonl", "{data}/q.jsonl", "--tasks", "x"), "tasks must be among ['ChooseAttr'"),
        (("--easy-vqa", "--split", "val"), "split must be one of ('train', 'test'), got 'val'"),
        (("--easy-vqa", "--images", "{data}"), "leave images"),
    ],
    ids=range(17),
)
def test_wrong_choices_end_in_one_line(pid_extract, data, tmp_path, arguments, match):
    code, _, err = pid_extract("run", *(a.format(data=data) for a in arguments), "--out", tmp_path / "s")
    assert code == 1
    (line,) = [line for line in err.splitlines() if line]
    assert line.startswith("error:")
    assert match in line
    assert not (tmp_path / "s").exists()


def test_paths_are_kept_as_texts(tmp_path):
    one, several = (DataSettings(reader="csv", path=path, images=tmp_path) for path in (tmp_path, [tmp_path, "b.csv"]))
    assert (one.path, one.images) == (str(tmp_path), str(tmp_path))
    assert several.path == (str(tmp_path), "b.csv")
    with pytest.raises(ValueError, match=r"path.*path"):
        DataSettings(reader="csv", path=3)
