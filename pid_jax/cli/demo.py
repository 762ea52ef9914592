"""Small trained LLaVAs from images to stores: the demonstration on easy-VQA, and the study on generated scenes."""

import subprocess
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pid_jax.runtime.files import write_text

EDGES = "image-question"
WINDOWS = ("all", "0-2")
DECISIONS = ("question-only@cut", "image-only@cut")
SMALL_STUDY = "small_study.toml"
# Models of the small study, and what is cut.
SMALL_MODELS = ("tiny-gqa-8", "tiny-gqa-6")
SMALL_EDGES, SMALL_WINDOWS = ("image-question", "image-last", "question-last"), "all,sliding:3"


@dataclass(frozen=True, kw_only=True)
class DemoStores:
    """The stores of the demonstration.

    Attributes:
        baseline: The model as it is.
        knockouts: With attention cut.
        decision: With one modality absent.
    """

    baseline: Path
    knockouts: list[Path]
    decision: list[Path]


def extract_demo(folder: Path, per_task: int) -> DemoStores:
    """Extract baseline, knockouts and decisions with `pid-extract`, each in a process of its own.

    PyTorch and JAX meet only on disk. What is complete is reused; what was interrupted resumes.

    Args:
        folder: Output folder.
        per_task: Questions of each task, each about another image; there are 1000 images.

    Raises:
        RuntimeError: If an extraction fails.
    """
    stores = folder / "stores"
    baseline = stores / "baseline"
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
        str(stores),
    )
    _pid_extract("decision", "--baseline", str(baseline), "--out", str(stores))
    knockouts = [stores / f"{EDGES}@{window}" for window in WINDOWS]
    return DemoStores(baseline=baseline, knockouts=knockouts, decision=[stores / name for name in DECISIONS])


def extract_small_study(folder: Path, per_task: int) -> Path:
    """Extract two small LLaVAs on generated scenes with six tasks, whole and under knockouts in windows of blocks.

    Args:
        folder: Output folder. What is complete is reused; what was interrupted resumes.
        per_task: Questions of each task.

    Returns:
        The study file in the folder, a copy of the shipped one unless there is one already.

    Raises:
        RuntimeError: If an extraction fails.
    """
    data = folder / "gqa"
    _pid_extract("make-gqa", "--out", str(data))  # writes what is missing
    for model in SMALL_MODELS:
        stores = folder / "stores" / model
        options = ("--per-task", str(per_task), "--max-new-tokens", "2")
        _pid_extract("run", "--model", model, "--gqa", str(data), *options, "--out", str(stores / "baseline"))
        given = ("--baseline", str(stores / "baseline"), "--windows", SMALL_WINDOWS, "--out", str(stores))
        for edges in SMALL_EDGES:
            _pid_extract("knockout", *given, "--edges", edges)
        _pid_extract("decision", "--baseline", str(stores / "baseline"), "--out", str(stores))
    config = folder / SMALL_STUDY
    if not config.exists():
        write_text(config, files("pid_jax").joinpath(SMALL_STUDY).read_text(encoding="utf-8"))
    return config


def _pid_extract(*arguments: str) -> None:
    command = [sys.executable, "-m", "extraction.cli", *arguments]
    finished = subprocess.run(command, check=False)
    if finished.returncode:
        raise RuntimeError(
            f"`pid-extract {' '.join(arguments)}` failed with exit code {finished.returncode}; its message is above."
        )
