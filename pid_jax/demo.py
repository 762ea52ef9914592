"""The demonstration: a small trained LLaVA on easy-VQA, from images to the page."""

import subprocess
import sys
from pathlib import Path

EDGES = "image-question"
WINDOWS = ("all", "0-2")


def demo_stores(folder: Path) -> list[Path]:
    """Where the stores of the demonstration are: the baseline first."""
    stores = folder / "stores"
    return [stores / "baseline", *(stores / f"{EDGES}@{window}" for window in WINDOWS)]


def extract_demo(folder: Path, per_task: int) -> list[Path]:
    """Extract the baseline and both knockouts with `pid-extract`, each in a process of its own.

    PyTorch and JAX meet only on disk. What is complete is reused; what was interrupted goes on.

    Args:
        folder: Output folder.
        per_task: Questions of each task, each about another image; there are 1000 images.

    Returns:
        The stores.

    Raises:
        RuntimeError: If an extraction fails.
    """
    baseline, *_ = paths = demo_stores(folder)
    data = ("--easy-vqa", "--one-per-image", "--per-task", str(per_task))
    _pid_extract("run", "--model", "tiny", *data, "--out", str(baseline))
    _pid_extract(
        "knockout",
        "--baseline",
        str(baseline),
        "--edges",
        EDGES,
        "--windows",
        ",".join(WINDOWS),
        "--out",
        str(baseline.parent),
    )
    return paths


def _pid_extract(*arguments: str) -> None:
    command = [sys.executable, "-m", "extraction.cli", *arguments]
    finished = subprocess.run(command, check=False)
    if finished.returncode:
        raise RuntimeError(
            f"`pid-extract {' '.join(arguments)}` failed with exit code {finished.returncode}; its message is above."
        )
