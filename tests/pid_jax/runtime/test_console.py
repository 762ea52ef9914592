"""What command lines say of their progress where there is no terminal."""

import time

import pytest

from pid_jax.runtime import console


@pytest.fixture
def lines(monkeypatch, capsys):
    monkeypatch.setattr(console, "LINE_SECONDS", 0.02)
    return lambda: capsys.readouterr().err.splitlines()


def test_a_log_gets_lines_while_steps_are_taken(lines):
    with console.fraction_bar("Solving") as progress:
        for done in (1, 2):
            progress(done, 4)
            time.sleep(0.1)
        before = lines()
        progress(4, 4)
    assert before[0].startswith("Solving: 25 %, 0:00:00 passed")
    assert any(line.startswith("Solving: 50 %") for line in before)
    assert lines()[-1].startswith("Solving: 100 %")


@pytest.mark.parametrize("bar", [console.fraction_bar, console.working, lambda text: console.progress_bar(text, 3)])
def test_a_log_gets_lines_while_nothing_is_told(lines, bar):
    with bar("Waiting"):
        time.sleep(0.1)
        assert len(lines()) >= 2


def test_what_is_not_shown_prints_nothing(lines):
    with console.progress_bar("Extracting", 2, is_shown=False) as advance:
        advance(2)
        time.sleep(0.1)
    assert lines() == []


def test_an_error_is_not_the_end_of_the_work(lines):
    with pytest.raises(ValueError, match="stop"), console.working("Loading"):
        raise ValueError("stop")
    assert lines() == []
