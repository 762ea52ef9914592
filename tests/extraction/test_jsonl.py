"""Neutral JSONL, and the choice of samples."""

import json

import pytest

from extraction.datasets.jsonl import load_jsonl
from extraction.datasets.select import select_samples
from extraction.settings import DataSettings, load_samples

ROWS = [
    {"id": f"{i:02d}", "image": f"{i}.jpg", "question": "what ?", "answer": "red", "task": "ab"[i % 2]}
    for i in range(20)
]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n\n")
    return path


def test_rows(file, tmp_path):
    samples = load_jsonl(file)
    assert [sample.id for sample in samples] == [row["id"] for row in ROWS]
    assert samples[3].image == tmp_path / "3.jpg"
    assert load_jsonl(file, tmp_path / "other")[3].image == tmp_path / "other" / "3.jpg"


def test_answer_and_task_are_optional(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text('{"id": "1", "image": "a.png", "question": "q"}')
    (sample,) = load_jsonl(path)
    assert (sample.answer, sample.task) == (None, "all")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "holds no sample"),
        ("not json", r"d.jsonl:1 is not valid JSON"),
        ('{"id": 7, "image": "a", "question": "q"}', r"d.jsonl:1 needs an object"),
        ('{"id": "7", "question": "q"}', r"d.jsonl:1 needs an object"),
        ("[1]", r"d.jsonl:1 needs an object"),
    ],
)
def test_bad_files(tmp_path, text, match):
    path = tmp_path / "d.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=match):
        load_jsonl(path)


def test_missing_file(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        load_jsonl(tmp_path / "none.jsonl")


def test_choice_is_capped_seeded_and_independent_of_other_tasks(file):
    samples = load_jsonl(file)
    both = select_samples(samples, None, 4, 0)
    assert [sum(s.task == task for s in both) for task in "ab"] == [4, 4]
    assert select_samples(samples, ["b"], 4, 0) == [s for s in both if s.task == "b"]
    assert select_samples(samples, None, 4, 1) != both
    assert select_samples(samples, None, 100, 0) == samples
    assert [s.id for s in both] == sorted(s.id for s in both)


@pytest.mark.parametrize(
    ("tasks", "per_task", "match"), [(["c"], None, r"tasks must be among \['a', 'b'\]"), (None, 0, "per_task")]
)
def test_bad_choice(file, tasks, per_task, match):
    with pytest.raises(ValueError, match=match):
        select_samples(load_jsonl(file), tasks, per_task, 0)


def test_settings_reach_the_reader(file):
    data = DataSettings(reader="jsonl", path=str(file), tasks=("a",), per_task=2)
    assert {sample.task for sample in load_samples(data)} == {"a"}
