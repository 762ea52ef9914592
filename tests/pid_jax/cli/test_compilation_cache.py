"""Compiled programs on disk: found again by the next process, damaged files and closed folders do no harm."""

import os
import subprocess
import sys
from pathlib import Path

CODE = """
from pid_jax.cli.compilation_cache import keep_compiled
folder = keep_compiled()
import jax, jax.numpy as jnp
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
print(folder)
print(float(jax.jit(lambda x: jnp.sin(x) @ jnp.cos(x).T)(jnp.eye(8)).sum()))
"""


def run(**variables: str) -> list[str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120, env=kept | variables
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def programs(folder: Path) -> dict[str, float]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.name.endswith("-cache")}


def test_programs_are_kept_and_a_damaged_one_is_made_anew(tmp_path):
    folder, number = run(XDG_CACHE_HOME=str(tmp_path))
    assert Path(folder).parent == tmp_path / "pid_jax" / "programs"
    first = programs(Path(folder))
    assert first
    assert run(XDG_CACHE_HOME=str(tmp_path)) == [folder, number]
    assert programs(Path(folder)) == first
    for name in first:
        file = Path(folder) / name
        file.write_bytes(file.read_bytes()[:20])
    assert run(XDG_CACHE_HOME=str(tmp_path)) == [folder, number]


def test_a_folder_named_by_the_user_is_left_alone(tmp_path):
    assert run(JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine"))[0] == str(tmp_path / "mine")


def test_a_folder_that_cannot_be_made_is_done_without(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    assert run(XDG_CACHE_HOME=str(tmp_path / "file"))[0] == "None"
