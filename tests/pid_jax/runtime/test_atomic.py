"""Files are written whole or not at all."""

import errno
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pid_jax.runtime.files import TEMPORARY_SUFFIX, WriteError, atomic_write, encode_dataset, write_bytes, write_text
from pid_jax.store.folder import LocalFolder


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


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("step", ["mkdir", "write_bytes", "replace"])
def test_what_the_system_refuses_is_named_with_a_remedy(tmp_path, monkeypatch, number, step):
    def refuse(self, *arguments, **others):
        raise OSError(number, os.strerror(number))

    path = tmp_path / "file.txt"
    write_text(path, "old")
    with monkeypatch.context() as patch:
        patch.setattr(Path, step, refuse)
        with pytest.raises(WriteError) as caught:
            write_bytes(path, b"new")
    message = str(caught.value)
    assert message.startswith(f"{path} cannot be written ({os.strerror(number)}): ")
    assert "run the same command again" in message
    assert caught.value.errno == number
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def megabyte():
    """No file may be larger, as if the disk were full then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


LARGE = np.random.default_rng(0).standard_normal(200_000)
WRITERS = {
    "a.txt": lambda path: write_text(path, "x" * 1_600_000),
    "shard.safetensors": lambda path: LocalFolder(path.parent).write(path.name, [b"head", LARGE.data.cast("B")]),
    "results.nc": lambda path: write_bytes(path, encode_dataset(xr.Dataset({"a": ("x", LARGE)}))),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_ends_half_written_never_gets_its_name(tmp_path, megabyte, name):
    with pytest.raises(WriteError, match=rf"{name} cannot be written .*ulimit -f"):
        WRITERS[name](tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_is_really_full(small_disk, name):
    write_text(small_disk / "kept.txt", "x" * 400_000)
    with pytest.raises(WriteError) as caught:
        WRITERS[name](small_disk / name)
    assert caught.value.errno == errno.ENOSPC
    size = 1_600_004 if name.startswith("shard") else 1_600_000
    needed, free = re.findall(r"([\d.]+) [kM]B", str(caught.value))
    assert float(needed) == pytest.approx(size / 1e6, abs=0.06)
    assert float(free) == pytest.approx((2**20 - 400_000) / 1e3, abs=20)
    assert [path.name for path in small_disk.iterdir()] == ["kept.txt"]


def test_the_same_content_is_not_written_again(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    write_text(path, "text")
    os.utime(path, (0, 0))
    inode = path.stat().st_ino
    write_text(path, "text")
    assert path.stat().st_ino == inode
    assert path.stat().st_mtime > 0  # which file of a folder is the latest is told by its time
    write_text(path, "next")
    assert path.read_text() == "next"
    assert path.stat().st_ino != inode


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
        "import os, signal, sys; from pathlib import Path; from pid_jax.runtime.files import atomic_write\n"
        "with atomic_write(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=os.environ, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    (leftover,) = [file for file in tmp_path.iterdir() if file != path]
    assert leftover.name.endswith(TEMPORARY_SUFFIX)
