"""The generated folder has GQA's layout, its answers are right, and no answer can be guessed."""

import json
import re
from collections import Counter, defaultdict
from itertools import permutations

import numpy as np
import pytest
from PIL import Image

from extraction.cli.main import main
from extraction.scenes.drawing import decode_jpeg, encode_jpeg
from extraction.scenes.folder import scene_samples, write_gqa_folder
from extraction.scenes.questions import ASK, ask_questions
from extraction.scenes.scene import COLORS, IMAGES, SHAPES, SPLITS, image_ids, make_scene

FIELDS = {
    "semantic": list,
    "entailed": list,
    "equivalent": list,
    "question": str,
    "imageId": str,
    "isBalanced": bool,
    "groups": dict,
    "answer": str,
    "semanticStr": str,
    "annotations": dict,
    "types": dict,
    "fullAnswer": str,
}
TYPES = {  # structural, semantic, detailed
    ("choose", "attr", "chooseAttr"): "ChooseAttr",
    ("choose", "cat", "categoryThisChoose"): "ChooseCat",
    ("choose", "rel", "relChooser"): "ChooseRel",
    ("compare", "attr", "twoCommon"): "CompareAttr",
    ("logical", "obj", "existThatOr"): "LogicalObj",
    ("logical", "obj", "existThatOrC"): "LogicalObj",
    ("query", "attr", "positionQuery"): "QueryAttr",
    ("query", "attr", "directOf"): "QueryAttr",
}
SMALL = 24


def read(folder, name):
    return json.loads((folder / "questions" / name).read_text(encoding="utf-8"))


def task_of(entry):
    return TYPES[tuple(entry["types"][name] for name in ("structural", "semantic", "detailed"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "gqa"
    write_gqa_folder(path, images=SMALL, seed=0)
    return path


@pytest.fixture(scope="module")
def val(folder):
    return read(folder, "val_balanced_questions.json")


@pytest.fixture(scope="module")
def many():
    """Questions about the default validation images, by task."""
    asked = defaultdict(list)
    for image_id in image_ids("val", IMAGES):
        scene = make_scene(0, image_id)
        for question in ask_questions(scene):
            asked[question.task].append((scene, question))
    return asked


def test_every_field_is_as_published(val):
    for question_id, entry in val.items():
        assert {name: type(value) for name, value in entry.items()} == FIELDS
        assert re.fullmatch(r"0\d+", question_id)
        assert re.fullmatch(r"\d+", entry["imageId"])
        assert entry["entailed"] == []
        assert entry["equivalent"] == [question_id]
        assert set(entry["types"]) == {"detailed", "semantic", "structural"}
        assert task_of(entry) in ASK
        assert set(entry["groups"]) == {"global", "local"}
        assert re.fullmatch(rf"{len(entry['question'].split()):02d}-\w+", entry["groups"]["local"])
        assert set(entry["annotations"]) == {"answer", "question", "fullAnswer"}
        assert entry["answer"] == entry["answer"].lower().strip()
        assert entry["question"][0].isupper()
        assert entry["question"].endswith("?")
        assert entry["answer"] in re.findall(r"\w+", entry["fullAnswer"].lower())


def test_programs_are_steps_and_one_text(val):
    for entry in val.values():
        written = []
        for number, step in enumerate(entry["semantic"]):
            assert set(step) == {"operation", "dependencies", "argument"}
            assert all(0 <= before < number for before in step["dependencies"])
            needs = f" {step['dependencies']}" if step["dependencies"] else ""
            written.append(f"{step['operation']}: {step['argument']}{needs}")
        assert entry["semanticStr"] == "->".join(written)


def test_annotations_point_at_words_that_name_the_object(val):
    pointed = 0
    for entry in val.values():
        things = {thing.id: thing for thing in make_scene(0, int(entry["imageId"])).things}
        for name, text in (
            ("question", entry["question"]),
            ("answer", entry["answer"]),
            ("fullAnswer", entry["fullAnswer"]),
        ):
            for place, object_id in entry["annotations"][name].items():
                word = text.split()[int(place)].strip("?.,")
                assert word in (things[object_id].shape, "thing")
                pointed += 1
    assert pointed > len(val)


def test_images_are_flat_jpegs_of_every_split(folder, val):
    parts = [read(folder, f"train_all_questions/train_all_questions_{k}.json") for k in range(10)]
    testdev = read(folder, "testdev_balanced_questions.json")
    assert all(parts)
    ids = [{entry["imageId"] for entry in part.values()} for part in (*parts, val, testdev)]
    assert sum(map(len, ids)) == len(set.union(*ids)), "no image is in two files"
    assert {path.name for path in (folder / "images").iterdir()} == {f"{i}.jpg" for i in set.union(*ids)}
    questions = [question_id for part in (*parts, val, testdev) for question_id in part]
    assert len(questions) == len(set(questions))
    for path in (folder / "images").iterdir():
        with Image.open(path) as image:
            assert (image.format, image.size, image.mode) == ("JPEG", (64, 64), "RGB")
    assert {path.name for path in folder.iterdir()} == {"questions", "images"}
    assert {path.name for path in (folder / "questions").iterdir()} == {
        "val_balanced_questions.json",
        "testdev_balanced_questions.json",
        "train_all_questions",
    }


def test_every_image_has_every_task(val):
    tasks = defaultdict(set)
    for entry in val.values():
        tasks[entry["imageId"]].add(task_of(entry))
    assert len(tasks) == SMALL
    assert all(found == set(ASK) for found in tasks.values())
    queries = Counter(entry["types"]["detailed"] for entry in val.values() if task_of(entry) == "QueryAttr")
    assert queries == {"positionQuery": SMALL, "directOf": SMALL // 2}
    assert IMAGES >= 1000
    assert 6.5 * IMAGES <= 7200


def test_samples_are_those_of_the_file(folder, val):
    samples = [sample for i in image_ids("val", SMALL) for sample in scene_samples(folder, i, 0)]
    assert [s.id for s in samples] == list(val)
    for sample, entry in zip(samples, val.values(), strict=True):
        assert sample.image == folder / "images" / f"{entry['imageId']}.jpg"
        assert (sample.question, sample.answer, sample.task) == (entry["question"], entry["answer"], task_of(entry))


def test_same_arguments_same_bytes(folder, tmp_path):
    write_gqa_folder(tmp_path / "again", images=SMALL, seed=0)
    write_gqa_folder(tmp_path / "other", images=SMALL, seed=1)
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    same = [(tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes() for name in names]
    other = [(tmp_path / "other" / name).read_bytes() == (folder / name).read_bytes() for name in names]
    assert all(same)
    assert not any(other)


def test_a_scene_does_not_depend_on_the_number_of_images(folder, val, tmp_path):
    write_gqa_folder(tmp_path / "fewer", images=3, seed=0)
    fewer = read(tmp_path / "fewer", "val_balanced_questions.json")
    assert fewer.items() <= val.items()


def test_splits_are_disjoint():
    ids = {split: set(image_ids(split, 1000)) for split in SPLITS}
    assert len(set.union(*ids.values())) == 3000
    starts = sorted(SPLITS.values())
    assert all(
        image_ids(split, 1_000_000)[-1] < min([s for s in starts if s > SPLITS[split]], default=10**9) for split in ids
    )
    pictures = [encode_jpeg(make_scene(0, i)) for ids_of in ids.values() for i in sorted(ids_of)[:500]]
    assert len(set(pictures)) == len(pictures)


def answer_from_scene(scene, question):
    """Read the question and answer it from the attributes, by other rules than those it was written by."""
    by_shape = {thing.shape: thing for thing in scene.things}
    words = re.findall(r"\w+", question)
    shapes = [word for word in words if word in SHAPES]
    colors = [word for word in words if word in COLORS]
    if question.startswith("What do"):
        one, two = (by_shape[shape] for shape in shapes)
        (shared,) = [name for name in ("color", "material") if getattr(one, name) == getattr(two, name)]
        return shared
    if question.startswith("Is there either"):
        return "yes" if any((s, colors[0]) == (t.shape, t.color) for s in shapes for t in scene.things) else "no"
    if question.startswith("What kind"):
        side = "left" if "on the left" in question else "right"
        (thing,) = [t for t in scene.things if t.color == colors[0] and (t.center[0] < 32) == (side == "left")]
        assert thing.shape in shapes
        return thing.shape
    if "to the left or to the right" in question:
        return "left" if by_shape[shapes[0]].center[0] < by_shape[shapes[1]].center[0] else "right"
    thing = by_shape[shapes[0]]
    if question.startswith("On which side"):
        return "left" if thing.center[0] < 32 else "right"
    if question.startswith("Is the"):
        assert thing.color in colors
        assert colors[0] != colors[1]
    return thing.color


def test_answers_are_right(many):
    for asked in many.values():
        for scene, question in asked:
            assert question.answer == answer_from_scene(scene, question.text), question
            holds = question.answer == "yes"
            if question.task == "LogicalObj":
                assert question.detailed == ("existThatOr" if holds else "existThatOrC")


def test_full_answers_are_true(many):
    checked = Counter()
    for asked in many.values():
        for scene, question in asked:
            facts = {f"{thing.shape} is {thing.color}" for thing in scene.things}
            facts |= {f"{thing.shape} that is {thing.color}" for thing in scene.things}
            facts |= {f"{thing.shape} is on the {thing.side}" for thing in scene.things}
            facts |= {f"{one.shape} is to the {one.side} of the {two.shape}" for one, two in permutations(scene.things)}
            facts |= {f"thing is a {thing.shape}" for thing in scene.things}
            is_true = any(fact in question.full_answer for fact in facts)
            if question.task != "CompareAttr":
                assert is_true == (question.answer != "no"), question
                checked[question.task] += 1
    assert min(checked[task] for task in ASK if task != "CompareAttr") >= 1000


PALETTE = {
    "black": (0, 0, 0),
    "blue": (0, 0, 255),
    "green": (0, 128, 0),
    "purple": (128, 0, 128),
    "red": (255, 0, 0),
    "yellow": (255, 255, 0),
}
FILLED = {"square": 1.0, "circle": 0.785, "triangle": 0.5}  # of the smallest box around the shape


def see(half, shade):
    """Tell color, material, size and shape of the thing in one half of a picture from its pixels."""
    is_thing = np.abs(half.astype(int) - shade).max(axis=-1) > 60
    rows, columns = np.nonzero(is_thing.any(axis=1))[0], np.nonzero(is_thing.any(axis=0))[0]
    box = is_thing[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    filled_rows = box.any(axis=1)
    material = "solid" if filled_rows.all() else "striped"
    mean = np.median(half[is_thing], axis=0)
    color = min(PALETTE, key=lambda name: np.abs(mean - PALETTE[name]).sum())
    fill = box[filled_rows].mean()
    shape = min(FILLED, key=lambda name: abs(fill - FILLED[name]))
    return color, material, "large" if len(columns) > 20 else "small", shape


def test_pictures_show_what_the_scene_says():
    for image_id in image_ids("val", 200):
        scene = make_scene(0, image_id)
        pixels = np.asarray(decode_jpeg(encode_jpeg(scene)))
        for thing, half in zip(scene.things, (pixels[:, :32], pixels[:, 32:]), strict=True):
            assert see(half, scene.shade) == (thing.color, thing.material, thing.size, thing.shape), image_id


def deviation(share, expected, count):
    """Standard errors between a share and what it should be."""
    return abs(share - expected) / (expected * (1 - expected) / count) ** 0.5


@pytest.mark.parametrize(
    ("task", "answers"),
    [
        ("ChooseAttr", COLORS),
        ("ChooseCat", SHAPES),
        ("ChooseRel", ("left", "right")),
        ("CompareAttr", ("color", "material")),
        ("LogicalObj", ("yes", "no")),
    ],
)
def test_answers_are_balanced(many, task, answers):
    counts = Counter(question.answer for _, question in many[task])
    total = sum(counts.values())
    assert set(counts) == set(answers)
    for answer in answers:
        assert deviation(counts[answer] / total, 1 / len(answers), total) < 4


@pytest.mark.parametrize("task", ["ChooseAttr", "ChooseCat"])
def test_the_place_of_an_alternative_tells_nothing(many, task):
    asked = [(q.text.replace(",", "").rstrip("?").split(), q.answer) for _, q in many[task]]
    is_last = [words[-1] == answer for words, answer in asked]
    assert deviation(np.mean(is_last), 0.5, len(is_last)) < 4


def test_wrong_alternatives_come_from_the_other_thing(many):
    shown = []
    for scene, question in many["ChooseAttr"]:
        if scene.things[0].color != scene.things[1].color:
            words = set(re.findall(r"\w+", question.text))
            shown.append(all(thing.color in words for thing in scene.things))
    assert deviation(np.mean(shown), 0.6, len(shown)) < 4


def test_color_anywhere_in_the_image_does_not_answer_logical_questions(many):
    """The rule "yes if the color is in the image" fails on the hard negatives."""
    wrong = []
    for scene, question in many["LogicalObj"]:
        color = question.text.rstrip("?").split()[-1]
        wrong.append((color in {thing.color for thing in scene.things}) != (question.answer == "yes"))
    assert 0.1 < np.mean(wrong) < 0.25


def test_a_written_folder_is_left_alone_and_an_interrupted_one_is_completed(folder, tmp_path):
    path = tmp_path / "gqa"
    first = write_gqa_folder(path, images=2)
    assert first.written == len([p for p in path.rglob("*") if p.is_file()])
    assert write_gqa_folder(path, images=2).written == 0
    (path / "questions" / "val_balanced_questions.json").unlink()
    (path / "images" / ".1000000-9.jpg.partial").write_bytes(b"half")
    assert write_gqa_folder(path, images=2).written == 1
    assert len(read(path, "val_balanced_questions.json")) == 13


@pytest.mark.parametrize("name", ["notes.txt", "images/1000000.jpg"])
def test_other_content_is_refused(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("kept")
    with pytest.raises(FileExistsError, match=rf"new or empty folder.*{path.name} is not what would be written"):
        write_gqa_folder(tmp_path, images=2)
    assert path.read_text() == "kept"
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


def test_bad_arguments_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="is a file; choose another name"):
        write_gqa_folder(tmp_path / "file", images=2)
    with pytest.raises(ValueError, match="1 to 1000000 images, got 0"):
        write_gqa_folder(tmp_path / "new", images=0)
    with pytest.raises(ValueError, match=r"split.*'test'"):
        image_ids("test", 3)


def test_make_gqa_command(command_line, tmp_path):
    pid_extract = command_line("pid-extract", main)
    code, text, _ = pid_extract("make-gqa", "--out", tmp_path / "gqa", "--images", 4, "--seed", 3)
    assert code == 0
    assert "val: 26 questions about 4 images" in text
    assert len(read(tmp_path / "gqa", "val_balanced_questions.json")) == 26
    _, text, _ = pid_extract("make-gqa", "--out", tmp_path / "gqa", "--images", 4, "--seed", 3)
    assert "nothing to do" in text
    code, _, err = pid_extract("make-gqa", "--out", tmp_path / "gqa", "--images", 4, "--seed", 4)
    assert code == 1
    assert "choose another folder" in " ".join(err.split())
