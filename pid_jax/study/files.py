"""The files of a study: results of each target, single questions of each answer, and the models' own decisions."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from pid_jax.store.targets import ANSWERS, TARGETS
from pid_jax.study.decision_results import load_decision, save_decision
from pid_jax.study.questions import load_questions, save_questions
from pid_jax.study.results import load_study, save_study
from pid_jax.study.run import TargetStudy

RESULTS = "results.nc"
DECISION = "decision.nc"
PAPER = "paper.nc"
_QUESTIONS = "questions.nc"
# Answers first; this is the order of the page.
_KNOWN = (*(f"{name}.nc" for name in ANSWERS), RESULTS, *(f"{name}.nc" for name in TARGETS))


@dataclass(frozen=True, kw_only=True)
class SavedStudy:
    """What a folder holds of one study.

    Attributes:
        targets: By the names of the targets.
        decision: The models' own decisions; None if they were not studied.
        paper: What the settings of arXiv 2602.15580 find; None if they were not asked for.
        notes: A line on every file that belongs to another study, and is left out.
    """

    targets: dict[str, TargetStudy]
    decision: xr.Dataset | None = None
    paper: xr.Dataset | None = None
    notes: tuple[str, ...] = ()


def main_state(names: Mapping[str, object]) -> str | None:
    """Return the first target of a study that is a state, whose results are called `RESULTS`; None without any."""
    return next((name for name in names if name not in ANSWERS), None)


def results_file(name: str, names: Mapping[str, object]) -> str:
    """Return the name of the file with the results about a target."""
    return RESULTS if name == main_state(names) else f"{name}.nc"


def questions_file(name: str) -> str:
    """Return the name of the file with the questions of an answer."""
    return _QUESTIONS if name == "answer" else f"{name}-{_QUESTIONS}"


def save_studies(
    studies: Mapping[str, TargetStudy],
    folder: Path,
    *,
    decision: xr.Dataset | None = None,
    paper: xr.Dataset | None = None,
) -> list[Path]:
    """Write the results about every target, and the questions of every answer, each whole or not at all.

    Args:
        studies: By the names of their targets.
        folder: Where to.
        decision: The models' own decisions, if they were studied.
        paper: What the settings of arXiv 2602.15580 find, if they were asked for.

    Returns:
        The files: `results.nc` for the first target that is a state, else the name of the target; `questions.nc`;
        `decision.nc`; and `paper.nc`.
    """
    written = []
    for name, one in studies.items():
        written.append(save_study(one.results, folder / results_file(name, studies)))
        if one.questions is not None:
            written.append(save_questions(one.questions, folder / questions_file(name)))
    if decision is not None:
        written.append(save_decision(decision, folder / DECISION))
    if paper is not None:
        written.append(save_study(paper, folder / PAPER))
    return written


def load_studies(path: str | Path) -> dict[str, TargetStudy]:
    """Read all results of a folder, answers first, or those of one file, with the questions next to them.

    Args:
        path: A folder that `save_studies` wrote to, or a file in it.

    Raises:
        ValueError: If there is nothing, or a file holds something else.
    """
    return load_folder(path).targets


def load_folder(path: str | Path) -> SavedStudy:
    """Read the study that a folder holds, or the results of one file with the questions next to them.

    A folder may hold files of an earlier study too, whose targets, settings or stores were others. All files of one
    study have the attribute `study` in common; where there are several studies, that of the file written last counts.

    Args:
        path: A folder that `save_studies` wrote to, or a file in it.

    Raises:
        ValueError: If there is nothing, or a file holds something else.
    """
    path = Path(path)
    if not path.is_dir():
        studies, notes = _load([path])
        return SavedStudy(targets=studies, notes=tuple(notes))
    kept, lines = _sort(path)
    files = [file for file in kept if file.name in _names(path)]
    if not files:
        raise ValueError(f"{path} holds no results such as {RESULTS}: make them with `pid-jax study`.")
    studies, notes = _load(files)
    decision = load_decision(path / DECISION) if path / DECISION in kept else None
    paper = load_study(path / PAPER) if path / PAPER in kept else None
    return SavedStudy(targets=studies, decision=decision, paper=paper, notes=(*lines, *notes))


def describe_others(folder: Path) -> list[str]:
    """Return a line on every file of a folder that belongs to another study than the file written last."""
    return _sort(folder)[1]


def _names(folder: Path) -> tuple[str, ...]:
    """Return the names that files of results may have in a folder, in the order of the page."""
    return (*_KNOWN, *sorted(file.name for file in folder.glob("state-*.nc")))


def _load(files: list[Path]) -> tuple[dict[str, TargetStudy], list[str]]:
    """Read results with their questions, and return a line on questions of another study."""
    studies, notes = {}, []
    for file in files:
        results = load_study(file)
        name = str(results.attrs.get("target", "final-norm"))
        path = file.parent / questions_file(name)
        questions = load_questions(path) if name in ANSWERS and path.is_file() else None
        if questions is not None and questions.attrs.get("study", "") != results.attrs.get("study", ""):
            notes.append(_describe(path, file))
            questions = None
        studies[name] = TargetStudy(results=results, questions=questions)
    return studies, notes


def _sort(folder: Path) -> tuple[list[Path], list[str]]:
    """Find the files of the study that was written last, and describe those of others."""
    there = [folder / name for name in (*_names(folder), DECISION, PAPER) if (folder / name).is_file()]
    if not there:
        return [], []
    identities = {file: _identity(file) for file in there}
    latest = max(there, key=lambda file: file.stat().st_mtime_ns)
    kept = [file for file in there if identities[file] == identities[latest]]
    return kept, [_describe(file, latest) for file in there if file not in kept]


def _describe(file: Path, latest: Path) -> str:
    return (
        f"{file} is of another study than {latest.name}, which was written later, with other targets, settings or "
        f"stores: it is left out, with its figures. Delete it, or see it alone by `pid-jax report {file}`."
    )


def _identity(file: Path) -> str:
    """Read which study a file belongs to; "" if it does not say so."""
    try:
        with xr.open_dataset(file, engine="h5netcdf") as opened:
            return str(opened.attrs.get("study", ""))
    except (OSError, KeyError, RuntimeError):  # damaged: whoever reads it says so
        return ""
