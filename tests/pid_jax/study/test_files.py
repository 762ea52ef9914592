"""Files of a study in a folder that holds files of an earlier one: the study written last counts, and it is said."""

import os

import pytest

from pid_jax.study.files import DECISION, RESULTS, describe_others, load_folder, load_studies, save_studies
from pid_jax.study.run import TargetStudy
from tests.study_results import planted, planted_answer, planted_decision, planted_questions

OPTIONS = {"models": {"one": 2, "two": 2}, "tasks": ("a",), "cuts": {"all": (0.0, 1.0)}, "replicates": 2}


def make(identity: str) -> dict[str, TargetStudy]:
    answer = planted_answer(**OPTIONS).assign_attrs(study=identity)
    questions = planted_questions(answer, 3).assign_attrs(study=identity)
    state = TargetStudy(results=planted(**OPTIONS).assign_attrs(study=identity))
    return {"answer": TargetStudy(results=answer, questions=questions), "final-norm": state}


def age(folder, *names):
    """Let files be as old as they would be if another study had been run first."""
    for name in names:
        os.utime(folder / name, ns=(10**18, 10**18))


@pytest.fixture
def folder(tmp_path):
    studies = make("first")
    decision = planted_decision(studies["answer"].questions).assign_attrs(study="first")
    save_studies(studies, tmp_path, decision=decision)
    return tmp_path


def test_one_study_is_whole(folder):
    found = load_folder(folder)
    assert list(found.targets) == ["answer", "final-norm"]
    assert found.targets["answer"].questions is not None
    assert found.decision is not None
    assert found.notes == ()
    assert describe_others(folder) == []


def test_files_of_an_earlier_study_are_left_out_and_named(folder):
    age(folder, "answer.nc", "questions.nc", RESULTS, DECISION)
    save_studies({"final-norm": make("second")["final-norm"]}, folder)
    found = load_folder(folder)
    assert list(found.targets) == ["final-norm"]
    assert found.decision is None
    assert all(str(folder / name) in line for name, line in zip(("answer.nc", DECISION), found.notes, strict=True))
    assert describe_others(folder) == list(found.notes)
    assert list(load_studies(folder)) == ["final-norm"]
    assert list(load_studies(folder / "answer.nc")) == ["answer"]  # it is still there


def test_an_answer_alone_is_not_shown_with_an_older_state(folder):
    age(folder, "answer.nc", "questions.nc", RESULTS, DECISION)
    save_studies({"answer": make("second")["answer"]}, folder)
    found = load_folder(folder)
    assert list(found.targets) == ["answer"]
    assert len(found.notes) == 2


def test_questions_of_another_study_are_left_out(folder):
    studies = make("second")
    save_studies({"answer": TargetStudy(results=studies["answer"].results)}, folder)
    found = load_folder(folder / "answer.nc")
    assert found.targets["answer"].questions is None
    assert "questions.nc" in found.notes[0]


def test_a_damaged_file_does_not_hide_the_study(folder):
    age(folder, "answer.nc")
    (folder / "answer.nc").write_bytes(b"x")
    age(folder, "answer.nc")
    found = load_folder(folder)
    assert list(found.targets) == ["final-norm"]
    assert "answer.nc" in found.notes[0]


def test_files_without_an_identity_belong_together(tmp_path):
    save_studies(make(""), tmp_path)
    for name in ("answer.nc", RESULTS):
        assert (tmp_path / name).exists()
    assert list(load_folder(tmp_path).targets) == ["answer", "final-norm"]
