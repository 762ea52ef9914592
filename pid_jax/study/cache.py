"""Cells of a study as bytes: on disk one file each, named by the hash of all it depends on; and between processes."""

import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pid_jax.estimate.gaussianize import record_of
from pid_jax.pid.registry import measure_of
from pid_jax.runtime.files import write_bytes
from pid_jax.runtime.processes import Processes
from pid_jax.settings.estimate import spec_to_dict
from pid_jax.store import Activations
from pid_jax.store.folder import LocalFolder
from pid_jax.store.readout import READOUT
from pid_jax.store.shard import StoreError
from pid_jax.store.targets import Answer, FinalNorm, State
from pid_jax.study.closure import code_digest, describe_definition
from pid_jax.study.model import StudyModel, TaskRows
from pid_jax.study.spec import StudySpec

SCHEMA = "pid_jax.study_cell/3"
_PACKAGES = ("pid_jax", "jax", "jaxlib", "numpy", "scipy", "xarray", "distrax", "flax", "numpyro", "optax")
# The modules that compute cells and those of decisions, with all that they import.
_COMPUTING = ("pid_jax.study.make",)
_DECIDING = ("pid_jax.study.decide",)
# Settings that decide which samples there are, and those are hashed; and settings of one kind of target alone.
_CHOOSING, _ONLY_ANSWERS, _ONLY_STATES = ("tasks", "keep", "compared"), ("categorical",), ("compared_measures",)
_CHECKSUM = hashlib.sha256
_ENGINE = "scipy"

Cell = xr.Dataset | str
"""A cell, or why it cannot be made."""
CellKey = tuple[str, int]
"""A cell of a model: the task, and the index of its store in `model.stores`."""
Place = tuple[str, str, str]
"""A cell of a study: model, task and condition."""


class CellCache:
    """A folder of cells. What was interrupted resumes with the missing cells; a damaged file is rebuilt.

    Files are netCDF 3, which is read and written in a tenth of the time that netCDF 4 takes for so many small arrays,
    with a checksum of all before it at the end. Whole numbers come back in 32 bits, and variables in another order: the
    right one is in an attribute.

    Args:
        folder: Where the files are; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is not None:
            LocalFolder(folder).clean()

    def read(self, digest: str) -> xr.Dataset | None:
        """Read the cell with this hash; None if there is none."""
        if self._folder is None:
            return None
        try:
            content = self._path(self._folder, digest).read_bytes()
        except OSError:
            return None
        cell = decode_cell(content)
        return cell if cell is not None and cell.attrs["cell"] == digest else None

    def write(self, digest: str, cell: xr.Dataset) -> None:
        """Keep a cell, whole or not at all."""
        if self._folder is not None:
            write_bytes(self._path(self._folder, digest), encode_cell(digest, cell))

    @staticmethod
    def _path(folder: Path, digest: str) -> Path:
        return folder / f"{digest[:32]}.nc"


def encode_cell(digest: str, cell: xr.Dataset) -> bytes:
    """Write a cell to bytes: netCDF 3, and a checksum of it."""
    about = {"schema": SCHEMA, "cell": digest, "order": json.dumps(list(cell.data_vars))}
    content = bytes(cell.assign_attrs(about).to_netcdf(engine=_ENGINE))
    return content + _CHECKSUM(content).digest()


def decode_cell(content: bytes) -> xr.Dataset | None:
    """Read what `encode_cell` wrote; None if it is damaged."""
    end = len(content) - _CHECKSUM().digest_size
    if end <= 0 or _CHECKSUM(content[:end]).digest() != content[end:]:
        return None
    with xr.open_dataset(io.BytesIO(content[:end]), engine=_ENGINE) as opened:
        cell = opened.load()
    return cell[json.loads(cell.attrs["order"])]


def gather_cells(
    own: Mapping[CellKey, Cell], digests: Mapping[CellKey, str], processes: Processes
) -> dict[CellKey, Cell]:
    """Wait for all processes, and return the cells of all.

    They travel between the processes as the bytes of their files, so it does not matter when a machine sees what
    another one wrote.

    Args:
        own: The cells of this process.
        digests: Hashes of all cells.
        processes: Those that have the others.
    """
    if processes.count == 1:
        return dict(own)
    content = {
        json.dumps(key): np.array(cell)
        if isinstance(cell, str)
        else np.frombuffer(encode_cell(digests[key], cell), np.uint8)
        for key, cell in own.items()
    }
    together: dict[CellKey, Cell] = {}
    for part in processes.gather_arrays(content):
        for name, value in part.items():
            task, place = json.loads(name)
            cell = str(value) if value.dtype.kind == "U" else decode_cell(value.tobytes())
            if cell is None:
                raise ValueError(f"The cell of task {task!r} arrived damaged from another process: start all again.")
            together[task, place] = cell
    return together


def store_digests(model: StudyModel, spec: StudySpec) -> dict[str, str]:
    """Hash what the stores of a model hold: manifest and digests of shards, which cover every byte."""
    digests = {str(store.path): _store_digest(store) for store in model.stores}
    if not isinstance(spec.target, FinalNorm | State | Answer):
        digests[READOUT] = _readout_digest(model.baseline)
    return digests


def decision_digest(
    model: StudyModel, rows: TaskRows, digests: Mapping[str, str], spec: StudySpec, others: Sequence[Any]
) -> str:
    """Hash what the decision of a model about one task depends on.

    Args:
        model: The model.
        rows: The samples of the task.
        digests: Hashes of the baseline and the stores of decisions by their paths, see `decision_store_digests`.
        spec: The settings.
        others: What else it depends on: the task and the seed of everything random.
    """
    return hash_json([_numerics_digest(_DECIDING), list(digests.values()), rows.ids.tolist(), spec.level, *others])


def decision_store_digests(model: StudyModel) -> dict[str, str]:
    """Hash the baseline, its readout and the stores of decisions.

    Raises:
        StoreError: If a store is damaged.
        OSError: If the baseline has no readout that can be read.
    """
    stores = (model.baseline, *model.decision)
    return {str(store.path): _store_digest(store) for store in stores} | {READOUT: _readout_digest(model.baseline)}


def _store_digest(store: Activations) -> str:
    return hash_json([store.manifest.digest, [*store.content_digests]])


def _readout_digest(store: Activations) -> str:
    if store.folder is None:
        raise StoreError(f"{store.path} has no readout, which only stores of `pid-extract` have: leave `decision` out.")
    return hashlib.sha256(store.folder.read(READOUT).tobytes()).hexdigest()


def cell_digest(
    model: StudyModel, rows: TaskRows, place: int, digests: Mapping[str, str], spec: StudySpec, others: Sequence[Any]
) -> str:
    """Hash what the cell of a task and condition depends on: the bytes of its stores, its samples, settings, versions.

    Args:
        model: The model.
        rows: The samples of the task.
        place: Which of `model.stores`.
        digests: Hashes of all stores of the model, by their paths, and of the readout if the target needs it.
        spec: The settings.
        others: What else it depends on: the task, the seed of everything random, and answers as classes.
    """
    settings = spec_to_dict(spec)
    unused = _ONLY_STATES if isinstance(spec.target, Answer) else _ONLY_ANSWERS
    for name in (*_CHOOSING, *unused):
        del settings[name]
    stores = [digests[str(store.path)] for store in (model.baseline, model.stores[place])]
    code = [_numerics_digest(_COMPUTING), _describe_records(dataclasses.replace(spec, compared=()))]
    return hash_json([code, stores, digests.get(READOUT), rows.ids.tolist(), settings, *others])


def comparison_digest(cell: str, spec: StudySpec) -> str:
    """Hash what a comparison of Gaussianizers depends on: the cell that it belongs to, and the Gaussianizers."""
    return hash_json([cell, spec_to_dict(spec)["compared"], _describe_records(spec)])


def open_cache(folder: Path | None, spec: StudySpec, tell: Callable[[str], None]) -> CellCache:
    """Open the folder of cells, or say that none are kept, where the code that they would depend on cannot be read."""
    unknown = [name for name, parts in _describe_records(spec).items() if None in parts.values()]
    if not unknown:
        return CellCache(folder)
    if folder is not None:
        tell(
            f"No cells are kept: the code of {' and '.join(unknown)} cannot be read. Define settings and functions at "
            "the top of a module that has a file."
        )
    return CellCache(None)


def _describe_records(spec: StudySpec) -> dict[str, dict[str, Any]]:
    """Describe the settings and functions of all measures and Gaussianizers that cells are computed by.

    They may be defined outside of this package, and change while its code stays.
    """
    found = {}
    for measure in map(measure_of, dict.fromkeys((*spec.measures, *spec.claim_measures))):
        parts = {"settings": measure.settings, "solve": measure.solve}
        parts |= {"unique": measure.unique, "calibrate": measure.calibrate}
        found[f"measure {measure.name!r}"] = {
            name: describe_definition(part) for name, part in parts.items() if part is not None
        }
    for record in map(record_of, spec.ways):
        parts = {"settings": type(record.default), "fit": record.fit}
        described = {name: describe_definition(part) for name, part in parts.items()}
        found[f"Gaussianizer {record.name!r}"] = described | {"is_ranked": record.is_ranked}
    return found


def package_versions() -> dict[str, str]:
    """Versions of the packages that numbers come from."""
    return {name: version(name) for name in _PACKAGES}


def _numerics_digest(modules: tuple[str, ...]) -> str:
    """Hash the code that cells come from, which may change while its version stays, and the versions of packages."""
    return hash_json([SCHEMA, code_digest(modules), package_versions()])


def hash_json(content: Any) -> str:
    """Hash what JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
