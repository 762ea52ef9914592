"""What tells whether the numbers can be trusted: failures, certificates, maps, variance left out, few samples."""

import json
from collections.abc import Iterator

import numpy as np
import xarray as xr

from pid_jax.decompose.result import ATOMS
from pid_jax.estimate.gaussianize import label_of
from pid_jax.plot.quantities import condition_labels, default_measure, has_intervals, measure_name
from pid_jax.report.formats import counted, joined, percent

# Below one half, most of what varies is not looked at.
SMALLEST_VARIANCE = 0.5
# A covariance of d dimensions has d (d + 1)/2 entries, so that ten samples a dimension are about twenty a row of it.
SAMPLES_PER_DIMENSION = 10
_CELLS = ("model", "task", "condition")
_ABSENT = -1
_EXPLAINED = ("explained_variance_1", "explained_variance_2", "explained_variance_target")


def diagnostics(results: xr.Dataset) -> dict:
    """Collect warnings and checks.

    Args:
        results: The dataset made by `pid_jax.study`.

    Raises:
        ValueError: An attribute or a finding is not what docs/study_dataset.md says.
    """
    failures, count = _failures(results)
    return {
        "problems": [str(line) for line in read_json(results, "problems", list)],
        "cells": list(_cells(results, "failed")),
        "cautions": cautions(results),
        "absent_count": int((results["cell"] == "absent").sum()),
        "absent": _absent(results),
        "cell_count": int(results["cell"].size),
        "failures": failures,
        "estimate_count": count,
        "gaps": _largest_gaps(results),
        "maps": _maps(results),
        "classifiers": _classifiers(results),
        "findings": _findings(results),
        "explained": [_range(results, name) for name in _EXPLAINED],
    }


def read_json(results: xr.Dataset, name: str, kind: type) -> dict | list:
    """Read an attribute that holds JSON; a missing one is empty.

    Args:
        results: The dataset made by `pid_jax.study`.
        name: Of the attribute.
        kind: dict or list.

    Raises:
        ValueError: It is not JSON, or of another kind.
    """
    text = results.attrs.get(name, json.dumps(kind()))
    wanted = "object" if kind is dict else "list"
    try:
        value = json.loads(text)
    except (TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"attribute {name!r} must be a JSON {wanted}, got {text!r}; write it with json.dumps"
        ) from error
    if not isinstance(value, kind):
        raise ValueError(f"attribute {name!r} must be a JSON {wanted}, got {text!r}; write it with json.dumps")
    return value


def flatten(value: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Turn nested settings into rows of a dotted name and a value; lists without objects stay on one row."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        for place, inner in enumerate(value):
            yield from flatten(inner, f"{prefix}[{place}]")
    elif prefix:
        yield prefix, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cells(results: xr.Dataset, state: str) -> Iterator[list[str]]:
    """List the combinations in a state, with the reason."""
    cells = results["cell"].transpose(*_CELLS)
    reasons = results["problem"].transpose(*cells.dims).values if "problem" in results else None
    labels = condition_labels(results)
    for place in np.argwhere(cells.values.astype(str) == state):
        m, t, c = place.tolist()
        names = [str(results["model"].values[m]), str(results["task"].values[t]), labels[c]]
        yield [*names, str(reasons[m, t, c]) if reasons is not None else ""]


def _largest_gaps(results: xr.Dataset) -> list[tuple[str, float]]:
    """List the measures that certify what they compute, with their largest gap in nats."""
    largest = {str(name): np.abs(results["gap"].sel(measure=name).values) for name in results["measure"].values}
    return [(measure_name(name), float(np.nanmax(gap))) for name, gap in largest.items() if np.isfinite(gap).any()]


def _absent(results: xr.Dataset) -> list[list[str]]:
    """List what does not exist, a row for every model, condition and reason, with its tasks."""
    tasks: dict[tuple[str, str, str], list[str]] = {}
    for model, task, condition, reason in _cells(results, "absent"):
        tasks.setdefault((model, condition, reason), []).append(task)
    every = results.sizes["task"]
    return [
        [model, "every task" if 1 < len(of) == every else joined(of), condition, reason]
        for (model, condition, reason), of in tasks.items()
    ]


def _failures(results: xr.Dataset) -> tuple[list[list[str]], int]:
    """List single estimates that failed, where the rest of their combination did not; count all that exist."""
    status = results["status"].transpose(*_CELLS, "measure", "layer")
    flags = np.atleast_1d(status.attrs.get("flag_values", [])).tolist()
    words = status.attrs.get("flag_meanings", [])
    meanings = dict(zip(flags, words.split() if isinstance(words, str) else list(words), strict=False))
    values = status.values
    labels = {"condition": condition_labels(results)}
    found = []
    for place in np.argwhere((values != 0) & (values != _ABSENT) & np.isfinite(values)):
        names = [
            labels[str(d)][i] if d in labels else str(results[d].values[i])
            for d, i in zip(status.dims, place, strict=True)
        ]
        code = int(values[tuple(place)])
        found.append([*names, meanings.get(code, f"status {code}")])
    return found, int((values != _ABSENT).sum())


def _maps(results: xr.Dataset) -> list[tuple[str, int]]:
    """Count the problems that each map made Gaussian."""
    if "gaussianized_by" not in results:
        return []
    names, counts = np.unique(results["gaussianized_by"].values.astype(str), return_counts=True)
    return [(label_of(str(n)), int(c)) for n, c in zip(names, counts, strict=True) if n]


def _classifiers(results: xr.Dataset) -> list[tuple[str, int]]:
    """Count the predictions of answers by each classifier."""
    if "classified_by" not in results:
        return []
    names, counts = np.unique(results["classified_by"].values.astype(str), return_counts=True)
    return [(str(n), int(c)) for n, c in zip(names, counts, strict=True) if n]


def _findings(results: xr.Dataset) -> list[tuple[str, list[str]]]:
    """Gather what there is to say, a sentence once, with the combinations that it was said of."""
    if "findings" not in results:
        return []
    said: dict[str, list[str]] = {}
    values = results["findings"].transpose(*_CELLS).values
    labels = condition_labels(results)
    for m, t, c in np.ndindex(values.shape):
        where = f"{results['model'].values[m]}, {results['task'].values[t]}, {labels[c]}"
        for sentence in json.loads(str(values[m, t, c]) or "[]"):
            said.setdefault(str(sentence).rstrip("."), []).append(where)
    return sorted(said.items(), key=lambda item: -len(item[1]))


def _range(results: xr.Dataset, name: str) -> tuple[float, float] | None:
    values = results[name].values if name in results else np.array(np.nan)
    return (float(np.nanmin(values)), float(np.nanmax(values))) if np.isfinite(values).any() else None


def cautions(results: xr.Dataset) -> list[str]:
    """List what lowers the worth of estimates that exist, each in a sentence or two.

    Args:
        results: The dataset made by `pid_jax.study`.
    """
    return [*_variance(results), *_samples(results), *_intervals(results)]


def _variance(results: xr.Dataset) -> list[str]:
    """Say for every variable in how many combinations the reduction leaves out most of the variance."""
    attrs = results.attrs
    labels = {
        "explained_variance_1": str(attrs.get("source_1_label", "source 1")),
        "explained_variance_2": str(attrs.get("source_2_label", "source 2")),
        "explained_variance_target": "the target",
    }
    said = [_variance_of(results, name, label) for name, label in labels.items() if name in results]
    said = [sentence for sentence in said if sentence]
    if said and "baseline" in str(attrs.get("reduction", "")):
        said[-1] += (
            " The components are those of the baseline, so that a cut may move the states out of their span; what the "
            "states then tell outside of it is not counted."
        )
    return said


def _variance_of(results: xr.Dataset, name: str, label: str) -> str:
    kept = results[name].transpose(*_CELLS, "layer").values
    is_low = (kept < SMALLEST_VARIANCE).any(axis=-1)
    if not is_low.any():
        return ""
    m, t, c, layer = np.unravel_index(np.nanargmin(kept), kept.shape)
    names = (results["model"].values[m], results["task"].values[t], condition_labels(results)[c])
    count = int(np.isfinite(kept).any(axis=-1).sum())
    return (
        f"In {int(is_low.sum())} of {counted(count, 'combination')} of model, task and condition, the reduction keeps "
        f"less than half of the variance of {label} at some layer. The lowest is {percent(kept[m, t, c, layer])}, in "
        f"{', '.join(str(n) for n in names)}, layer {results['layer'].values[layer]}."
    )


def _samples(results: xr.Dataset) -> list[str]:
    """Say where samples are few for the dimensions of the study."""
    if "universe_dims" not in results.coords:
        return []
    dims = sum(int(d) for d in str(results["universe_dims"].values[0]).split(",") if d.strip().isdigit())
    counts = results["n_samples"].transpose("model", "task").values
    is_few = counts < SAMPLES_PER_DIMENSION * dims
    if not is_few.any():
        return []
    m, t = np.unravel_index(np.nanargmin(counts), counts.shape)
    where = f"{results['model'].values[m]}, {results['task'].values[t]}"
    return [
        f"{counted(int(is_few.sum()), 'task')} of a model {'has' if is_few.sum() == 1 else 'have'} fewer than "
        f"{SAMPLES_PER_DIMENSION} samples for each of the {dims} dimensions; the fewest are {counts[m, t]:.0f}, in "
        f"{where}. With so few, the bias of estimates may not be removed in full."
    ]


def _intervals(results: xr.Dataset) -> list[str]:
    """Say where estimates of the measure that is shown first have no interval."""
    if not has_intervals(results):
        return ["No estimate has an interval."]
    cell = results.sel(measure=default_measure(results))
    is_known = np.logical_and.reduce([np.isfinite(cell[atom].values) for atom in ATOMS])
    ends = [cell[f"{atom}_{end}"].transpose(*cell[atom].dims) for atom in ATOMS for end in ("lower", "upper")]
    is_missing = is_known & ~np.logical_and.reduce([np.isfinite(end.values) for end in ends])
    if not is_missing.any():
        return []
    return [f"{int(is_missing.sum())} of {counted(int(is_known.sum()), 'estimate')} have no interval."]
