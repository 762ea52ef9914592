"""All arrays in a file, a folder, or an object in memory, by name."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pid_jax.store.formats import arrow, vlm_lens
from pid_jax.store.formats.array import FormatError, LazyArray, from_memory
from pid_jax.store.formats.hdf5 import open_hdf5
from pid_jax.store.formats.numpy_files import open_npy, open_npz
from pid_jax.store.formats.safetensors_file import open_safetensors
from pid_jax.store.formats.torch_file import open_torch
from pid_jax.store.formats.xarray_dataset import open_dataset, open_netcdf
from pid_jax.store.formats.zarr_store import is_zarr, open_zarr

OPENERS: dict[str, Callable[[Path], dict[str, LazyArray]]] = {
    ".npy": open_npy,
    ".npz": open_npz,
    **dict.fromkeys((".pt", ".pth"), open_torch),
    ".safetensors": open_safetensors,
    **dict.fromkeys((".h5", ".hdf5"), open_hdf5),
    ".nc": open_netcdf,
    ".zarr": open_zarr,
    **dict.fromkeys((*arrow.PARQUET, *arrow.ARROW), arrow.open_arrow),
    **dict.fromkeys(vlm_lens.SUFFIXES, vlm_lens.open_vlm_lens),
}
"""What opens a file, by its ending."""


def list_arrays(source: Any) -> dict[str, LazyArray]:
    """Find all arrays of a source, without reading their values.

    Args:
        source: A file or a folder with files of the kinds of `OPENERS`, also zarr stores; a mapping from names to
            arrays, which may be nested, such as an ActivationCache of TransformerLens; or an xarray Dataset.

    Returns:
        The arrays by name: the path of the file within the folder without its ending, and the name in the file, with
        slashes; of a single file its names alone.

    Raises:
        FormatError: If there is nothing that can be read, a file is damaged, or a package is missing.
        TypeError: If the source is of another kind.
    """
    if isinstance(source, str | Path):
        return _list_path(Path(source).expanduser())
    if hasattr(source, "data_vars") and hasattr(source, "variables"):
        return open_dataset(source)
    mapping = getattr(source, "cache_dict", source)
    if isinstance(mapping, Mapping):
        return _list_mapping(mapping, "")
    raise TypeError(f"source must be a path, a mapping of arrays or a Dataset, got {type(source).__name__}.")


def _list_mapping(mapping: Mapping[Any, Any], prefix: str) -> dict[str, LazyArray]:
    found: dict[str, LazyArray] = {}
    for key, value in mapping.items():
        name = f"{prefix}/{key}" if prefix else str(key)
        found |= _list_mapping(value, name) if isinstance(value, Mapping) else {name: from_memory(name, value)}
    if not found and not prefix:
        raise FormatError("source is an empty mapping, wanted arrays by name.")
    return found


def _list_path(path: Path) -> dict[str, LazyArray]:
    if not path.exists():
        raise FormatError(f"{path} does not exist: check the path.")
    if path.is_file() or is_zarr(path):
        return _open(path)
    found: dict[str, LazyArray] = {}
    files = _files(path)
    for file in files:
        stem = file.relative_to(path).with_suffix("").as_posix()
        for name, array in _open(file).items():
            whole = f"{stem}/{name}" if name else stem
            if whole in found:
                raise FormatError(f"{array.where} and {found[whole].where} have one name: keep one of them.")
            found[whole] = array
    if not found:
        raise FormatError(f"{path} holds no file of arrays, wanted one of {', '.join(OPENERS)}.")
    return found


def _files(folder: Path) -> list[Path]:
    """List the files of arrays below a folder, zarr stores as one; hidden ones are left out."""
    files = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if is_zarr(path) or (path.is_file() and path.suffix.lower() in OPENERS):
            files.append(path)
        elif path.is_dir():
            files += _files(path)
    return files


def _open(path: Path) -> dict[str, LazyArray]:
    if path.is_dir():
        return open_zarr(path)
    opener = OPENERS.get(path.suffix.lower())
    if opener is None:
        raise FormatError(f"{path} is of no kind that is read here, wanted one of {', '.join(OPENERS)}.")
    return opener(path)
