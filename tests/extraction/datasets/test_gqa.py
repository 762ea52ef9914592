"""GQA as it is downloaded: questions of the six tasks, ordered by image, with the rest left out or kept as problems."""

import json
import tracemalloc

import pytest

from extraction.datasets import json_stream
from extraction.datasets.gqa import load_gqa
from extraction.datasets.gqa_tasks import TASKS, find_task
from extraction.datasets.json_stream import iterate_object

TYPES = {
    "ChooseAttr": ("choose", "attr", "materialChoose"),
    "ChooseCat": ("choose", "cat", "objThisChoose"),
    "ChooseRel": ("choose", "rel", "relChooser"),
    "CompareAttr": ("compare", "attr", "twoCommon"),
    "LogicalObj": ("logical", "obj", "existThatOrC"),
    "QueryAttr": ("query", "attr", "positionQuery"),
}


def question(task="ChooseAttr", image="1", **changes):
    """A record as GQA has it, with fields that nobody needs."""
    structural, semantic, detailed = TYPES.get(task, ("verify", "obj", "exist"))
    return {
        "semantic": [{"operation": "select", "dependencies": [], "argument": "door (1)"}],
        "entailed": [],
        "equivalent": ["1"],
        "question": "Is the door wooden or metal?",
        "imageId": image,
        "isBalanced": True,
        "groups": {"global": None, "local": "10c-door"},
        "answer": "wooden",
        "semanticStr": "select: door (1)",
        "annotations": {"answer": {}, "question": {"2": "1"}, "fullAnswer": {}},
        "types": {"structural": structural, "semantic": semantic, "detailed": detailed},
        "fullAnswer": "The door is wooden.",
    } | changes


@pytest.fixture
def download(tmp_path):
    """Make a function that writes a split."""
    (tmp_path / "images").mkdir()
    (tmp_path / "questions").mkdir()

    def write(records, split="val_balanced"):
        path = tmp_path / "questions" / f"{split}_questions.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(records if isinstance(records, str) else json.dumps(records), errors="surrogatepass")
        return tmp_path

    return write


def test_the_six_tasks():
    assert tuple(TYPES) == TASKS
    assert {find_task(*types): types for types in TYPES.values()} == TYPES


@pytest.mark.parametrize(
    "types",
    [
        ("choose", "rel", "categoryRelOChoose"),
        ("compare", "attr", "twoSame"),
        ("logical", "obj", "existOr"),
        ("query", "attr", "positionChoose"),
        ("query", "rel", "positionQuery"),
        ("verify", "attr", "chooseAttr"),
        ("choose", "global", "weatherChoose"),
    ],
)
def test_other_questions_belong_to_no_task(types):
    assert find_task(*types) is None


@pytest.mark.parametrize("detailed", ["chooseAttr", "typeChoose", "activityChoose", "companyChoose", "positionChoose"])
def test_every_choice_between_attributes_counts(detailed):
    assert find_task("choose", "attr", detailed) == "ChooseAttr"


def test_samples_are_ordered_by_image_and_id(download):
    images = ["2", "1", "10", "1", "2", "1"]
    ids = ["06", "05", "04", "02", "01", "03"]
    records = {i: question(task, image) for i, task, image in zip(ids, TYPES, images, strict=True)}
    samples = load_gqa(download(records | {"00": question("other")}))
    assert [(s.image_name, s.id) for s in samples] == [
        ("1.jpg", "02"),
        ("1.jpg", "03"),
        ("1.jpg", "05"),
        ("10.jpg", "04"),
        ("2.jpg", "01"),
        ("2.jpg", "06"),
    ]
    assert {s.id: s.task for s in samples} == dict(zip(ids, TYPES, strict=True))
    first = samples[0]
    assert first.image is samples[1].image
    assert (first.question, first.answer) == ("Is the door wooden or metal?", "wooden")
    assert first.image.path == first.image.folder / "1.jpg"


def test_a_split_of_several_files(download):
    for part in range(3):
        records = {f"{part}{i}": question(image=str(i)) for i in range(2)} | ({"00": question()} if part == 2 else {})
        folder = download(records, f"train_all_questions/train_all_questions_{part}")
    samples = load_gqa(folder, "train_all")
    assert [s.id for s in samples[:-1]] == ["00", "10", "20", "01", "11", "21"]
    assert "was there before" in samples[-1].problem


def test_images_may_be_where_the_archive_puts_them(download):
    folder = download({"1": question()})
    (folder / "images").rename(folder / "other")
    with pytest.raises(ValueError, match=r"image folder .*images does not exist"):
        load_gqa(folder)
    assert load_gqa(folder, images=folder / "other")[0].image.folder == folder / "other"
    (folder / "allImages" / "images").mkdir(parents=True)
    assert load_gqa(folder)[0].image.folder == folder / "allImages" / "images"


def test_hidden_answers(download):
    record = {"isBalanced": True, "question": "Who is it?", "imageId": "n1"}
    folder = download({"1": record, "2": {**record, "question": 3}}, "test_balanced")
    good, bad = load_gqa(folder, "test_balanced")
    assert (good.answer, good.task) == (None, "all")
    assert "question must be a text" in bad.problem
    with pytest.raises(ValueError, match="types must hold"):
        load_gqa(download({"1": record}))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"question": None}, "question is missing"),
        ({"question": ["q"]}, "question must be a text"),
        ({"question": "\ud83d"}, r"question holds the character U\+D83D"),
        ({"imageId": 7}, "imageId must be a text, got 7"),
        ({"imageId": None}, "imageId is missing"),
        ({"answer": None}, "answer is missing"),
        ({"answer": True}, "answer must be a text"),
        ({"types": None}, "types must hold"),
        ({"types": {}}, "structural is missing"),
        ({"types": {"structural": "choose", "semantic": [], "detailed": "x"}}, "semantic must be a text"),
        ({"types": {"structural": "choose", "semantic": "attr", "detailed": None}}, "detailed is missing"),
    ],
)
def test_a_record_that_cannot_be_read_is_a_problem(download, change, match):
    good, bad = load_gqa(download({"0": question() | change, "1": question()}))
    assert (good.id, good.problem, bad.id) == ("1", None, "0")
    with pytest.raises(ValueError, match=match):
        raise ValueError(bad.problem)


@pytest.mark.parametrize("entry", [None, 3, "text", [], {}])
def test_an_entry_that_is_no_record(download, entry):
    good, bad = load_gqa(download({"0": entry, "1": question()}))
    assert (good.id, bad.id) == ("1", "0")
    assert bad.problem


def test_ids_that_repeat_or_are_none(download):
    body = json.dumps(question())
    samples = load_gqa(download(f'{{"7": {body}, "7": {body}, "": {body}, "\\u0000": {body}}}'))
    assert [s.id for s in samples] == ["7", *(f"val_balanced_questions-00000000{i}" for i in (2, 3, 4))]
    assert [s.problem is None for s in samples] == [True, False, False, False]


def test_missing_folders_and_splits(download, tmp_path):
    folder = download({"1": question()})
    download({"1": question()}, "train_all_questions/train_all_questions_0")
    with pytest.raises(ValueError, match=r"\['train_all', 'val_balanced'\].*'val'.*--split"):
        load_gqa(folder, "val")
    with pytest.raises(ValueError, match="'questions'"):
        load_gqa(tmp_path / "images")
    with pytest.raises(ValueError, match="tasks"):
        load_gqa(download({"1": question("other")}))
    with pytest.raises(ValueError, match=r"1 records cannot be used; .*types must hold"):
        load_gqa(download({"1": {}}))


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 22])
def test_entries_come_one_by_one_whatever_is_read_at_once(tmp_path, monkeypatch, chunk):
    content = {"a": 1234567, "b": {"c": [1, 2.5e-3, '}\\"\u00e9\U0001f600']}, "": None, "d": True, "e\u2028\x85": -12}
    path = tmp_path / "x.json"
    monkeypatch.setattr(json_stream, "_CHUNK", chunk)
    for text in (json.dumps(content, indent=1), "\ufeff " + json.dumps(content, ensure_ascii=False) + "\n\n"):
        path.write_text(text, encoding="utf-8")
        assert dict(iterate_object(path)) == content
    path.write_text(" {} ")
    assert list(iterate_object(path)) == []


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "character 0 on .*the file ends early"),
        ("[]", "'{' should come, got '\\['"),
        ('{"a": 1', "the file ends early"),
        ('{"a": {"b": "c', "may end early"),
        ('{"a": tru}', "character 6 on"),
        ('{"a" 1}', "':' should come"),
        ('{"a": 1 "b": 2}', "',' should come"),
        ('{"a": 1,}', "character 8 on"),
        ("{1: 2}", "between quotes"),
        ('{"a": 1} x', "something follows"),
        ('{"a": ' + "[" * 100_000, "character 6 on"),
    ],
    ids=range(11),
)
@pytest.mark.parametrize("chunk", [3, 1 << 22])
def test_files_that_are_no_object(tmp_path, monkeypatch, text, match, chunk):
    monkeypatch.setattr(json_stream, "_CHUNK", chunk if len(text) < 100 else 1 << 16)
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=match):
        list(iterate_object(path))


def test_damage_is_seen_before_the_file_is_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(json_stream, "_CHUNK", 1 << 12)
    monkeypatch.setattr(json_stream, "_LARGEST_ENTRY", 1 << 14)
    path = tmp_path / "x.json"
    path.write_text('{"a": "' + "x" * 10_000_000)
    tracemalloc.start()
    with pytest.raises(ValueError, match="character 6 on"):
        list(iterate_object(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.slow
def test_questions_that_are_not_wanted_leave_nothing_in_memory(download, monkeypatch):
    monkeypatch.setattr(json_stream, "_CHUNK", 1 << 16)
    folder = download({"1": question()} | {f"{i:08d}": question("other") for i in range(20_000)})
    assert (folder / "questions" / "val_balanced_questions.json").stat().st_size > 10_000_000
    tracemalloc.start()
    assert [s.id for s in load_gqa(folder)] == ["1"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
