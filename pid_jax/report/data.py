"""The data block of the page: all that its charts, tables and downloads are made from, as one JSON text."""

import base64
import json

import numpy as np
import xarray as xr

from pid_jax.estimate.gaussianize import label_of
from pid_jax.plot.quantities import (
    UNKNOWN_WINDOW,
    atom_labels,
    condition_labels,
    default_measure,
    edge_labels,
    measure_name,
    names_of,
)
from pid_jax.plot.universes import SAME_AGAIN, changed_choices
from pid_jax.study.results import about

# What stands in front of a choice that could be taken for something else.
_KINDS = {"universe_target": "target: ", "universe_measure": "measure "}
QUANTITY_NAMES = {"i_1": "I₁", "i_2": "I₂", "i_12": "I₁₂"}
# Shown as text where they belong, and too long for a table of numbers.
_NOT_NUMBERS = ("findings",)
# Characters that could end the script element, or the line in old parsers.
_ESCAPED = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def data_block(results: xr.Dataset) -> str:
    """Write a study as JSON that can stand inside a script element.

    Numbers are 32-bit floats, little endian, in base64: seven significant digits in 5.3 characters. Replicates are left
    out: they are many, and what is shown of them are intervals.

    Args:
        results: The dataset made by `pid_jax.study`.

    Returns:
        An object with "dims" (names and entries), "variables" (of data and of coordinates), "labels" and "attributes".
    """
    kept = {name: v for name, v in results.variables.items() if _is_kept(str(name), v)}
    used = {d for v in kept.values() for d in v.dims}
    sizes = {str(d): n for d, n in results.sizes.items() if d in used}
    block = {
        "dims": {d: _entries(results, d, n) for d, n in sizes.items()},
        "variables": {str(n): _encode(v) for n, v in kept.items() if n not in sizes},
        "labels": _labels(results),
        "attributes": {
            name: str(results.attrs.get(name, default))
            for name, default in (("tested_measure", ""), ("tested_level", "0.95"))
        }
        | {"default_measure": default_measure(results)}
        | {"about": about(results), "target": str(results.attrs.get("target", "final-norm"))},
    }
    return in_script(block)


def in_script(content: object) -> str:
    """Write JSON that can stand inside a script element."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPED)


def _is_kept(name: str, values: xr.Variable) -> bool:
    return name not in _NOT_NUMBERS and "replicate" not in values.dims


def _entries(results: xr.Dataset, dimension: str, size: int) -> list:
    """List the coordinate of a dimension; places where it has none."""
    return results[dimension].values.tolist() if dimension in results.coords else list(range(size))


def _encode(values: xr.Variable) -> dict[str, object]:
    """Write one variable: numbers as bytes, words as a list of different ones and the index of each entry in it."""
    shared: dict[str, object] = {"dims": [str(d) for d in values.dims], "unit": str(values.attrs.get("units", ""))}
    array = values.values
    if array.dtype.kind in "fiub":
        return shared | {"floats": base64.b64encode(array.astype("<f4").tobytes()).decode()}
    words, places = np.unique(array.astype(str), return_inverse=True)
    places = base64.b64encode(places.astype("<u4").tobytes()).decode()
    return shared | {"words": words.tolist(), "places": places}


def _labels(results: xr.Dataset) -> dict[str, dict[str, str]]:
    """Name entries as a reader knows them: measures, maps, atoms, conditions, what is cut, sources, universes."""
    conditions = [str(name) for name in results["condition"].values]
    maps = [str(name) for name in results["gaussianizer"].values] if "gaussianizer" in results.coords else []
    atoms = atom_labels(results)
    return {
        "measure": {str(name): measure_name(str(name)) for name in results["measure"].values},
        "gaussianizer": {name: label_of(name) for name in maps},
        "quantity": atoms | QUANTITY_NAMES,
        "condition": dict(zip(conditions, condition_labels(results), strict=True)),
        "edges": edge_labels(results),
        "window_name": {"": UNKNOWN_WINDOW},
        "universe": _universe_labels(results),
        "source": {
            "source_1": str(results.attrs.get("source_1_label", "source 1")),
            "source_2": str(results.attrs.get("source_2_label", "source 2")),
        },
    }


def _universe_labels(results: xr.Dataset) -> dict[str, str]:
    """Name the universes by what differs from the study."""
    if "universe" not in results.coords:
        return {}
    changed = [", ".join(_KINDS.get(kind, "") + own for kind, own in row.items()) for row in changed_choices(results)]
    names = ["This study", *(name or SAME_AGAIN for name in changed)]
    return dict(zip(names_of(results, "universe"), names, strict=True))
