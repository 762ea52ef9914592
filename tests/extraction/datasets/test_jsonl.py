"""Neutral JSONL: good lines are samples, bad ones stay visible."""

import json

import pytest

from extraction.datasets.jsonl import load_jsonl

ROWS = [
    {"id": f"{i:02d}", "image": f"{i}.jpg", "question": "what ?", "answer": "red", "task": "ab"[i % 2]}
    for i in range(20)
]
GOOD = '{"id": "good", "image": "a.png", "question": "q"}'


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text("\ufeff" + "\r\n".join(json.dumps(row) for row in ROWS) + "\n\n")
    return path


def _load(tmp_path, *lines):
    path = tmp_path / "d.jsonl"
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines))
    return load_jsonl(path)


def test_rows(file, tmp_path):
    samples = load_jsonl(file)
    assert [sample.id for sample in samples] == [row["id"] for row in ROWS]
    assert not any(sample.problem for sample in samples)
    assert samples[3].image.path == tmp_path / "3.jpg"
    (tmp_path / "other").mkdir()
    assert load_jsonl(file, tmp_path / "other")[3].image.path == tmp_path / "other" / "3.jpg"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_only_the_end_of_a_line_ends_it(tmp_path, end):
    """Not what other programs take for one: U+2028 and the like are text, and a line break is written as \\n."""
    question = "Is it\u2028left,\u2029or\nright\r\n?"
    text = json.dumps({"id": "1", "image": "a.png", "question": question}, ensure_ascii=False)
    assert "\u2028" in text
    (tmp_path / "d.jsonl").write_bytes(end.join([text, GOOD, ""]).encode())
    first, second = load_jsonl(tmp_path / "d.jsonl")
    assert (first.question, first.problem, second.id) == (question, None, "good")


def test_answer_and_task_are_optional(tmp_path):
    (sample,) = _load(tmp_path, GOOD)
    assert (sample.answer, sample.task) == (None, "all")


def test_answers_may_be_numbers(tmp_path):
    (sample,) = _load(tmp_path, '{"id": "1", "image": "a.png", "question": "how many ?", "answer": 3}')
    assert sample.answer == "3"


def test_questions_of_one_image_share_it(tmp_path):
    one, two, other = _load(
        tmp_path, GOOD, GOOD.replace("good", "too"), GOOD.replace("good", "o").replace("a.p", "b.p")
    )
    assert one.image is two.image
    assert one.image_key == two.image_key != other.image_key
    assert one.image_name == "a.png"


@pytest.mark.parametrize(
    ("line", "name", "match"),
    [
        (GOOD.replace("good", "b").replace('"q"', '"a\x85b"'), "b", r"question holds the character U\+0085"),
        (GOOD.replace("good", "b").replace('"q"', '"a\x0bb"'), "line-000002", "it is not valid JSON"),
        ("not json", "line-000002", "line-000002: it is not valid JSON"),
        ('{"id": "x", ', "line-000002", "not valid JSON"),
        (b'{"id": "x\xff", "image": "a", "question": "q"}', "line-000002", "not valid JSON"),
        ("[" * 100_000, "line-000002", "not valid JSON"),
        ('{"id": ' + "9" * 5000 + "}", "line-000002", "not valid JSON"),
        ("[1]", "line-000002", "must be an object"),
        ('{"image": "a", "question": "q"}', "line-000002", "id is missing"),
        ('{"id": 7, "image": "a", "question": "q"}', "line-000002", "id must be a text, got 7"),
        ('{"id": "", "image": "a", "question": "q"}', "line-000002", "id must be on one line, not empty"),
        ('{"id": "7 ", "image": "a", "question": "q"}', "line-000002", "id must be .*without space around it"),
        ('{"id": "7\\n8", "image": "a", "question": "q"}', "line-000002", r"id must be on one line"),
        ('{"id": "7\\ud800", "image": "a", "question": "q"}', "line-000002", r"id holds the character U\+D800"),
        ('{"id": "7\\u0000", "image": "a", "question": "q"}', "line-000002", r"id holds the character U\+0000"),
        (json.dumps({"id": "7" * 300, "image": "a", "question": "q"}), "line-000002", "id has 300 characters"),
        ('{"id": "good", "image": "a", "question": "q"}', "line-000002", "id 'good' was there before"),
        ('{"id": "7", "question": "q"}', "7", "image is missing"),
        ('{"id": "7", "image": null, "question": "q"}', "7", "image is missing"),
        ('{"id": "7", "image": ["a"], "question": "q"}', "7", r"image must be a text, got \['a'\]"),
        ('{"id": "7", "image": "a", "question": "\\u0007"}', "7", r"question holds the character U\+0007"),
        ('{"id": "7", "image": "a", "question": "\\udfff"}', "7", r"question holds the character U\+DFFF"),
        (json.dumps({"id": "7", "image": "a", "question": "a" * 10_001}), "7", "question has 10001 characters"),
        ('{"id": "7", "image": "a", "question": "q", "answer": {}}', "7", "answer must be one text"),
        ('{"id": "7", "image": "a", "question": "q", "task": 3}', "7", "task must be a text"),
    ],
    ids=range(25),
)
def test_a_line_that_cannot_be_used_is_a_problem(tmp_path, line, name, match):
    good, bad = _load(tmp_path, GOOD, line)
    assert (good.id, good.problem) == ("good", None)
    assert bad.id == name
    with pytest.raises(ValueError, match=match):
        raise ValueError(bad.problem)


def test_ids_of_problems_are_unique(tmp_path):
    samples = _load(tmp_path, "oops", GOOD.replace("good", "line-000001"), GOOD, "{}", GOOD)
    assert [s.id for s in samples] == ["line-000001'", "line-000001", "good", "line-000004", "line-000005"]
    assert [s.problem is None for s in samples] == [False, True, True, False, False]


def test_a_line_without_end_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("extraction.datasets.jsonl._LONGEST_LINE", 1000)
    samples = _load(tmp_path, GOOD, '{"id": "7", "question": "' + "x" * 2500)
    assert [s.id for s in samples] == ["good", "line-000002", "line-000003", "line-000004"]
    assert all("not valid JSON" in s.problem for s in samples[1:])


@pytest.mark.parametrize("text", ["", "\n \n", "not json", "[1]\n[2]"])
def test_a_file_without_a_usable_line(tmp_path, text):
    with pytest.raises(ValueError, match="holds no sample"):
        _load(tmp_path, text)


def test_missing_file_and_folder(file, tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        load_jsonl(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match="correct --images"):
        load_jsonl(file, tmp_path / "none")
