"""easy-VQA is read completely, stably, and fails clearly."""

import importlib.util

import pytest

from extraction.datasets.easy_vqa import load_easy_vqa
from extraction.datasets.load import DataSettings, load_samples

pytest.importorskip("easy_vqa", reason="easy-VQA ships in the package easy-vqa")


@pytest.mark.parametrize(
    ("split", "questions", "images", "yes_no"), [("train", 38575, 4000, 28407), ("test", 9673, 1000, 7136)]
)
def test_counts_are_those_of_the_data_set(split, questions, images, yes_no):
    samples = load_easy_vqa(split)
    assert len(samples) == questions
    assert len({sample.image for sample in samples}) == images
    assert sum(sample.task == "yes-no" for sample in samples) == yes_no
    assert len({sample.id for sample in samples}) == questions


def test_first_sample():
    first = load_easy_vqa("test")[0]
    assert first.id == "easy-vqa-test-000000"
    assert (first.question, first.answer, first.task) == ("what is the red shape?", "triangle", "what")
    assert first.image.name == "0.png"
    assert first.image.is_file()


def choose(**settings):
    return load_samples(DataSettings(reader="easy-vqa", **settings))


def test_task_agrees_with_the_first_word():
    for sample in load_easy_vqa("train") + load_easy_vqa("test"):
        expected = {"what": "what", "is": "yes-no", "does": "yes-no"}[sample.question.split()[0]]
        assert sample.task == expected


def test_tasks_partition_the_questions():
    everything = choose()
    what, yes_no = (choose(tasks=[task]) for task in ("what", "yes-no"))
    assert sorted(what + yes_no, key=lambda sample: sample.id) == everything


def test_per_task_keeps_the_order_and_ignores_the_other_task():
    both = choose(per_task=50, seed=3)
    assert len(both) == 100
    assert [sample.id for sample in both] == sorted(sample.id for sample in both)
    for task in ("what", "yes-no"):
        assert choose(tasks=[task], per_task=50, seed=3) == [s for s in both if s.task == task]


def test_per_task_depends_on_the_seed_alone():
    assert choose(per_task=50, seed=3) == choose(per_task=50, seed=3)
    assert choose(per_task=50, seed=3) != choose(per_task=50, seed=4)


def test_one_question_an_image_leaves_independent_samples():
    everything = choose(one_per_image=True)
    for task, count in (("what", 950), ("yes-no", 999)):
        images = [sample.image for sample in everything if sample.task == task]
        assert len(set(images)) == len(images) == count
    few = choose(per_task=50, one_per_image=True)
    assert len(few) == 100
    assert {sample.id for sample in few} <= {sample.id for sample in everything}
    assert choose(one_per_image=True, seed=1) != everything


def test_per_task_above_the_number_of_questions_keeps_all():
    assert choose(per_task=10**6) == choose()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "validation"}, r"split must be one of .*'train', 'test'.*got 'validation'"),
        ({"tasks": ["what", "where"]}, r"tasks must be .*'what', 'yes-no'.*got \['where'\]"),
        ({"per_task": 0}, r"per_task must be at least 1.*got 0"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        choose(**arguments)


def test_missing_package_names_the_remedy(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install easy-vqa"):
        load_easy_vqa("test")
