"""GQA questions as CSV: ids stay texts, the six tasks, bad rows stay visible."""

import csv

import pytest

from extraction.datasets.csv_form import load_csv
from tests.extraction.test_gqa import TYPES

HEADER = ["question_id", "img_id", "question", "answer", "type_detailed", "type_semantic", "type_structural"]


def row(name="00123", image="2354786", task="ChooseRel", question="Is it left, or right?", answer="left"):
    structural, semantic, detailed = TYPES.get(task, ("verify", "obj", "exist"))
    return [name, image, question, answer, detailed, semantic, structural]


@pytest.fixture
def load(tmp_path):
    """Make a function that writes a file and reads it."""
    (tmp_path / "images").mkdir()

    def write(*rows, header=HEADER, tail=b""):
        path = tmp_path / "questions.csv"
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            csv.writer(file).writerows([header, *rows])
        path.write_bytes(path.read_bytes() + tail)
        return load_csv(path, tmp_path / "images")

    return write


def test_rows(load, tmp_path):
    samples = load(row(), row("00007", task="other"), row("00009", "001", "ChooseCat", 'A "red" one, or a blue one?'))
    assert [(s.id, s.image_name, s.task, s.answer) for s in samples] == [
        ("00009", "001.jpg", "ChooseCat", "left"),
        ("00123", "2354786.jpg", "ChooseRel", "left"),
    ]
    assert samples[0].question == 'A "red" one, or a blue one?'
    assert samples[1].image.path == tmp_path / "images" / "2354786.jpg"


def test_other_columns_and_orders(load):
    mixed = [*reversed(row()), "7"]
    (sample,) = load(mixed, header=[*reversed(HEADER), "index"])
    assert (sample.id, sample.question) == ("00123", "Is it left, or right?")


def test_an_empty_answer_is_none(load):
    assert load(row(answer=""))[0].answer is None


@pytest.mark.parametrize(
    ("bad", "name", "match"),
    [
        (row()[:-1], "line-000003", "it has 6 fields instead of 7"),
        ([*row(), "x"], "line-000003", "it has 8 fields instead of 7"),
        (row(""), "line-000003", "question_id must be on one line, not empty"),
        (row("good"), "line-000003", "was there before"),
        (row("b", image="\0"), "b", r"imageId holds the character U\+0000"),
        ([*row("b")[:-1], ""], "b", "structural is missing"),
        (row("b", question="x" * 10_001), "b", "question has 10001 characters"),
        (row("b", question="x" * 200_000), "line-000003", "field larger than field limit"),
    ],
    ids=range(8),
)
def test_a_row_that_cannot_be_used_is_a_problem(load, bad, name, match):
    good, after, problem = load(row("good", "1"), bad, row("last", "2"))
    assert (good.id, after.id, problem.id) == ("good", "last", name)
    assert good.problem is after.problem is None
    with pytest.raises(ValueError, match=match):
        raise ValueError(problem.problem)


def test_bytes_that_are_no_text(load):
    good, problem = load(row(), tail=b"1,1,caf\xe9?,x,relChooser,rel,choose\r\n")
    assert (good.id, problem.id) == ("00123", "1")
    assert "question holds the character U+DCE9" in problem.problem


def test_a_quote_that_is_not_closed(load):
    """It spoils its own line: no row behind it is swallowed, and no sample is made of several."""
    open_ = b'1,1,"oops,x,relChooser,rel,choose\r\n'
    good = [b"%d,1,Q?,a,relChooser,rel,choose\r\n" % i for i in (2, 3)]
    samples = load(row(), tail=open_ + good[0] + b'4,1,"Q?""",a,relChooser,rel,choose\r\n' + open_ + good[1])
    assert [s.id for s in samples if s.problem is None] == ["2", "3", "4", "00123"]
    bad = [s for s in samples if s.problem is not None]
    assert [s.id for s in bad] == ["line-000003", "line-000006"]
    assert all("quote" in s.problem for s in bad)


def test_a_column_that_stands_twice(load):
    with pytest.raises(ValueError, match="once each; wrong: answer"):
        load([*row(), "red"], header=[*HEADER, "answer"])


def test_what_is_missing_is_named(load, tmp_path):
    with pytest.raises(ValueError, match="once each; wrong: img_id, type_detailed"):
        load(row(), header=[name for name in HEADER if name not in ("img_id", "type_detailed")])
    with pytest.raises(ValueError, match="once each; wrong"):
        load(header=[])
    with pytest.raises(ValueError, match="holds no question of the six tasks"):
        load(row(task="other"))
    with pytest.raises(ValueError, match=r"csv file .*none.csv does not exist"):
        load_csv(tmp_path / "none.csv", tmp_path)
    path = tmp_path / "questions.csv"
    with pytest.raises(ValueError, match="give it by --images"):
        load_csv(path, None)
    with pytest.raises(ValueError, match=r"image folder .*none does not exist"):
        load_csv(path, tmp_path / "none")
