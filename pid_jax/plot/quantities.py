"""What figures and page read from a results dataset: names, units, cuts, which conditions fit, and checks."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from pid_jax.decompose.result import ATOMS, INFORMATION
from pid_jax.pid.atoms import LEAST_INFORMATION
from pid_jax.pid.registry import MEASURES
from pid_jax.study.conditions import WHOLE_WINDOW
from pid_jax.study.results import about, cut_names

PER_NAT = {"bits": 1.0 / math.log(2.0), "nats": 1.0}

# What a variable's unit turns into in a figure, beside information: the factor and how the unit is written.
_OTHER_UNITS = {
    "1": (1.0, ""),
    "layer": (1.0, "layer"),
    "percent": (100.0, "%"),
    "points": (100.0, "percentage points"),
}
# Dimensions of the results of one model.
CELLS = ("task", "condition", "measure", "layer")

# With more models, pages fold what is said of each, charts have a row for each, and their figures are drawn on demand.
MOST_MODELS = 6
# Columns of a figure that are readable.
MOST_CONDITIONS = 4
MOST_CUTS = 2
UNKNOWN_WINDOW = "unknown"
# What stands in a label behind the name of what is cut.
_CUT = " cut, "


def check_results(
    results: xr.Dataset,
    *,
    measure: str | None = None,
    unit: str = "bits",
    variables: Iterable[str] = ATOMS,
    dimensions: Sequence[str] = CELLS,
) -> None:
    """Refuse a dataset, measure or unit that a figure cannot show.

    Args:
        results: the dataset made by `pid_jax.study`, or one model of it.
        measure: the measure to be shown; None if the caller shows several or none.
        unit: "bits" or "nats".
        variables: data variables the caller is going to read.
        dimensions: labeled dimensions the caller is going to read; without "model" it shows one model.

    Raises:
        ValueError: a dimension or variable is missing, there are several models where one is shown, a variable is not
            in nats, or measure or unit is unknown.
    """
    if "model" in results.dims and "model" not in dimensions:
        raise ValueError(
            f"results must be of one model, got models {names_of(results, 'model')}; "
            "cut one out with pid_jax.study.results.one_model"
        )
    if unit not in PER_NAT:
        raise ValueError(f"unit must be one of {sorted(PER_NAT)}, got {unit!r}; choose one of them")
    for dimension in dimensions:
        if results.sizes.get(dimension, 0) == 0 or dimension not in results.coords:
            raise ValueError(
                f"results must have a labeled dimension {dimension!r} with at least one entry, got dimensions "
                f"{dict(results.sizes)}; pass the dataset that pid_jax.study returns"
            )
    for name in variables:
        if name not in results.data_vars:
            raise ValueError(
                f"results must hold the variable {name!r}, got {sorted(map(str, results.data_vars))}; "
                "pass the dataset that pid_jax.study returns"
            )
        if name in (*ATOMS, *INFORMATION) and results[name].attrs.get("units", "nats") != "nats":
            raise ValueError(
                f"variable {name!r} must be in nats, got units {results[name].attrs['units']!r}; convert it first"
            )
    measures = names_of(results, "measure") if "measure" in results.coords else []
    if measure is not None and measure not in measures:
        raise ValueError(f"measure must be one of {measures}, got {measure!r}; choose one that was computed")


def names_of(results: xr.Dataset, dimension: str) -> list[str]:
    """Read the labels of a dimension."""
    return [str(name) for name in results[dimension].values]


def in_unit(units: object, unit: str) -> tuple[float, str]:
    """Say what numbers of a variable are multiplied by in a figure, and how their unit is written.

    Args:
        units: of the variable: "nats", "1", "layer", or "points" for a pure number shown in percentage points.
        unit: "bits" or "nats", for information.

    Returns:
        The factor and the unit; an unknown unit stays as it is.
    """
    return (PER_NAT[unit], unit) if units == "nats" else _OTHER_UNITS.get(str(units), (1.0, str(units)))


def with_unit(label: str, unit: str) -> str:
    """Write a quantity and its unit, if it has one, as on an axis."""
    return f"{label} ({unit})" if unit else label


def information_label(results: xr.Dataset, unit: str) -> str:
    """Name amounts of information on an axis, with what it is about where the dataset says."""
    return f"information about\n{about(results)} ({unit})" if "target" in results.attrs else f"information ({unit})"


def entropy_of(results: xr.Dataset, unit: str) -> float:
    """Return the largest entropy of the answer in cells of a study, in a unit; NaN where the target is a state."""
    if "target_entropy" not in results:
        return float("nan")
    values = np.asarray(results["target_entropy"].values, float) * PER_NAT[unit]
    return float(np.max(values[np.isfinite(values)], initial=-np.inf)) if np.isfinite(values).any() else float("nan")


def default_measure(results: xr.Dataset) -> str:
    """Name the measure to show if none is asked for: the first, which tests, metrics and verdicts are about."""
    return names_of(results, "measure")[0]


def measure_name(measure: str) -> str:
    """Write a measure as the literature does ("BROJA"), or as it is when it is not known here."""
    return MEASURES[measure].label if measure in MEASURES else measure


def atom_labels(results: xr.Dataset) -> dict[str, str]:
    """Name the four atoms after the two sources, for example "Unique: vision"."""
    first = results.attrs.get("source_1_label", "source 1")
    second = results.attrs.get("source_2_label", "source 2")
    names = ("Redundant", f"Unique: {first}", f"Unique: {second}", "Synergistic")
    return dict(zip(ATOMS, names, strict=True))


def condition_labels(results: xr.Dataset) -> list[str]:
    """Read the labels of the conditions, or their names if they have no labels."""
    source = results.coords.get("condition_label", results["condition"])
    return [str(label) for label in source.values]


def cut_window(results: xr.Dataset, condition: int) -> tuple[int, int] | None:
    """Find the layers between which a condition cuts attention.

    Decoder block b turns the state of layer b into the state of layer b + 1, so that a cut in blocks first..last
    spans the layer axis from first to last + 1.

    Args:
        results: the dataset made by `pid_jax.study`.
        condition: position of the condition.

    Returns:
        The two ends on the layer axis, or None if nothing is cut.
    """
    if "cut_first" not in results.coords or "cut_last" not in results.coords:
        return None
    first = int(results["cut_first"].values[condition])
    last = int(results["cut_last"].values[condition])
    return None if first < 0 else (first, last + 1)


def has_intervals(results: xr.Dataset) -> bool:
    """Tell whether the dataset holds an interval for every atom."""
    return all(f"{atom}_{end}" in results.data_vars for atom in ATOMS for end in ("lower", "upper"))


def tested_changes(results: xr.Dataset, measure: str) -> xr.Dataset | None:
    """Return what was tested: cut minus baseline for the atoms and informations, with intervals, under their own names.

    Args:
        results: the dataset made by `pid_jax.study`.
        measure: the measure to be shown.

    Returns:
        Differences over task, condition and layer in nats; None if none of this measure were tested.
    """
    if "difference" not in results or results.attrs.get("tested_measure") != measure:
        return None
    ends = {"": "difference", "_lower": "difference_lower", "_upper": "difference_upper"}
    quantities = names_of(results, "quantity")
    return xr.Dataset(
        {name + end: results[full].sel(quantity=name, drop=True) for name in quantities for end, full in ends.items()}
    )


def shares_of_total(cell: xr.Dataset) -> dict[str, np.ndarray]:
    """Express the atoms as a percentage of I_12.

        share = 100 atom / I_12

    Negative estimates stay negative: nothing is clipped.

    Args:
        cell: atoms and `i_12` in nats, over any dimensions they have in common.

    Returns:
        Percentages by atom; all NaN where an atom or I_12 is not known, or I_12 is below
        `LEAST_INFORMATION`.
    """
    total = cell["i_12"].values.astype(float)
    complete = np.isfinite(sum(cell[atom].values for atom in ATOMS))
    usable = complete & np.isfinite(total) & (total > LEAST_INFORMATION)
    divisor = np.where(usable, total, np.nan)
    return {atom: 100.0 * cell[atom].values / divisor for atom in ATOMS}


def shown_conditions(results: xr.Dataset, most: int = MOST_CONDITIONS) -> list[int]:
    """Choose conditions for the columns of a figure.

    Args:
        results: one model of the dataset made by `pid_jax.study`.
        most: how many columns are readable.

    Returns:
        Places of all conditions if they fit; else of the baseline and, for one set of edges after the other, of the
        window "all" or of the widest one.
    """
    count = results.sizes["condition"]
    if count <= most:
        return list(range(count))
    names, windows = cut_names(results), names_of(results, "window")
    widths = (results["cut_last"] - results["cut_first"]).where(results["cut_first"] >= 0, -1).values

    def width(place: int) -> float:
        return np.inf if windows[place] == WHOLE_WINDOW else float(widths[place])

    widest = [max((i for i, other in enumerate(names) if other == name), key=width) for name in edge_sets(results)]
    return [0, *sorted(widest[: most - 1])]


def edge_sets(results: xr.Dataset) -> list[str]:
    """Name what knockouts cut, each once and in order."""
    return list(dict.fromkeys(name for name in cut_names(results) if name))


def edge_labels(results: xr.Dataset) -> dict[str, str]:
    """Name what knockouts cut as their labels do, without the window; as `edge_sets` does if labels do not say more."""
    firsts = {name: cut_names(results).index(name) for name in edge_sets(results)}
    heads = {name: condition_labels(results)[place].partition(_CUT) for name, place in firsts.items()}
    labels = {name: head if cut and not name.startswith(head) else name for name, (head, cut, _) in heads.items()}
    return {name: label if list(labels.values()).count(label) == 1 else name for name, label in labels.items()}


def window_labels(results: xr.Dataset) -> list[str]:
    """Name the blocks that every condition cuts: "" for the baseline, "unknown" where the dataset does not say."""
    windows = zip(cut_names(results), names_of(results, "window"), strict=True)
    return [(window or UNKNOWN_WINDOW) if name else "" for name, window in windows]


def left_out(results: xr.Dataset, shown: list[int], where: str = "in the heat map of windows") -> str:
    """Say how many conditions a figure leaves out and where they are; nothing if none are."""
    count = results.sizes["condition"] - len(shown)
    if not count:
        return ""
    others = "One other condition is" if count == 1 else f"{count} other conditions are"
    return f"{others} left out here{f' and shown {where}' if 'difference' in results else ''}."
