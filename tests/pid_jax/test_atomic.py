"""Files are written whole or not at all."""

import os
import signal
import subprocess
import sys

import pytest

from pid_jax.atomic import TEMPORARY_SUFFIX, atomic_write, write_text


def test_file_appears_whole_and_alone(tmp_path):
    path = tmp_path / "a" / "b" / "file.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.name.endswith(f".txt{TEMPORARY_SUFFIX}")
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def fail():
        with atomic_write(path) as temporary:
            temporary.write_text("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_body_that_writes_nothing_fails_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(FileNotFoundError), atomic_write(path):
        pass
    assert path.read_text() == "old"


def test_two_writers_do_not_share_a_temporary_file(tmp_path):
    path = tmp_path / "file.txt"
    with atomic_write(path) as first, atomic_write(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"


def test_text_is_utf_8(tmp_path):
    write_text(tmp_path / "file.txt", "Σ → λ")
    assert (tmp_path / "file.txt").read_bytes().decode("utf-8") == "Σ → λ"


def test_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")
    code = (
        "import os, signal, sys; from pathlib import Path; from pid_jax.atomic import atomic_write\n"
        "with atomic_write(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=os.environ, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    (leftover,) = [file for file in tmp_path.iterdir() if file != path]
    assert leftover.name.endswith(TEMPORARY_SUFFIX)
