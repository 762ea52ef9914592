"""The page of a study about an answer and the state: the answer first, verdicts side by side, questions."""

import importlib.util
import json

import numpy as np
import pytest

from pid_jax.decompose.result import ATOMS
from pid_jax.report.page import write_report
from pid_jax.report.questions import MOST_QUESTIONS, question_rows
from pid_jax.report.thumbnails import find_image
from pid_jax.report.verdicts import claims
from tests.pid_jax.report.test_report import Page
from tests.study_metrics import with_made_up_metrics
from tests.study_results import planted, planted_answer, planted_decision, planted_questions


@pytest.fixture(scope="module")
def studies():
    made = {"answer": planted_answer(replicates=2), "final-norm": planted(replicates=2)}
    return {name: with_made_up_metrics(study) for name, study in made.items()}


@pytest.fixture(scope="module")
def page(studies, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    return Page(write_report(studies, path, questions=planted_questions(studies["answer"])).read_text())


def test_the_answer_is_first_and_both_are_named(page):
    assert "What vision and language tell about the answer" in page.text
    assert "H, the entropy of the answer" in page.text
    for about in ("the answer", "the state"):
        assert f": information about {about}" in page.text
    blocks = [json.loads(page.scripts[name]) for name in ("data", "data-2")]
    assert [block["attributes"]["about"] for block in blocks] == ["the answer", "the state"]
    assert "target_entropy" in blocks[0]["variables"]
    assert not {"compared_unique_1", "spectrum_1"} & set(blocks[0]["variables"])


def test_verdicts_about_answers_name_what_replicates_lack(page, studies, tmp_path):
    words = "include neither what classifiers have not learned yet"
    assert words in page.text
    assert words not in Page(write_report(studies["final-norm"], tmp_path / "i.html").read_text()).text


def test_verdicts_stand_side_by_side(studies):
    listed = claims(*studies.values())
    assert len(listed) == studies["answer"].sizes["claim"]
    for claim in listed:
        rows = [(row["model"], row["about"]) for row in claim["rows"]]
        assert rows == [(m, about) for m in ("eight", "six") for about in ("the answer", "the state")]


def test_questions_with_most_of_an_atom_are_in_the_page(page, studies):
    found = json.loads(page.scripts["questions-data"])
    assert found["at"] == ["last"]
    own = [row for row in found["rows"] if (row["model"], row["task"]) == ("eight", "ChooseAttr")]
    synergy = [row["bits"][0][ATOMS.index("synergy")] for row in own]
    assert max(synergy) == pytest.approx(49 / np.log(2), abs=1e-3)
    assert len(own) <= 2 * len(ATOMS) * MOST_QUESTIONS
    assert "</script" not in page.scripts["questions-data"]
    assert found["pictures"] == {}
    assert found["note"]


def test_thumbnails_of_images_at_hand(studies, tmp_path):
    assert find_image("0", {"images": str(tmp_path)}) is None
    if importlib.util.find_spec("PIL") is None:
        pytest.skip("no Pillow")
    from PIL import Image

    Image.new("RGB", (200, 100), "red").save(tmp_path / "49.png")
    study = studies["answer"].copy()
    settings = {"extraction": {name: {"data": {"images": str(tmp_path)}} for name in ("eight", "six")}}
    study.attrs = study.attrs | {"settings": json.dumps(settings)}
    found = question_rows(planted_questions(study), study)
    assert list(found["pictures"]) == ["49.png"]
    assert found["pictures"]["49.png"].startswith("data:image/jpeg;base64,")
    assert not found["note"]


@pytest.fixture(scope="module")
def with_decision(studies, tmp_path_factory):
    questions = planted_questions(studies["answer"])
    path = tmp_path_factory.mktemp("decision") / "index.html"
    decision = planted_decision(questions)
    return Page(write_report(studies, path, questions=questions, decision=decision).read_text())


def test_the_models_own_decision_is_a_section(with_decision, page):
    assert "What the model itself decides" in with_decision.text
    assert "What the model itself decides" not in page.text
    assert "hidden by cutting all attention to it" in with_decision.text
    assert "Left out: model 'six'" in with_decision.text
    assert "A note about cuts." in with_decision.text
    block = json.loads(with_decision.scripts["decision-data"])
    assert block["values"]["synergy"][0][0] == [pytest.approx(1.0), pytest.approx(0.5)]
    assert block["values"]["synergy"][1][0] == [None, None]
    rows = [attributes for tag, attributes in with_decision.elements if attributes.get("class") == "tight decision"]
    assert len(rows) == 1


def test_questions_can_be_sorted_by_the_models_own_decision(with_decision, page):
    found, plain = (json.loads(one.scripts["questions-data"]) for one in (with_decision, page))
    assert plain["at"] == ["last"]
    assert found["at"] == ["last", "decision"]
    row = next(row for row in found["rows"] if row["model"] == "eight")
    assert row["layers"][1] == -1
    assert row["bits"][1][ATOMS.index("unique_1")] == pytest.approx(int(row["sample"]) / np.log(2), abs=1e-3)
    assert all(one is None for row in found["rows"] if row["model"] == "six" for one in row["bits"][1])
    assert "NaN" not in with_decision.scripts["questions-data"]
