"""The files of a study: one of results for each target, and one of single questions for each answer."""

from collections.abc import Mapping
from pathlib import Path

from pid_jax.store.targets import ANSWERS, TARGETS
from pid_jax.study.questions import load_questions, save_questions
from pid_jax.study.results import load_study, save_study
from pid_jax.study.run import TargetStudy

RESULTS = "results.nc"
_QUESTIONS = "questions.nc"


def main_state(names: Mapping[str, object]) -> str | None:
    """Return the first target of a study that is a state, whose results are called `RESULTS`; None without any."""
    return next((name for name in names if name not in ANSWERS), None)


def results_file(name: str, names: Mapping[str, object]) -> str:
    """Return what the file with the results about a target is called."""
    return RESULTS if name == main_state(names) else f"{name}.nc"


def questions_file(name: str) -> str:
    """Return what the file with the questions of an answer is called."""
    return _QUESTIONS if name == "answer" else f"{name}-{_QUESTIONS}"


def save_studies(studies: Mapping[str, TargetStudy], folder: Path) -> list[Path]:
    """Write the results about every target, and the questions of every answer, each whole or not at all.

    Args:
        studies: By the names of their targets.
        folder: Where to.

    Returns:
        The files: `results.nc` for the first target that is a state, else the name of the target; and `questions.nc`.
    """
    written = []
    for name, one in studies.items():
        written.append(save_study(one.results, folder / results_file(name, studies)))
        if one.questions is not None:
            written.append(save_questions(one.questions, folder / questions_file(name)))
    return written


def load_studies(path: str | Path) -> dict[str, TargetStudy]:
    """Read all results of a folder, answers first, or those of one file, with the questions next to them.

    Args:
        path: A folder that `save_studies` wrote to, or a file in it.

    Raises:
        ValueError: If there is nothing, or a file holds something else.
    """
    path = Path(path)
    known = (*(f"{name}.nc" for name in ANSWERS), RESULTS, *(f"{name}.nc" for name in TARGETS))
    files = [path / name for name in known if (path / name).is_file()] if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{path} holds no results such as {RESULTS}: make them with `pid-jax study`.")
    studies = {}
    for file in files:
        results = load_study(file)
        name = str(results.attrs.get("target", "final-norm"))
        questions = file.parent / questions_file(name)
        is_there = name in ANSWERS and questions.is_file()
        studies[name] = TargetStudy(results=results, questions=load_questions(questions) if is_there else None)
    return studies
