"""Files of figures: which of a study's are drawn, and which are there already."""

import fnmatch
import hashlib
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import xarray as xr
from matplotlib.figure import Figure

from pid_jax.plot.catalog import PlannedFigure, planned_figures
from pid_jax.plot.decision import plot_decision
from pid_jax.plot.quantities import MOST_MODELS
from pid_jax.plot.style import figure_style
from pid_jax.runtime.files import atomic_write
from pid_jax.runtime.progress import Progress, no_progress
from pid_jax.study.cache import hash_json
from pid_jax.study.closure import code_digest
from pid_jax.study.files import main_state

PNG_DOTS_PER_INCH = 200
# Choices that are no names of figures.
MAIN, ALL, NONE = "main", "all", "none"
_DECISION = "decision"
# In the PNG, which is written after the PDF: a hash of all that both were drawn from.
_DIGEST = "pid_jax"
_LAST_CHUNK = b"IEND\xaeB`\x82"
_SHOWN_NAMES = 5


def study_figures(results: Mapping[str, xr.Dataset], decision: xr.Dataset | None = None) -> dict[str, PlannedFigure]:
    """List all figures of a study by the names of their files, in the order of the page.

    Names of figures about the first state are plain, those of other targets begin with the target, such as
    "answer-trajectories".

    Args:
        results: The datasets made by `pid_jax.study`, by the names of their targets.
        decision: The dataset of the models' own decisions, if there is one.
    """
    found: dict[str, PlannedFigure] = {}
    for name, own in results.items():
        prefix = "" if name == main_state(results) else f"{name}-"
        found |= {f"{prefix}{figure}": planned for figure, planned in planned_figures(own).items()}
    if decision is not None:
        found[_DECISION] = PlannedFigure(plot=plot_decision, results=decision)
    return found


def choose_figures(figures: Mapping[str, PlannedFigure], choice: str) -> dict[str, PlannedFigure]:
    """Choose some of the figures of a study.

    Args:
        figures: Those of `study_figures`.
        choice: "all"; "none"; "main" for those of the whole study and, where it has 6 models at most, of each model; or
            names of figures with commas, in which * stands for any characters, such as "trajectories-*".

    Raises:
        ValueError: If no figure has one of the names.
    """
    if choice == NONE:
        return {}
    if choice == ALL:
        return dict(figures)
    if choice == MAIN:
        models = {one.model for one in figures.values() if one.model}
        return {name: one for name, one in figures.items() if not one.model or len(models) <= MOST_MODELS}
    patterns = [pattern.strip() for pattern in choice.split(",")]
    for pattern in patterns:
        if not fnmatch.filter(figures, pattern):
            some = ", ".join(list(figures)[:_SHOWN_NAMES])
            raise ValueError(
                f"--figures needs {MAIN}, {ALL}, {NONE} or names of figures, got {pattern!r}, and none of "
                f"{len(figures)} has this name; there are {some}, ..."
            )
    return {name: one for name, one in figures.items() if any(fnmatch.fnmatch(name, one) for one in patterns)}


def save_missing(figures: Mapping[str, PlannedFigure], folder: Path, progress: Progress = no_progress) -> list[Path]:
    """Draw the figures that are not there yet, or were drawn from other numbers or by other code.

    A file appears under its name only when it is complete, so that drawing can be stopped at any moment and resumed.

    Args:
        figures: Figures by the names of their files.
        folder: For the files; made if it does not exist.
        progress: Called with figures done and all there are.

    Returns:
        The PNG files that were written.

    Raises:
        WriteError: If the disk is full or read-only.
    """
    written = []
    for number, (name, planned) in enumerate(figures.items()):
        progress(number, len(figures))
        path, digest = Path(folder) / f"{name}.png", _digest(planned)
        if not _is_saved(path, digest):
            written.append(save_figure(planned.build(), path, digest))
    progress(len(figures), len(figures))
    return written


def save_figures(results: xr.Dataset, directory: Path, *, prefix: str = "") -> dict[str, Path]:
    """Write every figure that the dataset has data for, as PNG (200 dots per inch) and as PDF.

    `planned_figures` says which those are and what they are called. Files that show the same already are left as they
    are. A file appears under its name only when it is complete.

    Args:
        results: the dataset made by `pid_jax.study`.
        directory: folder for the files; made if it does not exist.
        prefix: what names of files begin with, such as "answer-".

    Returns:
        The paths of the PNG files by figure name, in the order of a page; each PDF lies beside its PNG.

    Raises:
        ValueError: see `check_results`.
    """
    planned = planned_figures(results)
    save_missing({f"{prefix}{name}": one for name, one in planned.items()}, directory)
    return {name: Path(directory) / f"{prefix}{name}.png" for name in planned}


def save_figure(figure: Figure, path: Path, digest: str = "") -> Path:
    """Write a figure as PNG (200 dots per inch) to `path`, and as PDF next to it; files appear when complete.

    Args:
        figure: The figure.
        path: Of the PNG.
        digest: Hash of what it was drawn from, which the PNG keeps.
    """
    # No dates and no program names: the same numbers give the same bytes.
    metadata: dict[str, dict[str, str | None]] = {"pdf": {"CreationDate": None}, "png": {"Software": None}}
    if digest:
        metadata["png"][_DIGEST] = digest
    path.parent.mkdir(parents=True, exist_ok=True)
    with figure_style():  # one layout for both files
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    for suffix, about in metadata.items():
        with atomic_write(path.with_suffix(f".{suffix}")) as temporary, figure_style():
            figure.savefig(temporary, format=suffix, dpi=PNG_DOTS_PER_INCH, metadata=about)
    return path


def _digest(planned: PlannedFigure) -> str:
    """Hash what a figure is drawn from: numbers, names and attributes, the code, and the version of matplotlib."""
    content = hashlib.sha256()
    for name, variable in sorted(planned.results.variables.items(), key=lambda one: str(one[0])):
        values = variable.values
        is_text = values.dtype.kind in "OUS"
        content.update(repr((name, variable.dims, values.shape, "" if is_text else values.dtype.str)).encode())
        content.update(repr(values.tolist()).encode() if is_text else values.tobytes())
    about = [planned.plot.__module__, planned.plot.__name__, planned.measure, planned.results.attrs]
    return hash_json([content.hexdigest(), about, code_digest(("pid_jax.plot.files",)), mpl.__version__])


def _is_saved(path: Path, digest: str) -> bool:
    """Whether both files of a figure are there, drawn from the same; the hash is a text chunk of the PNG."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    is_same = f"tEXt{_DIGEST}\0{digest}".encode() in content and content.endswith(_LAST_CHUNK)
    return is_same and path.with_suffix(".pdf").is_file()
