"""GQA questions as CSV: ids stay texts, the six tasks, bad rows stay visible."""

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extraction.datasets import csv_form
from extraction.datasets.csv_form import _parse, load_csv
from tests.extraction.datasets.test_gqa import TYPES

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
        return load_csv([path], tmp_path / "images")

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


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_line_breaks_inside_of_quotes(tmp_path, end):
    """A row may span lines, blank ones among them; the last line may lack its end."""
    questions = [f"Is it{end}left?", f'Is it{end}{end} {end}left,{end}or "right"?{end}', "Is it left?"]
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator=end)
    writer.writerows([HEADER, *(row(str(i), question=question) for i, question in enumerate(questions))])
    text = lines.getvalue().removesuffix(end).replace(f"choose{end}2", f"choose{end}{end} {end}2")
    (tmp_path / "q.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    samples = load_csv([tmp_path / "q.csv"], tmp_path)
    assert [(s.id, s.question, s.problem) for s in samples] == [
        (str(i), question, None) for i, question in enumerate(questions)
    ]


def test_a_header_of_several_lines(load):
    assert load([*row(), "1"], header=[*HEADER, "index\r\nof the row"])[0].problem is None


def test_a_damaged_row_has_the_place_of_its_first_line(load):
    """Of a damaged row that spans lines, the first is its place; the next line begins another row."""
    samples = load(row("1", question="a\nb"), tail=b'2,1,"Is "it"\nleft?",a,relChooser,rel,choose\r\n3,1,"no end\r\n')
    assert [s.id for s in samples if s.problem is None] == ["1"]
    assert [s.id for s in samples if s.problem] == ["line-000004", "line-000005", "line-000006"]


TEXTS = st.text('ab ,"\r\n\u2028', min_size=1, max_size=12)


def read_back(folder, text):
    (folder / "q.csv").write_bytes(text.encode())
    samples = load_csv([folder / "q.csv"], folder)
    return {s.id: s.question for s in samples if not s.problem}, [s for s in samples if s.problem]


def written(*rows):
    lines = io.StringIO()
    csv.writer(lines).writerows(rows)
    return lines.getvalue()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_what_is_written_is_read_back(tmp_path, questions):
    rows = [row(f"{i:03d}", question=question) for i, question in enumerate(questions)]
    found, problems = read_back(tmp_path, written(HEADER, *rows))
    assert found == {f"{i:03d}": question for i, question in enumerate(questions)}
    assert not problems


# A line with one quote too few, too many fields, or too few.
DAMAGED = st.sampled_from(
    ['d,1,"Is it,a,relChooser,rel,choose', '"d,1', 'd,1,Q?,a,b,"', 'd,"1" ,Q', "d", ',,,,,,,,"', 'd,"1",Q"', '"""']
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text('ab ,"\r\n', max_size=12).map("Q".__add__), min_size=1, max_size=6), DAMAGED, st.integers(0, 6))
def test_a_damaged_line_spoils_no_other_row(tmp_path, questions, damaged, place):
    rows = [written(row(f"{i:03d}", question=question)) for i, question in enumerate(questions)]
    rows.insert(min(place, len(rows)), f"{damaged}\r\n")
    found, problems = read_back(tmp_path, written(HEADER) + "".join(rows))
    assert found == {f"{i:03d}": question for i, question in enumerate(questions)}
    assert len(problems) == 1


@pytest.mark.parametrize("damaged", ['d,1,"oops,x,relChooser,rel,choose', 'd,"', '"', '",",",'])
def test_damage_is_never_quadratic(load, monkeypatch, damaged):
    """Every line is parsed three times at most, however many quotes are not closed and however far the next one is."""
    parsed = []
    monkeypatch.setattr(csv_form, "_parse", lambda lines: parsed.extend(kept := list(lines)) or _parse(kept))
    good = [f"{i},1,Q?,a,relChooser,rel,choose" for i in range(600)]
    rows = [*good[:300], *[damaged] * 300, *good[300:], damaged]
    samples = load(row("x"), tail="\r\n".join(rows).encode())
    assert len([s for s in samples if not s.problem]) == 601
    assert len(parsed) < 3 * len(rows)


def test_several_files(tmp_path):
    for name, task, start in (("a", "ChooseRel", 0), ("b", "QueryAttr", 2)):
        rows = [row(str(start + i), task=task) for i in range(2)]
        (tmp_path / f"{name}.csv").write_text(written(HEADER, *rows, row("")))
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    samples = load_csv([first, second], tmp_path)
    assert [(s.id, s.task) for s in samples if not s.problem] == [
        *(("0", "ChooseRel"), ("1", "ChooseRel"), ("2", "QueryAttr"), ("3", "QueryAttr"))
    ]
    assert [s.id for s in samples if s.problem] == ["a-line-000004", "b-line-000004"]
    assert load_csv([second, first], tmp_path) == samples
    (tmp_path / "link.csv").symlink_to(first)
    with pytest.raises(ValueError, match="given twice"):
        load_csv([first, second, tmp_path / "link.csv"], tmp_path)
    (tmp_path / "c.csv").write_text(written(HEADER, row("5"), row("1")))
    with pytest.raises(ValueError, match=r"question_id.*'1'.*a\.csv.*c\.csv"):
        load_csv([first, tmp_path / "c.csv"], tmp_path)
    (tmp_path / "c.csv").write_text(written(HEADER, row("5", task="other")))
    with pytest.raises(ValueError, match=r"c\.csv.*tasks"):
        load_csv([first, tmp_path / "c.csv"], tmp_path)


def test_a_column_that_stands_twice(load):
    with pytest.raises(ValueError, match="once each; wrong: answer"):
        load([*row(), "red"], header=[*HEADER, "answer"])


def test_what_is_missing_is_named(load, tmp_path):
    with pytest.raises(ValueError, match=r"img_id.*type_detailed"):
        load(row(), header=[name for name in HEADER if name not in ("img_id", "type_detailed")])
    with pytest.raises(ValueError, match="once each; wrong"):
        load(header=[])
    with pytest.raises(ValueError, match="tasks"):
        load(row(task="other"))
    with pytest.raises(ValueError, match=r"none.csv"):
        load_csv([tmp_path / "none.csv"], tmp_path)
    path = tmp_path / "questions.csv"
    with pytest.raises(ValueError, match="--images"):
        load_csv([path], None)
    with pytest.raises(ValueError, match=r"image folder .*none does not exist"):
        load_csv([path], tmp_path / "none")
