"""The wheel holds whatever the packages read at run time, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("pid_jax", "extraction")

pytestmark = pytest.mark.slow


def test_every_file_of_the_packages_is_in_the_wheel(tmp_path):
    pytest.importorskip("hatchling")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.split("/")[0] in PACKAGES}
    listed = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True)
    assert packed == set(listed.stdout.split())
    assert {f"{package}/py.typed" for package in PACKAGES} | {"pid_jax/__init__.pyi"} <= packed
    for ending in (".j2", ".css", ".js", "small_study.toml", "model.safetensors"):
        assert any(name.endswith(ending) for name in packed), ending
