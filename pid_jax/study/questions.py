"""The shares of single questions in the information about their answers, and views of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from pid_jax.decompose.result import ATOMS
from pid_jax.runtime.files import encode_dataset, read_dataset, write_bytes
from pid_jax.store import Activations
from pid_jax.study.cache import Cell, Place
from pid_jax.study.model import condition_name
from pid_jax.study.prepare import ReadyModel

SCHEMA = "pid_jax.study_questions/1"
# Columns of a baseline that describe a question, as far as it has them.
_TEXTS = ("question", "gold", "image")
_KEPT = "kept_layer"


def collect_questions(ready: Sequence[ReadyModel], cells: Mapping[Place, Cell]) -> xr.Dataset:
    """Put the shares of all samples of all models and tasks into one dataset.

    Args:
        ready: Models with an answer as their target.
        cells: Their cells, with `pointwise_*`, by model, task and condition.

    Returns:
        `redundancy`, `unique_1`, `unique_2`, `synergy` (condition, at, sample) in nats, NaN where there are none;
        `kept_layer` (condition, at, sample), -1 there; `predicted` (condition, sample), and what is known of each
        sample as coordinates.
    """
    names = list(dict.fromkeys(condition_name(store) for one in ready for store in one.model.stores))
    parts = [_task(one, task, cells, names) for one in ready for task in one.answers if _has_any(cells, one, task)]
    return xr.concat(parts, "sample", data_vars="minimal").assign_attrs(schema=SCHEMA)


def _has_any(cells: Mapping[Place, Cell], ready: ReadyModel, task: str) -> bool:
    return any(isinstance(cell, xr.Dataset) for (m, t, _), cell in cells.items() if (m, t) == (ready.model.name, task))


def _task(ready: ReadyModel, task: str, cells: Mapping[Place, Cell], names: Sequence[str]) -> xr.Dataset:
    """Collect the samples of one task."""
    rows = ready.tasks[task]
    there = {c: cell for (m, t, c), cell in cells.items() if (m, t) == (ready.model.name, task)}
    some = next(cell for cell in there.values() if isinstance(cell, xr.Dataset))
    at, count = some["at"].values.astype(str), len(rows.ids)
    shape = (len(names), len(at), count)
    values = {name: np.full(shape, np.nan, np.float32) for name in ATOMS}
    layers, predicted = np.full(shape, -1, np.int16), np.full((len(names), count), "", dtype=object)
    for index, store in enumerate(ready.model.stores):
        row = names.index(condition_name(store))
        predicted[row] = texts_of(store, "predicted", rows.rows[index])
        cell = there.get(condition_name(store))
        if isinstance(cell, xr.Dataset):
            layers[row] = cell["layer"].values[cell[_KEPT].values][:, None]
            for name in ATOMS:
                values[name][row] = cell[f"pointwise_{name}"].values
    dims = ("condition", "at", "sample")
    data = {name: (dims, value, {"units": "nats"}) for name, value in values.items()}
    baseline = ready.model.baseline
    about = {name: ("sample", texts_of(baseline, name, rows.rows[0])) for name in _TEXTS}
    about |= {"model": ("sample", [ready.model.name] * count), "task": ("sample", [task] * count)}
    return xr.Dataset(
        data | {"layer": (dims, layers), "predicted": (("condition", "sample"), predicted)},
        coords={"condition": list(names), "at": at, "sample": rows.ids.astype(str)} | about,
    )


def texts_of(store: Activations, name: str, rows: np.ndarray) -> np.ndarray:
    """Read a column as texts; "" where the store has none."""
    if name not in store.columns:
        return np.full(len(rows), "", dtype=object)
    return store.columns[name][rows].astype(str).astype(object)


def save_questions(questions: xr.Dataset, path: Path) -> Path:
    """Write the questions to one netCDF file, whole or not at all."""
    write_bytes(path, encode_dataset(questions))
    return path


def load_questions(path: str | Path) -> xr.Dataset:
    """Read what `save_questions` wrote.

    Raises:
        ValueError: If the file is missing or holds something else.
    """
    return read_dataset(path, SCHEMA, "`pid-jax study`")
