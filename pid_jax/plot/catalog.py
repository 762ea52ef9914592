"""All figures of a study, in the order of a page: their names and files, and which of them a dataset has data for."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import xarray as xr
from matplotlib.figure import Figure

from pid_jax.plot import claims_by_measure, fingerprints, universes, verdicts
from pid_jax.plot.associations import plot_associations, shown_properties
from pid_jax.plot.claims_by_measure import plot_claims_by_measure
from pid_jax.plot.diagnostics import plot_diagnostics
from pid_jax.plot.fingerprints import plot_fingerprints
from pid_jax.plot.information import plot_information
from pid_jax.plot.knockout import plot_knockout
from pid_jax.plot.models import plot_models
from pid_jax.plot.quantities import CELLS, check_results, default_measure, names_of
from pid_jax.plot.shares import plot_shares
from pid_jax.plot.spectra import SPECTRA, plot_spectra
from pid_jax.plot.style import SMALL_TEXT_SIZE, figure_style
from pid_jax.plot.trajectories import plot_gaussianizers, plot_measures, plot_trajectories
from pid_jax.plot.universes import plot_universes
from pid_jax.plot.verdicts import plot_verdicts
from pid_jax.plot.windows import plot_windows
from pid_jax.study.results import about, is_about_answer, one_model


@dataclass(frozen=True, kw_only=True)
class FigureKind:
    """A figure that a study may have.

    Attributes:
        plot: Makes it from a study or one model of it.
        applies: Tells whether there is data for it.
        of_model: Whether there is one for every model.
        has_measure: Whether it shows one measure, which can be chosen.
        says_target: Whether its own labels say what the information is about.
    """

    plot: Callable[..., Figure]
    applies: Callable[[xr.Dataset], bool] = lambda results: True
    of_model: bool = True
    has_measure: bool = False
    says_target: bool = False


@dataclass(frozen=True, kw_only=True)
class PlannedFigure:
    """A figure that a dataset has data for.

    Attributes:
        plot: Makes it.
        results: What it is made from: the study, or one model of it.
        kind: Its name in `KINDS`, "" for one of another dataset.
        measure: The measure to show, "" where it shows all, or none.
        model: The model that it is of, "" for one of the whole study.
        has_own_target: Whether its own labels say what the information is about.
    """

    plot: Callable[..., Figure]
    results: xr.Dataset
    kind: str = ""
    measure: str = ""
    model: str = ""
    has_own_target: bool = True

    def build(self) -> Figure:
        """Make the figure."""
        figure = self.plot(self.results, **({"measure": self.measure} if self.measure else {}))
        if "target" in self.results.attrs and not self.has_own_target:
            with figure_style():
                figure.supylabel(f"information about {about(self.results)}", fontsize=SMALL_TEXT_SIZE)
        return figure


def _has(*names: str, several: str = "") -> Callable[[xr.Dataset], bool]:
    """Ask whether a dataset has some variables, and more than one entry of a dimension if one is named."""
    return lambda data: set(names) <= set(data.data_vars) and (not several or data.sizes.get(several, 0) > 1)


KINDS = {
    "information": FigureKind(plot=plot_information, applies=is_about_answer, has_measure=True, says_target=True),
    "verdicts": FigureKind(plot=plot_verdicts, applies=_has(*verdicts.VARIABLES), of_model=False, says_target=True),
    "claims-by-measure": FigureKind(
        plot=plot_claims_by_measure, applies=_has(*claims_by_measure.VARIABLES), of_model=False
    ),
    "universes": FigureKind(
        plot=plot_universes, applies=_has(*universes.VARIABLES, several="universe"), of_model=False
    ),
    "trajectories": FigureKind(plot=plot_trajectories, has_measure=True, says_target=True),
    "models": FigureKind(
        plot=plot_models, applies=_has(several="model"), of_model=False, has_measure=True, says_target=True
    ),
    "shares": FigureKind(plot=plot_shares, has_measure=True),
    "fingerprints": FigureKind(plot=plot_fingerprints, applies=_has(*fingerprints.VARIABLES), of_model=False),
    "knockout": FigureKind(plot=plot_knockout, applies=_has(several="condition"), has_measure=True),
    "windows": FigureKind(plot=plot_windows, applies=_has("difference", several="condition")),
    "associations": FigureKind(plot=plot_associations, applies=lambda data: bool(shown_properties(data))),
    "spectra": FigureKind(plot=plot_spectra, applies=lambda data: any(name in data for name in SPECTRA)),
    "measures": FigureKind(plot=plot_measures, applies=_has(several="measure"), says_target=True),
    "gaussianizers": FigureKind(plot=plot_gaussianizers, applies=_has(several="gaussianizer"), says_target=True),
    "diagnostics": FigureKind(plot=plot_diagnostics, applies=_has("gap", "status", "n_samples"), has_measure=True),
}


def planned_figures(results: xr.Dataset) -> dict[str, PlannedFigure]:
    """List the figures that the dataset has data for, in the order of a page.

    BROJA is shown where it was computed, else the first measure. A figure of a model is called NAME-MODEL, or NAME
    where there is one model only; what cannot stand in the name of a file becomes a hyphen.

    Args:
        results: the dataset made by `pid_jax.study`.

    Returns:
        Figures by name.

    Raises:
        ValueError: see `check_results`.
    """
    check_results(results, dimensions=("model", *CELLS))
    measure = default_measure(results)
    parts = list(_parts(results))
    planned = {}
    for kind, figure in KINDS.items():
        for name, suffix, data in parts if figure.of_model else [("", "", results)]:
            if figure.applies(data):
                planned[f"{kind}{suffix}"] = PlannedFigure(
                    plot=figure.plot,
                    results=data,
                    kind=kind,
                    measure=measure if figure.has_measure else "",
                    model=name,
                    has_own_target=figure.says_target,
                )
    return planned


def _parts(results: xr.Dataset) -> Iterator[tuple[str, str, xr.Dataset]]:
    """Cut out every model that has anything, with its name and what its figures' names end in."""
    names = names_of(results, "model")
    for name, ending in zip(names, file_endings(names), strict=True):
        part = one_model(results, name)
        if part.sizes["condition"] and part.sizes["layer"]:
            yield name, ("" if len(names) == 1 else f"-{ending}"), part


def file_endings(names: list[str]) -> list[str]:
    """Turn names into parts of file names, each once, also where upper and lower case are the same."""
    endings: list[str] = []
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model"
        ending, count = plain, 2
        while ending.lower() in [other.lower() for other in endings]:
            ending, count = f"{plain}-{count}", count + 1
        endings.append(ending)
    return endings
