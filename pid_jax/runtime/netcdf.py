"""Labelled datasets on disk."""

from pathlib import Path

import xarray as xr


def encode_dataset(data: xr.Dataset) -> bytes:
    """Write a dataset as the bytes of a netCDF file.

    They are made in memory, since HDF5 that meets a full disk may end the whole process.
    """
    return bytes(data.to_netcdf(engine="h5netcdf"))


def read_dataset(path: str | Path, schema: str, writer: str) -> xr.Dataset:
    """Read a netCDF file into memory.

    Args:
        path: The file.
        schema: What its attribute `schema` must say.
        writer: What writes such files, for the error.

    Raises:
        ValueError: If the file is missing or holds something else.
    """
    try:
        with xr.open_dataset(path, engine="h5netcdf") as opened:
            data = opened.load()
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist: make it with {writer}.") from None
    except (OSError, KeyError, RuntimeError) as error:  # the latter two from inside of damaged files
        raise ValueError(f"{path} is no netCDF file that can be read ({error}): make it anew with {writer}.") from error
    found = data.attrs.get("schema", "no schema")
    if found != schema:
        raise ValueError(f"{path} holds {found!r}, wanted {schema!r}: make it with {writer}.")
    return data
