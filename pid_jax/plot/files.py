"""Writing the figures of a study to a folder."""

from collections.abc import Callable
from pathlib import Path

import xarray as xr
from matplotlib.figure import Figure

from pid_jax.atomic import atomic_write
from pid_jax.plot.gaussianizers import plot_gaussianizers
from pid_jax.plot.knockout import plot_knockout
from pid_jax.plot.measures import plot_measures
from pid_jax.plot.quantities import MEASURE_NAMES, check_results, default_measure
from pid_jax.plot.shares import plot_shares
from pid_jax.plot.style import figure_style
from pid_jax.plot.trajectories import plot_trajectories

PNG_DOTS_PER_INCH = 200
# No dates and no program names: the same numbers give the same bytes.
_METADATA: dict[str, dict[str, None]] = {"png": {"Software": None}, "pdf": {"CreationDate": None}}


def save_figures(results: xr.Dataset, directory: Path) -> dict[str, Path]:
    """Write every figure that the dataset allows, as PNG (200 dots per inch) and as PDF.

    BROJA is shown where it was computed, else the first measure. Without a knockout there is no "knockout" figure,
    without both measures no "measures" figure, with one map only no "gaussianizers" figure. A file appears under its
    name only when it is complete.

    Args:
        results: the dataset made by `pid_jax.study`.
        directory: folder for the files; made if it does not exist.

    Returns:
        The paths of the PNG files by figure name; each PDF lies beside its PNG.

    Raises:
        ValueError: see `check_results`.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, build in _applicable(results).items():
        figure = build()
        with figure_style():  # one layout for both files
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        for suffix in ("pdf", "png"):
            paths[name] = directory / f"{name}.{suffix}"
            _write_figure(figure, paths[name], suffix)
    return paths


def _applicable(results: xr.Dataset) -> dict[str, Callable[[], Figure]]:
    """Choose the figures that the dataset has data for."""
    check_results(results)
    measure = default_measure(results)
    figures: dict[str, Callable[[], Figure]] = {
        "trajectories": lambda: plot_trajectories(results, measure=measure),
        "shares": lambda: plot_shares(results, measure=measure),
    }
    if results.sizes["condition"] > 1:
        figures["knockout"] = lambda: plot_knockout(results, measure=measure)
    if set(MEASURE_NAMES) <= {str(name) for name in results["measure"].values}:
        figures["measures"] = lambda: plot_measures(results)
    if results.sizes.get("gaussianizer", 0) > 1:
        figures["gaussianizers"] = lambda: plot_gaussianizers(results)
    return figures


def _write_figure(figure: Figure, path: Path, suffix: str) -> None:
    """Write one file, whole or not at all."""
    with atomic_write(path) as temporary, figure_style():
        figure.savefig(temporary, format=suffix, dpi=PNG_DOTS_PER_INCH, metadata=_METADATA[suffix])
