"""Writing the figures of a study to a folder."""

from pathlib import Path

import xarray as xr
from matplotlib.figure import Figure

from pid_jax.plot.catalog import planned_figures
from pid_jax.plot.style import figure_style
from pid_jax.runtime.files import atomic_write

PNG_DOTS_PER_INCH = 200
# No dates and no program names: the same numbers give the same bytes.
_METADATA: dict[str, dict[str, None]] = {"png": {"Software": None}, "pdf": {"CreationDate": None}}


def save_figures(results: xr.Dataset, directory: Path) -> dict[str, Path]:
    """Write every figure that the dataset has data for, as PNG (200 dots per inch) and as PDF.

    `planned_figures` says which those are and what they are called. A file appears under its name only when it is
    complete.

    Args:
        results: the dataset made by `pid_jax.study`.
        directory: folder for the files; made if it does not exist.

    Returns:
        The paths of the PNG files by figure name, in the order of a page; each PDF lies beside its PNG.

    Raises:
        ValueError: see `check_results`.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, planned in planned_figures(results).items():
        figure = planned.build()
        with figure_style():  # one layout for both files
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        for suffix in ("pdf", "png"):
            paths[name] = directory / f"{name}.{suffix}"
            _write_figure(figure, paths[name], suffix)
    return paths


def _write_figure(figure: Figure, path: Path, suffix: str) -> None:
    """Write one file, whole or not at all."""
    with atomic_write(path) as temporary, figure_style():
        figure.savefig(temporary, format=suffix, dpi=PNG_DOTS_PER_INCH, metadata=_METADATA[suffix])
