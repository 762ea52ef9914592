"""Cells are made again when code changes that their numbers come from, and only then."""

import shutil
from pathlib import Path

import pytest

import pid_jax
from pid_jax.study import cache, closure


@pytest.fixture
def copied(tmp_path, monkeypatch) -> Path:
    package = Path(pid_jax.__file__).parent
    shutil.copytree(package, tmp_path / "pid_jax", ignore=shutil.ignore_patterns("__pycache__", "*.js", "*.css"))
    monkeypatch.setattr(closure, "_ROOT", tmp_path)
    return tmp_path / "pid_jax"


def digest() -> str:
    return closure.code_digest.__wrapped__(cache._COMPUTING)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_words_change_nothing(copied):
    before = digest()
    for place in ("cli/main.py", "report/page.py", "plot/windows.py", "study/metrics/verdicts.py"):
        edit(copied / place, "\n\n\n", "\n\nWORDS = 1\n\n")  # code that comes after the cells
    edit(copied / "flow/train.py", '"""', '"""Other words. ')
    edit(copied / "reduce/pca.py", "\n\n\n", "\n\n# a comment\n\n")
    assert digest() == before


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize(
    ("place", "old", "new"),
    [
        ("cli/main.py", "Decompose every task", "Estimate every task"),
        ("report/summary.py", "noticeably less", "clearly less"),
        ("plot/windows.py", "Outlined: outputs", "Frames: outputs"),
        ("study/run.py", "choose another one", "give another one"),
        ("estimate/samples.py", "needs a PIDSpec", "must be a PIDSpec"),
        ("study/cell.py", "leave the task out", "drop the task"),
    ],
)
def test_a_corrected_message_changes_nothing(copied, place, old, new):
    before = digest()
    edit(copied / place, old, new)
    assert digest() == before


def test_the_class_of_an_error_and_words_that_are_kept_count(copied):
    before = digest()
    edit(copied / "study/cell.py", "raise ValueError(", "raise TypeError(")
    changed = digest()
    assert changed != before
    edit(copied / "study/cell.py", '"rad"', '"degree"')  # a unit in the cell
    assert digest() != changed


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize(
    "place",
    ["flow/train.py", "bias/sampling.py", "study/cell.py", "study/make.py", "study/scores.py", "pid/__init__.py"],
)
def test_code_that_computes_cells_changes_them(copied, place):
    before = digest()
    (copied / place).write_text((copied / place).read_text() + "\nNUMBER = 1\n")
    assert digest() != before


def test_a_numeric_constant_changes_cells(copied):
    before = digest()
    edit(copied / "flow/block.py", "REACH = 4.0", "REACH = 4.5")
    assert digest() != before


def test_code_that_is_newly_imported_counts(copied):
    before = digest()
    edit(copied / "study/scores.py", "\nimport ", "\nimport pid_jax.plot.windows\nimport ")
    assert digest() != before
