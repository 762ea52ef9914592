"""Which samples are chosen, and how that is written down."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from extraction.datasets.image_source import ImageFile
from extraction.datasets.jsonl import load_jsonl
from extraction.datasets.load import READERS, DataSettings, data_digest, load_samples, select
from extraction.datasets.sample import Sample


def select_samples(samples, tasks, per_task, seed, *, one_per_image=False):
    data = DataSettings(
        reader="jsonl", path="x", tasks=tasks, per_task=per_task, seed=seed, one_per_image=one_per_image
    )
    return select(samples, data)


@pytest.fixture
def samples(tmp_path):
    return [
        Sample(
            id=f"{i:02d}",
            image=ImageFile(tmp_path / f"{i // 4}.jpg", tmp_path),
            question="what ?",
            answer="red",
            task="ab"[i % 2],
        )
        for i in range(20)
    ]


@pytest.fixture
def file(tmp_path, samples):
    fields = [{"id": s.id, "image": s.image_name, "question": s.question, "task": s.task} for s in samples]
    path = tmp_path / "data.jsonl"
    path.write_text("oops\n" + "\n".join(json.dumps(row) for row in fields))
    return path


def test_choice_is_capped_seeded_and_independent_of_other_tasks(samples):
    both = select_samples(samples, None, 4, 0)
    assert [sum(s.task == task for s in both) for task in "ab"] == [4, 4]
    assert select_samples(samples, ["b"], 4, 0) == [s for s in both if s.task == "b"]
    assert select_samples(samples, None, 4, 1) != both
    assert select_samples(samples, None, 100, 0) == samples
    assert [s.id for s in both] == sorted(s.id for s in both)


def test_one_sample_of_each_task_and_image(samples):
    chosen = select_samples(samples, None, None, 0, one_per_image=True)
    assert len(chosen) == len({(s.task, s.image_key) for s in chosen}) == 10


def test_samples_with_a_problem_are_kept(samples):
    bad = Sample(id="x", image=None, question="", answer=None, task="", problem="it is broken")
    for chosen in (
        select_samples([bad, *samples], ["a"], 2, 0),
        select_samples([bad, *samples], None, 1, 0, one_per_image=True),
    ):
        assert chosen[0] is bad
        assert len(chosen) == 3
    with pytest.raises(ValueError, match=r"\['a', 'b'\].*\[''\]"):
        select_samples([bad, *samples], [""], None, 0)


@pytest.mark.parametrize(
    ("tasks", "per_task", "match"), [(["c"], None, r"tasks must be among \['a', 'b'\]"), (None, 0, "per_task")]
)
def test_bad_choice(samples, tasks, per_task, match):
    with pytest.raises(ValueError, match=match):
        select_samples(samples, tasks, per_task, 0)


def test_settings_reach_the_reader(file):
    data = DataSettings(reader="jsonl", path=str(file), tasks=("a",), per_task=3)
    everything = load_samples(data)
    assert [sample.task for sample in everything] == ["", "a", "a", "a"]
    assert load_samples(dataclasses.replace(data, limit=2)) == everything[:2]


def test_settings_survive_json():
    data = DataSettings(reader="gqa", path="/gqa", images="/i", tasks=("ChooseAttr", "LogicalObj"), per_task=7, limit=3)
    assert data.split == "val_balanced"
    assert DataSettings(**json.loads(json.dumps(dataclasses.asdict(data)))) == data


def test_splits_that_are_meant_if_none_is_named():
    splits = {name: DataSettings(reader=name, path="p" if reader.needs_path else None).split
              for name, reader in READERS.items()}  # fmt: skip
    assert splits == {
        "easy-vqa": "test",
        "jsonl": None,
        "gqa": "val_balanced",
        "csv": None,
        "dataset": "val_balanced",
        "python": None,
    }


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"reader": "coco"}, "reader must be one of .*'gqa'.*got 'coco'"),
        ({"reader": "gqa"}, "gqa data need a path"),
        ({"reader": "easy-vqa", "path": "x"}, "easy-vqa data need no path"),
        ({"reader": "easy-vqa", "images": "x"}, "easy-vqa data hold their images"),
        ({"reader": "dataset", "path": "p", "images": "x"}, "dataset data hold their images"),
        ({"reader": "csv", "path": "p", "split": "val"}, "csv data have no splits"),
        ({"reader": "gqa", "path": ["p", "q"]}, "gqa data are read from one path, got 2"),
        ({"reader": "csv", "path": []}, "path must be a path or a sequence of paths"),
        ({"reader": "csv", "path": ["p", 1]}, "path must be a path or a sequence of paths"),
        ({"reader": "gqa", "path": "p", "limit": 0}, "limit must be at least 1.*got 0"),
        ({"reader": "gqa", "path": "p", "per_task": -1}, "per_task must be at least 1"),
        ({"reader": "gqa", "path": "p", "tasks": ("ChooseAtr",)}, r"among \['ChooseAttr', .*got \['ChooseAtr'\]"),
    ],
)
def test_bad_settings(fields, match):
    with pytest.raises(ValueError, match=match):
        DataSettings(**fields)


def test_digest_adds_up_and_ignores_order(samples):
    whole = data_digest(samples)
    assert len(whole) == 64
    assert data_digest(samples[::-1]) == whole
    parts = [int(data_digest(part), 16) for part in (samples[:7], samples[7:])]
    assert f"{sum(parts) % 2**256:064x}" == whole


@pytest.mark.parametrize("change", [{"id": "x"}, {"question": "x"}, {"answer": None}, {"task": "x"}, {"image": "x"}])
def test_digest_sees_every_field(samples, tmp_path, change):
    if "image" in change:
        change = {"image": ImageFile(tmp_path / "other" / "0.jpg", tmp_path)}
    changed = dataclasses.replace(samples[0], **change)
    assert data_digest([changed, *samples[1:]]) != data_digest(samples)


def test_digest_of_images_in_memory_is_that_of_their_pixels(samples):
    red, blue = (Image.new("RGB", (4, 4), color) for color in ("red", "blue"))
    one, same, other = (dataclasses.replace(samples[0], image=image) for image in (red, red.copy(), blue))
    assert one.image_key == same.image_key != other.image_key
    assert data_digest([one]) == data_digest([same]) != data_digest([other])


def test_digest_takes_any_text(tmp_path):
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    sample = Sample(id="\u00e4", image=tmp_path / name, question="\udfff", answer="\0", task="")
    assert sample.image_name == "caf\\udce9.png"
    assert np.char.isalnum(data_digest([sample])).all()


def test_a_cap_moves_by_one_sample_at_most_when_a_record_is_added():
    """Whatever the order, and at every size of the data."""
    for count in (100, 8191):
        made = [
            Sample(id=str(i), image=Path(f"{i}.jpg"), question="?", answer=None, task="t") for i in range(count + 1)
        ]
        before = {sample.id for sample in select_samples(made[:-1], None, 50, 0)}
        after = {sample.id for sample in select_samples(made[::-1], None, 50, 0)}
        assert len(before & after) >= 49
        assert {sample.id for sample in select_samples(made, None, 50, 1)} != after


def test_the_digest_sees_the_folder_of_an_image(tmp_path):
    """Files of one name in two folders are two images."""
    digests = set()
    for split in ("train", "val"):
        path = tmp_path / f"{split}.jsonl"
        path.write_text(f'{{"id": "1", "image": "{split}/images/1.png", "question": "?"}}')
        (sample,) = load_jsonl(path, None)
        digests.add(data_digest([sample]))
        assert sample.image_name == f"{split}/images/1.png"
    assert len(digests) == 2
