"""All figures of a study: what they are called, in the order of a page, and which of them a dataset has data for."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import xarray as xr
from matplotlib.figure import Figure

from pid_jax.plot import fingerprints, universes, verdicts
from pid_jax.plot.associations import plot_associations, shown_properties
from pid_jax.plot.diagnostics import plot_diagnostics
from pid_jax.plot.fingerprints import plot_fingerprints
from pid_jax.plot.gaussianizers import plot_gaussianizers
from pid_jax.plot.knockout import plot_knockout
from pid_jax.plot.measures import plot_measures
from pid_jax.plot.models import plot_models
from pid_jax.plot.quantities import CELLS, check_results, default_measure, names_of
from pid_jax.plot.shares import plot_shares
from pid_jax.plot.spectra import SPECTRA, plot_spectra
from pid_jax.plot.trajectories import plot_trajectories
from pid_jax.plot.universes import plot_universes
from pid_jax.plot.verdicts import plot_verdicts
from pid_jax.plot.windows import plot_windows
from pid_jax.study.results import one_model


@dataclass(frozen=True, kw_only=True)
class FigureKind:
    """A figure that a study may have.

    Attributes:
        build: Makes it from a study or one model of it, and the measure to show.
        applies: Tells whether there is data for it.
        of_model: Whether there is one for every model.
    """

    build: Callable[[xr.Dataset, str], Figure]
    applies: Callable[[xr.Dataset], bool]
    of_model: bool = True


@dataclass(frozen=True, kw_only=True)
class PlannedFigure:
    """A figure that a dataset has data for.

    Attributes:
        kind: Its name in `KINDS`.
        results: What it is made from: the study, or one model of it.
        measure: The measure to show.
    """

    kind: str
    results: xr.Dataset
    measure: str

    def build(self) -> Figure:
        """Make the figure."""
        return KINDS[self.kind].build(self.results, self.measure)


def _always(results: xr.Dataset) -> bool:
    return True


def _has(*names: str) -> Callable[[xr.Dataset], bool]:
    return lambda results: all(name in results.data_vars for name in names)


def _has_cuts(results: xr.Dataset) -> bool:
    return results.sizes["condition"] > 1


def _has_windows(results: xr.Dataset) -> bool:
    return _has_cuts(results) and "difference" in results


def _has_measures(results: xr.Dataset) -> bool:
    return results.sizes["measure"] > 1


def _has_maps(results: xr.Dataset) -> bool:
    return results.sizes.get("gaussianizer", 0) > 1


def _has_models(results: xr.Dataset) -> bool:
    return results.sizes["model"] > 1


def _has_universes(results: xr.Dataset) -> bool:
    return results.sizes.get("universe", 0) > 1 and _has(*universes.VARIABLES)(results)


def _has_spectra(results: xr.Dataset) -> bool:
    return any(name in results.data_vars for name in SPECTRA)


def _has_properties(results: xr.Dataset) -> bool:
    return bool(shown_properties(results))


KINDS = {
    "verdicts": FigureKind(
        build=lambda data, _: plot_verdicts(data), applies=_has(*verdicts.VARIABLES), of_model=False
    ),
    "universes": FigureKind(build=lambda data, _: plot_universes(data), applies=_has_universes, of_model=False),
    "trajectories": FigureKind(build=lambda data, measure: plot_trajectories(data, measure=measure), applies=_always),
    "models": FigureKind(
        build=lambda data, measure: plot_models(data, measure=measure), applies=_has_models, of_model=False
    ),
    "shares": FigureKind(build=lambda data, measure: plot_shares(data, measure=measure), applies=_always),
    "fingerprints": FigureKind(
        build=lambda data, _: plot_fingerprints(data), applies=_has(*fingerprints.VARIABLES), of_model=False
    ),
    "knockout": FigureKind(build=lambda data, measure: plot_knockout(data, measure=measure), applies=_has_cuts),
    "windows": FigureKind(build=lambda data, _: plot_windows(data), applies=_has_windows),
    "associations": FigureKind(build=lambda data, _: plot_associations(data), applies=_has_properties),
    "spectra": FigureKind(build=lambda data, _: plot_spectra(data), applies=_has_spectra),
    "measures": FigureKind(build=lambda data, _: plot_measures(data), applies=_has_measures),
    "gaussianizers": FigureKind(build=lambda data, _: plot_gaussianizers(data), applies=_has_maps),
    "diagnostics": FigureKind(
        build=lambda data, measure: plot_diagnostics(data, measure=measure),
        applies=_has("gap", "status", "n_samples"),
    ),
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
        for suffix, data in parts if figure.of_model else [("", results)]:
            if figure.applies(data):
                planned[f"{kind}{suffix}"] = PlannedFigure(kind=kind, results=data, measure=measure)
    return planned


def _parts(results: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
    """Cut out every model that has anything, with what its figures' names end in."""
    names = names_of(results, "model")
    for name, ending in zip(names, file_endings(names), strict=True):
        part = one_model(results, name)
        if part.sizes["condition"] and part.sizes["layer"]:
            yield ("" if len(names) == 1 else f"-{ending}"), part


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
