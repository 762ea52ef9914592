"""The dataset of the models' own decisions, together and on disk. docs/study_dataset.md says what it holds."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pid_jax.decompose.result import ATOMS
from pid_jax.runtime.files import encode_dataset, read_dataset, write_bytes
from pid_jax.study.cache import package_versions
from pid_jax.study.model import StudyModel
from pid_jax.study.questions import texts_of
from pid_jax.study.spec import MODALITIES, StudySpec

SCHEMA = "pid_jax.study_decision/1"
# Columns of a baseline that describe a question, as far as it has them.
_TEXTS = ("question", "gold", "image", "predicted")
_PLACE = ("model", "task")


def assemble_decisions(
    models: Sequence[StudyModel], cells: Mapping[tuple[str, str], xr.Dataset], spec: StudySpec, problems: Sequence[str]
) -> xr.Dataset:
    """Put the cells of all models and tasks together.

    Args:
        models: Models with stores of decisions.
        cells: What was found, by model and task.
        spec: The settings.
        problems: Lines on what was left out.

    Returns:
        The dataset of `decision.nc`: numbers by model and task, and the shares of all samples, in sequence.
    """
    names = {"model": list(dict.fromkeys(m for m, _ in cells)), "task": list(dict.fromkeys(t for _, t in cells))}
    by_name = {model.name: model for model in models}
    one = next(iter(cells.values()))
    data: dict[str, Any] = {}
    for name, variable in one.drop_dims("sample").data_vars.items():
        shape = (len(names["model"]), len(names["task"]), *variable.shape)
        empty = np.nan if variable.dtype.kind == "f" else -1 if variable.dtype.kind in "iu" else ""
        values = np.full(shape, empty, dtype=object if empty == "" else variable.dtype)
        for (model, task), cell in cells.items():
            values[names["model"].index(model), names["task"].index(task)] = cell[name].values
        plain = {str(k): v.tolist() if isinstance(v, np.ndarray) else v for k, v in variable.attrs.items()}
        data[str(name)] = ((*_PLACE, *map(str, variable.dims)), values, plain)
    parts = [_samples(cell, by_name[model], model, task) for (model, task), cell in cells.items()]
    firsts = {name: next(cell for (m, _), cell in cells.items() if m == name) for name in names["model"]}
    coordinates: dict[str, Any] = {name: one[name].values.astype(str) for name in ("answer", "predictor")}
    coordinates |= {
        "method": ("model", [str(cell.attrs["method"]) for cell in firsts.values()]),
        "draws": ("model", [int(cell.attrs["draws"]) for cell in firsts.values()]),
    }
    whole = xr.Dataset(data, coords=coordinates | names).merge(xr.concat(parts, "sample"))
    return whole.assign_attrs(
        schema=SCHEMA,
        source_1_label=MODALITIES["image"],
        source_2_label=MODALITIES["question"],
        interval_level=str(spec.level),
        problems=json.dumps(list(problems)),
        versions=json.dumps(package_versions()),
    )


def _samples(cell: xr.Dataset, model: StudyModel, name: str, task: str) -> xr.Dataset:
    """Describe the samples of one task, next to their shares."""
    baseline, ids = model.baseline, cell["sample"].values.astype(str)
    rows, count = np.searchsorted(baseline.ids, ids), len(ids)
    about = {"of_model": np.full(count, name, dtype=object), "of_task": np.full(count, task, dtype=object)}
    about |= {text: texts_of(baseline, text, rows) for text in _TEXTS}
    shares = cell[[f"pointwise_{atom}" for atom in ATOMS]].assign_coords(sample=ids.astype(object))
    return shares.assign_coords({text: ("sample", values) for text, values in about.items()}).drop_attrs(deep=False)


def save_decision(decision: xr.Dataset, path: Path) -> Path:
    """Write the models' own decisions to one netCDF file, whole or not at all."""
    write_bytes(path, encode_dataset(decision))
    return path


def load_decision(path: str | Path) -> xr.Dataset:
    """Read what `save_decision` wrote.

    Raises:
        ValueError: If the file is missing or holds something else.
    """
    return read_dataset(path, SCHEMA, "`pid-jax study`")
