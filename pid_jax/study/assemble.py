"""Cells of models, tasks and conditions, put together to one labeled dataset."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from pid_jax.decompose.result import ATOMS
from pid_jax.inference.intervals import (
    SINGLE_ROUNDING,
    error_or_size,
    in_errors,
    p_value_of,
    reach_of,
    without_rounding,
)
from pid_jax.inference.multiplicity import family_wise_by_rows
from pid_jax.pid.atoms import QUANTITIES
from pid_jax.pid.measure import Redundancy
from pid_jax.pid.registry import measure_of
from pid_jax.settings.estimate import is_pca, spec_to_dict
from pid_jax.store.info import count_versions
from pid_jax.store.targets import Answer
from pid_jax.study.answer_cell import usable_measures
from pid_jax.study.cache import Place, package_versions
from pid_jax.study.conditions import Cut, cut_of, labels_of, tell_apart
from pid_jax.study.model import StudyModel, TaskRows, condition_name, describe_answers
from pid_jax.study.results import LEVEL, PREDICTIONS, SCHEMA
from pid_jax.study.spec import StudySpec, target_name

ABSENT, DONE, FAILED = "absent", "done", "failed"
_CELL = ("model", "task", "condition")
# Dimensions with names; and those of single samples, which `questions` has.
_NAMED, _OF_SAMPLES = ("measure", "gaussianizer", "predictor", "compared_measure"), ("sample", "at")
_UNITS = {"n_samples": "1", "answer_entropy": "nats", "majority_rate": "1"}


def assemble(
    models: Sequence[StudyModel],
    tasks: Mapping[str, Mapping[str, TaskRows]],
    cells: Mapping[Place, xr.Dataset | str],
    spec: StudySpec,
    problems: Sequence[str],
) -> xr.Dataset:
    """Put cells together.

    Args:
        models: The models.
        tasks: Samples by model and task.
        cells: By model, task and condition: what was found, or why nothing was.
        spec: The settings.
        problems: Lines on what was left out altogether.

    Returns:
        The dataset of docs/study_dataset.md, without metrics.
    """
    names = {"model": [model.name for model in models]}
    names["task"] = list(dict.fromkeys(task for own in tasks.values() for task in own))
    names["condition"] = list(dict.fromkeys(condition_name(s) for model in models for s in model.stores))
    found = {place: cell for place, cell in cells.items() if isinstance(cell, xr.Dataset)}
    data = _stack(found, names)
    data = data.assign(_states(cells, names)).assign(_answers(tasks, names))
    data = data.assign_coords(names | _describe(models, names["condition"], data["layer"].values))
    if "replicate_redundancy" in data:
        data = add_differences(data)
    return data.assign_attrs(_attributes(models, spec, problems))


def _stack(cells: Mapping[Place, xr.Dataset], names: Mapping[str, list[str]]) -> xr.Dataset:
    """Put every cell in its place; what is not there is NaN, -1 for statuses, and empty for texts."""
    layers = np.unique(np.concatenate([cell["layer"].values for cell in cells.values()])).astype(int)
    cells = {place: cell.drop_dims(_OF_SAMPLES, errors="ignore") for place, cell in cells.items()}
    sizes = {dim: size for cell in cells.values() for dim, size in cell.sizes.items()} | {"layer": len(layers)}
    named = {name: cell[name].values for cell in cells.values() for name in _NAMED if name in cell.coords}
    coordinates: dict[str, Any] = {name: named[name].astype(str) for name in _NAMED if name in named}
    coordinates |= {"layer": layers}
    every = {dim for cell in cells.values() for dim in cell.dims}
    for dim in (dim for dim in ("direction", "source_direction") if dim in every):
        sizes[dim] = max(cell.sizes.get(dim, 0) for cell in cells.values())
        coordinates[dim] = np.arange(sizes[dim])
    if "source" in every:
        coordinates["source"], sizes["source"] = ["source_1", "source_2"], 2
    shape = tuple(len(names[dim]) for dim in _CELL)
    variables: dict[str, tuple[tuple[str, ...], np.ndarray, dict]] = {}
    for place, cell in cells.items():
        at = tuple(names[dim].index(label) for dim, label in zip(_CELL, place, strict=True))
        layers_of = np.searchsorted(layers, cell["layer"].values)
        for name, variable in cell.data_vars.items():
            if name not in variables:
                full = (*shape, *(sizes[str(dim)] for dim in variable.dims))
                dims = (*_CELL, *(str(dim) for dim in variable.dims))
                # Files do not keep the type of a list.
                plain = {str(k): v.tolist() if isinstance(v, np.ndarray) else v for k, v in variable.attrs.items()}
                variables[str(name)] = (dims, _empty(full, variable.dtype), plain)
            own = [layers_of if dim == "layer" else np.arange(cell.sizes[dim]) for dim in variable.dims]
            inner = np.ix_(*own) if own else (...,)
            variables[str(name)][1][(*at, ...)][inner] = variable.values
    return xr.Dataset(variables, coords=coordinates)


def _empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "f":
        return np.full(shape, np.nan, dtype)
    return np.full(shape, -1, dtype) if dtype.kind in "iu" else np.full(shape, "", dtype=object)


def _states(cells: Mapping[Place, xr.Dataset | str], names: Mapping[str, list[str]]) -> dict[str, Any]:
    """Say of every cell whether it is there, and what the problem is."""
    shape = tuple(len(names[dim]) for dim in _CELL)
    state, problem = np.full(shape, ABSENT, dtype=object), np.full(shape, "", dtype=object)
    for place, cell in cells.items():
        at = tuple(names[dim].index(label) for dim, label in zip(_CELL, place, strict=True))
        state[at] = FAILED if isinstance(cell, str) else DONE
        problem[at] = cell if isinstance(cell, str) else ""
    return {"cell": (_CELL, state), "problem": (_CELL, problem)}


def _answers(tasks: Mapping[str, Mapping[str, TaskRows]], names: Mapping[str, list[str]]) -> dict[str, Any]:
    """Describe the samples of every task."""
    values = {name: np.full((len(names["model"]), len(names["task"])), np.nan) for name in _UNITS}
    for model, own in tasks.items():
        for task, rows in own.items():
            at = (names["model"].index(model), names["task"].index(task))
            for name, value in describe_answers(rows.gold).items():
                values[name][at] = value
    return {name: (("model", "task"), value, {"units": _UNITS[name]}) for name, value in values.items()}


def _describe(models: Sequence[StudyModel], conditions: Sequence[str], layers: np.ndarray) -> dict[str, Any]:
    """Describe conditions and depths."""
    described: dict[str, Mapping[str, Any]] = {}
    cuts: dict[str, list[Cut]] = {name: [] for name in conditions}
    blocks = np.full((2, len(models), len(conditions)), -1)
    for row, model in enumerate(models):
        for store in model.stores:
            name, cut = condition_name(store), cut_of(store.manifest.condition)
            described.setdefault(name, store.manifest.condition)
            cuts[name].append(cut)
            blocks[:, row, conditions.index(name)] = cut.first, cut.last
    last = np.array([model.last_layer for model in models])
    has_layer = np.array([np.isin(layers, model.baseline.layers) for model in models])
    depth = layers / np.maximum(last, 1)[:, None]
    names = list(tell_apart(cuts).values())
    return {
        "condition_label": ("condition", labels_of([described[name] for name in conditions])),
        "edges": ("condition", [name for name, _ in names]),
        "window": ("condition", [window for _, window in names]),
        "control_of": ("condition", [own[0].control_of for own in cuts.values()]),
        "cut_first": (("model", "condition"), blocks[0]),
        "cut_last": (("model", "condition"), blocks[1]),
        "last_layer": ("model", last),
        "depth": (("model", "layer"), np.where(has_layer, depth, np.nan), {"units": "1"}),
    }


def _attributes(models: Sequence[StudyModel], spec: StudySpec, problems: Sequence[str]) -> dict[str, str]:
    settings = {model.name: model.baseline.manifest.settings for model in models}
    extraction = {
        name: {k: v for k, v in own.items() if k not in ("versions", "fingerprint")} for name, own in settings.items()
    }
    versions: dict[str, Any] = dict(package_versions())
    for model in models:
        counts = count_versions(model.baseline, model.baseline.headers.values())
        versions |= {package: ", ".join(found) for package, found in counts.items()}
    readers = {str(own.get("data", {}).get("reader", "unknown")) for own in settings.values()}
    return {
        "schema": SCHEMA,
        "source_1_label": spec.labels[0],
        "source_2_label": spec.labels[1],
        "target": target_name(spec.target),
        "target_label": spec.target.label,
        "dataset": ", ".join(sorted(readers)),
        **_describe_estimate(spec),
        "tested_measure": measure_of(_measures(spec)[0]).name,
        "tested_level": str(LEVEL),
        "reduction": (
            "components of the baseline, fitted task by task and layer by layer, for all conditions"
            if is_pca(spec.pid.reduction)
            else "none"
        ),
        "problems": json.dumps(list(problems)),
        "settings": json.dumps({"study": spec_to_dict(spec), "extraction": extraction}),
        "versions": json.dumps(versions),
    }


def _measures(spec: StudySpec) -> Sequence[Redundancy]:
    return usable_measures(spec.measures) if isinstance(spec.target, Answer) else spec.measures


def _describe_estimate(spec: StudySpec) -> dict[str, str]:
    """Return level and kind of the intervals of estimates, and what all numbers are estimated with."""
    if isinstance(spec.target, Answer):
        return {
            "interval_level": str(spec.level),
            "interval_kind": "scatter of samples, what classifiers had left to learn, and the certified width",
            "estimator": PREDICTIONS,
        }
    if spec.pairwise:
        return {
            "interval_level": str(spec.level),
            "interval_kind": "none: three flows have no joint covariance",
            "estimator": "a flow for each information",
        }
    return {
        "interval_level": str(spec.level),
        "interval_kind": "sampling of the covariance; with flows also what the fit may have missed",
        "estimator": type(spec.pid.gaussianize).__name__,
    }


def add_differences(results: xr.Dataset) -> xr.Dataset:
    """Add differences to the baseline with intervals and p-values, those also adjusted for all layers of a row.

    Args:
        results: Cells of a study with `replicate_*`; the baseline is the first condition.

    Returns:
        The same with `difference` and what belongs to it; NaN for the baseline itself.
    """
    first = results.isel(measure=0)
    values = _quantities({name: first[name].values for name in ATOMS})
    drawn = _quantities({name: results[f"replicate_{name}"].values.astype(np.float64) for name in ATOMS})
    difference = without_rounding(values - values[:, :, :1])
    scatter = drawn - drawn[:, :, :1]
    difference[:, :, 0] = np.nan
    scatter -= scatter.mean(axis=-1, keepdims=True)
    error = error_or_size(scatter.std(axis=-1), difference, SINGLE_ROUNDING)  # replicates are kept in float32
    distance = in_errors(difference, error)
    reach = reach_of(error, LEVEL)
    family_wise = family_wise_by_rows(distance, in_errors(without_rounding(scatter), error[..., None]))
    dims, nats, one = ("model", "task", "condition", "quantity", "layer"), {"units": "nats"}, {"units": "1"}
    data = {
        "difference": (dims, difference, nats),
        "difference_lower": (dims, difference - reach, nats),
        "difference_upper": (dims, difference + reach, nats),
        "difference_p": (dims, p_value_of(distance), one),
        "difference_family_wise": (dims, family_wise, one),
    }
    return results.assign(data).assign_coords(quantity=list(QUANTITIES))


def _quantities(atoms: dict[str, np.ndarray]) -> np.ndarray:
    """Stack atoms and the informations that they sum to, before the layers."""
    i_1, i_2 = (atoms["redundancy"] + atoms[name] for name in ("unique_1", "unique_2"))
    every = {**atoms, "i_1": i_1, "i_2": i_2, "i_12": i_1 + atoms["unique_2"] + atoms["synergy"]}
    return np.stack([every[name] for name in QUANTITIES], axis=3)
