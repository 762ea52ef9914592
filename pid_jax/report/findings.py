"""The few numbers of a task that a summary in words, or the caption of a figure, is made of."""

import numpy as np
import xarray as xr

from pid_jax.plot.quantities import (
    MEASURE_NAMES,
    PER_NAT,
    condition_labels,
    has_intervals,
    shares_of_total,
)

# Differences of unique information below a tenth of a bit, or below a tenth of the baseline's value at the first
# layer, count as little: they are far below the answer to one yes/no question.
NOTICEABLE_BITS = 0.1
NOTICEABLE_FRACTION = 0.1
# "Fallen": below this fraction of the value at the first layer.
FALLEN_FRACTION = 0.1
# A change of accuracy within two standard errors counts as sampling error.
STANDARD_ERRORS = 2.0


def summarize_task(task: xr.Dataset, measure: str) -> dict[str, object]:
    """Reduce one task to what became of the first source's unique information, and what the last layer holds.

    Args:
        task: results of one task.
        measure: the measure to summarize.

    Returns:
        Values in bits, layers as their coordinate, shares in percent, and one entry under "cuts" for every knockout.
    """
    cell = task.sel(measure=measure)
    layers = task["layer"].values
    own = cell["unique_1"].isel(condition=0).values * PER_NAT["bits"]
    below = own < FALLEN_FRACTION * own[0]
    lasting = [place for place in range(len(own)) if below[place:].all()]
    end = cell.isel(condition=0, layer=-1)
    shares = {atom: float(share) for atom, share in shares_of_total(end).items()}
    threshold = max(NOTICEABLE_BITS, NOTICEABLE_FRACTION * float(np.nan_to_num(own[0])))
    return {
        "task": str(task["task"].item()),
        "first": float(own[0]),
        "last": float(own[-1]),
        "is_noticeable": bool(own[0] >= NOTICEABLE_BITS),
        "is_complete": bool(np.isfinite(own).all()),
        "fallen_at": int(layers[lasting[0]]) if lasting else None,
        "briefly_at": int(layers[below.argmax()]) if below.any() else None,
        "total": float(end["i_12"]) * PER_NAT["bits"],
        "shares": shares if np.isfinite(sum(shares.values())) else None,
        "cuts": [_summarize_cut(cell, place, threshold) for place in range(1, task.sizes["condition"])],
        "contrast": contrast_measures(task.isel(condition=0)),
    }


def _summarize_cut(cell: xr.Dataset, condition: int, threshold: float) -> dict[str, object]:
    """Compare one cut with the baseline at the layer that decides the verdict, and compare the accuracies."""
    before, after = (cell["unique_1"].isel(condition=place).values * PER_NAT["bits"] for place in (0, condition))
    verdict, place = _judge(before, after, threshold)
    accuracies = cell["accuracy"].values[[0, condition]].astype(float)
    variance = (accuracies * (1.0 - accuracies)).sum() / max(float(cell["n_samples"]), 1.0)
    return {
        "condition": condition_labels(cell)[condition],
        "verdict": verdict,
        "layer": int(cell["layer"].values[place]),
        "before": float(before[place]),
        "after": float(after[place]),
        "is_separated": _is_separated(cell.isel(layer=place), condition),
        "accuracy_before": float(accuracies[0]),
        "accuracy_after": float(accuracies[1]),
        "is_accuracy_changed": bool(abs(accuracies[1] - accuracies[0]) > STANDARD_ERRORS * np.sqrt(variance)),
        "is_at_majority": bool(accuracies[1] <= float(cell["majority_rate"])),
    }


def _judge(before: np.ndarray, after: np.ndarray, threshold: float) -> tuple[str, int]:
    """Name what a cut did, and the place of the layer at which it shows.

    "kept": at the last layer there is more than in the baseline, which had lost as much by then; "raised": more, though
    the baseline had lost nothing; "released": more at some layer, but no longer at the last one; "lowered": less;
    "little": never differs by the threshold; "unknown": the last layer, or every layer, lacks an estimate.
    """
    change = after - before
    known = np.isfinite(change)
    last = len(change) - 1
    if not known[last]:
        return "unknown", last
    if change[last] >= threshold:
        return ("kept" if before[0] - before[last] >= threshold else "raised"), last
    if change[last] <= -threshold:
        return "lowered", last
    largest = int(np.where(known, change, -np.inf).argmax())
    if change[largest] >= threshold:
        return "released", largest
    widest = int(np.where(known, np.abs(change), -1.0).argmax())
    return ("lowered" if change[widest] <= -threshold else "little"), widest


def _is_separated(cell: xr.Dataset, condition: int) -> bool | None:
    """Tell whether the intervals of baseline and knockout are disjoint; None if there are none."""
    if not has_intervals(cell):
        return None
    lower, upper = (cell[f"unique_1_{end}"].values[[0, condition]] for end in ("lower", "upper"))
    return bool(lower[1] > upper[0] or lower[0] > upper[1])


def summarize_tests(task: xr.Dataset) -> dict[str, object] | None:
    """Collect what was tested in one task: what each source adds to the other, and what each cut changes.

    Args:
        task: results of one task.

    Returns:
        Under "added" for every condition the layers at which source_1, and source_2, adds something; under "changed"
        for every cut and quantity the layers at which it differs, and the largest difference in bits with its interval.
        None if nothing was tested.
    """
    if "added_family_wise" not in task:
        return None
    chance = 1 - float(task.attrs.get("tested_level", 0.95)) + 1e-12
    layers, labels = task["layer"].values, condition_labels(task)

    def below(p_values: np.ndarray) -> list[int]:
        return [int(layer) for layer in layers[p_values <= chance]]

    added = [
        {"condition": label, "layers": [below(p) for p in task["added_family_wise"].isel(condition=place).values]}
        for place, label in enumerate(labels)
    ]
    changed = []
    for place, label in enumerate(labels[1:], start=1):
        for name in task["quantity"].values:
            cell = task.isel(condition=place).sel(quantity=name)
            size = np.abs(cell["difference"].values)
            at = int(np.nanargmax(size)) if np.isfinite(size).any() else 0
            ends = ("difference", "difference_lower", "difference_upper")
            value, lower, upper = (float(cell[end].values[at]) * PER_NAT["bits"] for end in ends)
            found = {"value": value, "lower": lower, "upper": upper, "layer": int(layers[at])}
            changed.append(
                {"condition": label, "quantity": str(name), "layers": below(cell["difference_family_wise"].values)}
                | found
            )
    return {"added": added, "changed": changed}


def contrast_measures(baseline: xr.Dataset) -> dict[str, object] | None:
    """Find the layer at which BROJA and MMI disagree most about the first source.

    Args:
        baseline: results of one task without a cut.

    Returns:
        The layer, and `unique_1` and `synergy` under both measures in bits; None if one of them is not there.
    """
    if not set(MEASURE_NAMES) <= {str(name) for name in baseline["measure"].values}:
        return None
    pair = baseline[["unique_1", "synergy"]].sel(measure=list(MEASURE_NAMES)) * PER_NAT["bits"]
    excess = pair["unique_1"].isel(measure=0).values - pair["unique_1"].isel(measure=1).values
    if not np.isfinite(excess).any():
        return None
    place = int(np.nanargmax(excess))
    values = {name: pair[name].isel(layer=place).values.tolist() for name in ("unique_1", "synergy")}
    return {"layer": int(pair["layer"].values[place]), "excess": float(excess[place]), **values}
