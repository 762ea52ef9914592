"""The page and the figures of a study: when it is complete, and before."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pid_jax.runtime.console import fraction_bar, out, resumable, working

if TYPE_CHECKING:
    import xarray as xr

    from pid_jax.study.full import WholeStudy
    from pid_jax.study.run import TargetStudy

PAGE, FIGURES, CELLS = "report.html", "figures", "cells"


@dataclass
class Drawn:
    """Pages that were written before a study was complete.

    Attributes:
        is_there: Whether there is one.
    """

    is_there: bool = False


def draw_some(out_dir: Path, drawn: Drawn, tell: Callable[[str], None], found: "WholeStudy") -> None:
    """Write results and page of what has been found up to now."""
    from pid_jax.study.files import save_studies

    save_studies(found.targets, out_dir)
    page = _write_page(found.targets, None, out_dir, None)
    if not drawn.is_there:
        tell(f"First results: {page.resolve()}, which says what is missing and is rewritten as more is found.")
    drawn.is_there = True


def describe_stop(out_dir: Path, drawn: Drawn) -> str:
    """Say what a study that is stopped leaves, and how it resumes."""
    there = f" The page {out_dir / PAGE} has what was found, and says what is missing." if drawn.is_there else ""
    return f"Cells in {out_dir / CELLS} are kept: the same command resumes.{there}"


def _write_page(
    studies: Mapping[str, "TargetStudy"], decision: "xr.Dataset | None", out_dir: Path, paper: "xr.Dataset | None"
) -> Path:
    from pid_jax.report.page import write_report

    results = {name: one.results for name, one in studies.items()}
    questions = next((one.questions for one in studies.values() if one.questions is not None), None)
    return write_report(results, out_dir / PAGE, questions=questions, decision=decision, paper=paper)


def draw(
    studies: Mapping[str, "TargetStudy"],
    decision: "xr.Dataset | None",
    out_dir: Path,
    paper: "xr.Dataset | None",
    *,
    figures: str,
    folder: Path,
) -> None:
    """Write the page, which has all that the study says, and then the figures; `folder` has the results."""
    with working("Writing the page"):
        page = _write_page(studies, decision, out_dir, paper)
    out.print(f"Page: {page.resolve()}")
    with working("Planning the figures"):
        from pid_jax.plot.files import MAIN, choose_figures, save_missing, study_figures

        every = study_figures({name: one.results for name, one in studies.items()}, decision)
        chosen = choose_figures(every, figures)
    again = f"`pid-jax report {folder} --out {out_dir} --figures"
    if chosen:
        with (
            resumable(lambda: f"Results and page are complete; {again} {figures}` draws the figures that are missing."),
            fraction_bar("Drawing figures") as progress,
        ):
            written = save_missing(chosen, out_dir / FIGURES, progress)
        kept = f", {len(chosen) - len(written)} of them from before" if len(written) < len(chosen) else ""
        out.print(f"Figures: {out_dir / FIGURES} ({len(chosen)}{kept})")
    if figures == MAIN and len(chosen) < len(every):
        left = len(every) - len(chosen)
        out.print(f"{left} figures of single models are not drawn: {again} all`, or some by name, as 'trajectories-*'.")
