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
    _pid_extract_both(_knockout(stores, EDGES, ",".join(WINDOWS)), _decision(stores))
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
    options = ("--gqa", str(data), "--per-task", str(per_task), "--max-new-tokens", "2")
    first, second = ((model, folder / "stores" / model) for model in SMALL_MODELS)
    _pid_extract_both(*(("run", "--model", m, *options, "--out", str(at / "baseline")) for m, at in (first, second)))
    for edges in SMALL_EDGES:
        _pid_extract_both(*(_knockout(at, edges, SMALL_WINDOWS) for _, at in (first, second)))
    _pid_extract_both(*(_decision(at) for _, at in (first, second)))
    config = folder / SMALL_STUDY
    if not config.exists():
        write_text(config, files("pid_jax").joinpath(SMALL_STUDY).read_text(encoding="utf-8"))
    return config


def _knockout(stores: Path, edges: str, windows: str) -> tuple[str, ...]:
    return "knockout", *_from_baseline(stores), "--edges", edges, "--windows", windows


def _decision(stores: Path) -> tuple[str, ...]:
    return "decision", *_from_baseline(stores)


def _from_baseline(stores: Path) -> tuple[str, ...]:
    return "--baseline", str(stores / "baseline"), "--out", str(stores)


def _pid_extract(*arguments: str) -> None:
    _check(subprocess.run(_command(arguments), check=False).returncode, arguments)


def _pid_extract_both(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    """Run two commands at a time: the first tells how far it is; what the second has printed follows it."""
    with subprocess.Popen(
        _command(second), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
    ) as other:
        try:
            _pid_extract(*first)
            printed, _ = other.communicate()
        except BaseException:
            other.terminate()  # it keeps what is complete, as the first does
            raise
    print(printed, end="", flush=True)
    _check(other.returncode, second)


def _command(arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "extraction.cli", *arguments]


def _check(code: int, arguments: tuple[str, ...]) -> None:
    if code:
        raise RuntimeError(f"`pid-extract {' '.join(arguments)}` failed with exit code {code}; its message is above.")
