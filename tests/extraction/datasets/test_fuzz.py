"""Hundreds of malformed inputs among good samples: the run completes, each of them is a recorded failure with a reason,
each good sample is a row, and no file outside of the data is opened.

Not an error is what PIL turns into an RGB image all the same: CMYK, palettes, 16 bits, transparency, and flipped bits
that only change pixels.
"""

import json
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from extraction.cli.main import main
from pid_jax.store import ActivationStore
from tests.extraction import malformed
from tests.extraction.datasets.test_gqa import question

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
STAGES = {"record", "image", "prompt", "length"}
_opened: list[str] | None = None


def _note_open(event, arguments):
    if _opened is not None and event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        _opened.append(os.fsdecode(arguments[0]))


sys.addaudithook(_note_open)  # cannot be removed; does nothing unless a test listens


@pytest.fixture
def opened():
    """Paths of all files that are opened during the test."""
    global _opened
    _opened = []
    yield _opened
    _opened = None


@pytest.fixture
def pid_extract(command_line):
    return command_line("pid-extract", main)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "outside"
    folder.mkdir()
    Image.new("RGB", (64, 64), "red").save(folder / "canary.png")
    return folder


def _extract(pid_extract, out, *arguments):
    code, _, err = pid_extract("run", *arguments, "--out", out, "--shard-size", 64, "--max-new-tokens", 2)
    assert code == 0, err
    store = ActivationStore.open(out)
    assert store.verify() == []
    for failure in store.failures:
        assert failure.stage in STAGES, failure
        assert len(failure.message) > 10, failure
        assert failure.message.isprintable(), failure
        assert " at 0x" not in failure.message, "shards would differ from run to run"
        assert failure.id in err
    return store


def _assert_closed(opened, outside, inside):
    """Nothing outside of the data was opened; the modules and the model are not data."""
    assert str(inside) in opened, "the hook must see the images that are opened"
    forbidden = (
        str(outside),
        "/etc/passwd",
        "/dev/zero",
        "/dev/stdin",
        "/dev/fd",
        "/proc/self/environ",
        "/proc/self/mem",
    )
    assert not [path for path in opened if path.startswith(forbidden)]
    assert not [path for path in opened if path.endswith((".zip/a.png", "pipe.png", "folder.png", "canary.png"))]


def _good_images(folder):
    """What is unusual, but an image."""
    picture = Image.frombytes("RGB", (64, 48), malformed.encoded("bmp", (64, 48))[54:][: 64 * 48 * 3])
    made = {"good.png": picture, "cmyk.jpg": picture.convert("CMYK"), "palette.gif": picture.convert("P")}
    made |= {"alpha.png": picture.convert("RGBA"), "gray.png": picture.convert("L"), "png.jpg": picture}
    made |= {
        "sixteen.png": picture.convert("L").convert("I;16"),
        "bits.tiff": picture.convert("1"),
        "two.png": picture.resize((2, 2)),
    }
    for name, image in made.items():
        image.save(folder / name, "PNG" if name == "png.jpg" else None)
    return list(made)


def _write_files(folder, files):
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return list(files)


def test_malformed_inputs_are_recorded_and_good_ones_are_rows(pid_extract, data, outside, opened, tmp_path):
    text = {"question": "what is this ?", "answer": "red", "task": "what"}
    good = [text | {"id": f"g{i:02d}", "image": name} for i, name in enumerate(_good_images(data) * 3)]
    asked = (
        "what is {q} ?",
        "{q}",
        "{} {0} %s $x",
        "what\tis\nthis ?",
        "wh\u00e4t \U0001f600 \u200b\u202e?",
        "a" * 9_999,
    )
    good += [text | {"id": f"q{i}", "image": "good.png", "question": q} for i, q in enumerate(asked)]
    files = malformed.truncated() | malformed.bombs() | malformed.odd_sizes() | malformed.no_images()
    names = _write_files(data, files) + malformed.names_of_nothing(data, outside)
    bad = [text | {"image": name} for name in names]
    bad += [text | {"image": "good.png", "question": q} for q in malformed.questions()] + malformed.records()
    bad = [record | {"id": f"b{i:03d}"} for i, record in enumerate(bad)]
    either = _write_files(data, malformed.flipped(60))
    either = [text | {"image": name, "id": f"e{i:02d}"} for i, name in enumerate(either)]

    lines = [(json.dumps(record).encode(), record["id"]) for record in [*bad, *either]]
    lines += [(line, "") for line in malformed.lines()]
    lines = [(json.dumps(record).encode(), record["id"]) for record in good] + lines
    step = 37  # mixes them; has no divisor in common with their number
    lines = [lines[i * step % len(lines)] for i in range(len(lines))]
    assert len({name for _, name in lines}) == len(good) + len(bad) + len(either) + 1
    first = next(i for i, (_, name) in enumerate(lines) if name == "g00")
    lines.insert(0, lines.pop(first))  # before the line that repeats its id
    (data / "data.jsonl").write_bytes(b"\n".join(line for line, _ in lines))
    expected = {name or f"line-{number:06d}" for number, (_, name) in enumerate(lines, 1)}

    opened.clear()
    store = _extract(pid_extract, tmp_path / "store", "--jsonl", data / "data.jsonl")

    failed, rows = {failure.id for failure in store.failures}, set(store.ids.tolist())
    flipped = {record["id"] for record in either}
    assert failed | rows == expected
    assert not failed & rows
    assert rows - flipped == {record["id"] for record in good}
    assert len(failed - flipped) >= 300
    assert failed & flipped
    assert rows & flipped
    stored = dict(zip(store.ids.tolist(), store.columns["question"].tolist(), strict=True))
    assert [stored[f"q{i}"] for i in range(len(asked))] == list(asked)
    _assert_closed(opened, outside, data / "good.png")


def test_malformed_gqa(pid_extract, data, outside, opened, tmp_path):
    (data / "images").mkdir()
    (data / "questions").mkdir()
    Image.new("RGB", (64, 64), "blue").save(data / "images" / "1.jpg")
    Image.new("RGB", (64, 64), "blue").save(outside / "2.jpg")
    (data / "images" / "link.jpg").symlink_to(outside / "2.jpg")
    (data / "images" / "folder.jpg").mkdir()
    os.mkfifo(data / "images" / "pipe.jpg")
    ids = ("../../outside/2", str(outside / "2"), "link", "folder", "pipe", "", ".", "/etc/passwd", "a\0", "a" * 5000)
    bad = [question(image=name) for name in ids]
    bad += [question() | {field: value} for field in ("imageId", "question", "answer") for value in malformed.NOT_TEXT]
    bad += [question() | {"types": value} for value in (*malformed.NOT_TEXT, "choose", {"structural": "choose"})]
    bad += [question(question=text) for text in malformed.questions()]
    records = {f"b{i:03d}": record for i, record in enumerate(bad)}
    records |= {f"g{i}": question(task) for i, task in enumerate(("ChooseAttr", "ChooseCat", "QueryAttr"))}
    records |= {"other": question("other"), "b-none": None, "b-list": [], "b-text": "x"}
    path = Path(data / "questions" / "val_balanced_questions.json")
    path.write_text(json.dumps(records))

    opened.clear()
    store = _extract(pid_extract, tmp_path / "store", "--gqa", data)

    assert store.ids.tolist() == ["g0", "g1", "g2"]
    assert {failure.id for failure in store.failures} == {name for name in records if name.startswith("b")}
    _assert_closed(opened, outside, data / "images" / "1.jpg")
