"""Variables of an xarray Dataset, in memory or in a netCDF file, with their coordinates."""

from pathlib import Path
from typing import Any

from pid_jax.store.formats.array import LazyArray, reading


def open_netcdf(path: Path) -> dict[str, LazyArray]:
    """Open the variables and coordinates of a netCDF file."""
    import xarray as xr

    dataset = reading(str(path), lambda: xr.open_dataset(path), "write it again with xarray")
    return open_dataset(dataset, str(path))


def open_dataset(dataset: Any, where: str = "dataset") -> dict[str, LazyArray]:
    """Wrap the variables and coordinates of a dataset; its values are read when they are wanted."""
    return {str(name): _lazy(f"{where}/{name}", variable) for name, variable in dataset.variables.items()}


def _lazy(where: str, variable: Any) -> LazyArray:
    import numpy as np

    is_text = variable.dtype.kind in "OUST"

    def load(index: tuple[int | slice, ...]) -> Any:
        values = np.asarray(variable[index].values)
        return values.astype(np.str_) if is_text else values

    kind = np.dtype("U") if is_text else variable.dtype
    return LazyArray(where=where, shape=tuple(variable.shape), dtype=kind, load=load)


def dims_of(dataset: Any) -> dict[str, tuple[str, ...]]:
    """Return the names of the axes of every variable."""
    return {str(name): tuple(map(str, variable.dims)) for name, variable in dataset.variables.items()}
