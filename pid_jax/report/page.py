"""The page of a study: what the numbers say in plain words, the figures, tables, diagnostics and settings."""

import base64
import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

import jinja2
import numpy as np
import xarray as xr

from pid_jax.atomic import write_text
from pid_jax.plot.quantities import (
    ATOMS,
    INFORMATION,
    MAP_NAMES,
    PER_NAT,
    atom_labels,
    check_results,
    condition_labels,
    default_measure,
    has_intervals,
    measure_name,
)
from pid_jax.report.findings import summarize_task, summarize_tests

_EXPLAINED = ("explained_variance_1", "explained_variance_2", "explained_variance_target")
_OTHERS = ("accuracy", "n_samples", "answer_entropy", "majority_rate", "status", "gap")
_IMAGE_TYPES = {".png": "image/png", ".svg": "image/svg+xml"}
_MISSING = "–"


def write_report(results: xr.Dataset, figures: Mapping[str, Path], path: Path) -> Path:
    """Write a study as one HTML page that needs nothing else and asks for nothing from the network.

    Args:
        results: the dataset made by `pid_jax.study`.
        figures: PNG or SVG files by name, as `save_figures` returns them; they are copied into the page.
        path: where to write; the page appears there only when it is complete.

    Returns:
        The path.

    Raises:
        ValueError: a variable is missing, an attribute is not a JSON object, or a figure is neither PNG nor SVG.
    """
    path = Path(path)
    check_results(results, variables=(*ATOMS, *INFORMATION, *_EXPLAINED, *_OTHERS))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=_number, bits=_bits, spans=_spans)
    text = environment.get_template("page.html.j2").render(_context(results, figures))
    write_text(path, text)
    return path


def _context(results: xr.Dataset, figures: Mapping[str, Path]) -> dict[str, object]:
    """Collect everything the template shows."""
    measures = {str(name): measure_name(str(name)) for name in results["measure"].values}
    return {
        "results": results,
        "attributes": {key: str(value) for key, value in results.attrs.items()},
        "names": atom_labels(results),
        "tasks": [str(name) for name in results["task"].values],
        "conditions": condition_labels(results),
        "layers": results["layer"].values.tolist(),
        "measures": measures,
        "measure": measures[default_measure(results)],
        "findings": [
            summarize_task(results.isel(task=row), default_measure(results)) for row in range(results.task.size)
        ],
        "has_intervals": has_intervals(results),
        "tests": [summarize_tests(results.isel(task=row)) for row in range(results.task.size)],
        "tested_behind": MAP_NAMES.get(str(results.attrs.get("tested_by")), "an unknown map"),
        "quantity_names": atom_labels(results) | {"i_1": "I₁", "i_2": "I₂", "i_12": "I₁₂"},
        "diagnostics": _diagnostics(results),
        "settings": list(_flatten(_read_json(results, "settings"))),
        "versions": list(_flatten(_read_json(results, "versions"))),
        "figures": {name: _data_uri(Path(file)) for name, file in figures.items()},
        "csv": _csv_uri(results),
        "tests_csv": _tests_uri(results),
    }


def _diagnostics(results: xr.Dataset) -> dict[str, object]:
    """Collect what tells whether the numbers can be trusted: certificates, failures, and what the reduction kept."""
    gap = np.abs(results["gap"].values)
    status = results["status"].transpose("task", "condition", "measure", "layer")
    flags = np.atleast_1d(status.attrs.get("flag_values", [])).tolist()
    words = status.attrs.get("flag_meanings", [])
    meanings = dict(zip(flags, words.split() if isinstance(words, str) else list(words), strict=False))
    failures = [
        [*(str(results[name].values[place]) for name, place in zip(status.dims, places, strict=True)), meaning]
        for places in np.argwhere(status.values != 0)
        for meaning in [meanings.get(int(status.values[tuple(places)]), f"status {status.values[tuple(places)]}")]
    ]
    explained = {name: results[name].values for name in _EXPLAINED}
    return {
        "largest_gap": float(np.nanmax(gap)) if np.isfinite(gap).any() else None,
        "failures": failures,
        "cell_count": int(status.size),
        "maps": _maps(results),
        "remarks": _remarks(results),
        "explained": [
            [float(np.nanmin(v)), float(np.nanmax(v))] if np.isfinite(v).any() else None for v in explained.values()
        ],
    }


def _maps(results: xr.Dataset) -> list[tuple[str, int]]:
    """Count the problems that each map made Gaussian."""
    if "gaussianized_by" not in results:
        return []
    names, counts = np.unique(results["gaussianized_by"].values.astype(str), return_counts=True)
    return [(MAP_NAMES.get(str(n), str(n)), int(c)) for n, c in zip(names, counts, strict=True)]


def _remarks(results: xr.Dataset) -> list[tuple[str, list[str]]]:
    """Read what there is to say about each task and condition."""
    if "findings" not in results:
        return []
    labels = condition_labels(results)
    return [
        (f"{task}, {label}", json.loads(str(results["findings"].isel(task=row, condition=column).item())))
        for row, task in enumerate(results["task"].values)
        for column, label in enumerate(labels)
    ]


def _read_json(results: xr.Dataset, name: str) -> dict[str, object]:
    """Read an attribute that holds a JSON object; a missing one is empty."""
    text = results.attrs.get(name, "{}")
    try:
        value = json.loads(text)
    except (TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"attribute {name!r} must be a JSON object, got {text!r}; write it with json.dumps") from error
    if not isinstance(value, dict):
        raise ValueError(f"attribute {name!r} must be a JSON object, got {text!r}; write it with json.dumps")
    return value


def _flatten(value: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Turn nested settings into rows of a dotted name and a value; lists without objects stay on one row."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        for place, inner in enumerate(value):
            yield from _flatten(inner, f"{prefix}[{place}]")
    elif prefix:
        yield prefix, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _data_uri(file: Path) -> str:
    """Copy an image into a URI."""
    if file.suffix.lower() not in _IMAGE_TYPES:
        raise ValueError(f"figures must be {sorted(_IMAGE_TYPES)} files, got {str(file)!r}; save it as one of them")
    return f"data:{_IMAGE_TYPES[file.suffix.lower()]};base64,{base64.b64encode(file.read_bytes()).decode()}"


def _csv_uri(results: xr.Dataset) -> str:
    """Write all numbers as a table in long form, one row for every task, condition, measure and layer, into a URI."""
    order = ["task", "condition", "measure", "layer"]
    columns = [
        name
        for name, v in results.data_vars.items()
        if "task" in v.dims and set(v.dims) <= set(order) and name != "findings"
    ]
    return _table_uri(results[columns], order)


def _tests_uri(results: xr.Dataset) -> str:
    """Write tested differences in the same way, one row for every task, condition, quantity and layer."""
    columns = [name for name in results.data_vars if str(name).startswith("difference")]
    return _table_uri(results[columns], ["task", "condition", "quantity", "layer"]) if columns else ""


def _table_uri(columns: xr.Dataset, order: list[str]) -> str:
    in_nats = {name: f"{name}_nats" for name, v in columns.items() if v.attrs.get("units") == "nats"}
    table = columns.to_dataframe(dim_order=order).rename(columns=in_nats).to_csv()
    return "data:text/csv;charset=utf-8;base64," + base64.b64encode(table.encode()).decode()


def _number(value: float, digits: int = 2) -> str:
    """Write a number with a fixed count of decimals, a true minus sign, and a dash where there is none."""
    value = float(value)
    if not np.isfinite(value):
        return _MISSING
    rounded = round(value, digits) + 0.0  # turns −0.0 into 0.0
    return f"{rounded:.{digits}f}".replace("-", "−")


def _spans(numbers: list[int]) -> str:
    """Write whole numbers as spans: "0–3, 5", or "none"."""
    text = []
    for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        ends = [number for _, number in run]
        text.append(f"{ends[0]}–{ends[-1]}" if len(ends) > 1 else str(ends[0]))
    return ", ".join(text) or "none"


def _bits(nats: float, digits: int = 3) -> str:
    """Write information given in nats in bits."""
    return _number(float(nats) * PER_NAT["bits"], digits)
