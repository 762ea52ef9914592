"""The few numbers of a task that a summary in words is made of."""

import numpy as np
import xarray as xr

from pid_jax.plot.quantities import PER_NAT, condition_labels, has_intervals, shares_of_total

# Differences of unique information below a tenth of a bit, or below a tenth of the baseline's value at the first
# layer, count as little: they are far below the answer to one yes/no question.
NOTICEABLE_BITS = 0.1
NOTICEABLE_FRACTION = 0.1
# "Fallen": below this fraction of the value at the first layer.
FALLEN_FRACTION = 0.1
# A change of accuracy within two standard errors counts as sampling error.
STANDARD_ERRORS = 2.0


def summarize_task(task: xr.Dataset, measure: str) -> dict:
    """Reduce one task of one model to what became of the first source's unique information, and the last layer.

    Args:
        task: Results of one model, as `one_model` cuts them out, and of one task.
        measure: The measure to summarize.

    Returns:
        Values in bits with their intervals (NaN if there are none), layers as their coordinate, shares in percent, and
        one entry under "cuts" for every knockout of this task.
    """
    cell = task.sel(measure=measure)
    layers = task["layer"].values
    own = cell["unique_1"].isel(condition=0).values * PER_NAT["bits"]
    below = own < FALLEN_FRACTION * own[0]
    lasting = [place for place in range(len(own)) if below[place:].all()]
    end = cell.isel(condition=0, layer=-1)
    shares = {atom: float(share) for atom, share in shares_of_total(end).items()}
    threshold = max(NOTICEABLE_BITS, NOTICEABLE_FRACTION * float(np.nan_to_num(own[0])))
    there = [c for c in range(1, task.sizes["condition"]) if str(task["cell"].values[c]) != "absent"]
    return {
        "task": str(task["task"].item()),
        "first": (float(own[0]), *_ends(cell, 0)),
        "last": (float(own[-1]), *_ends(cell, len(own) - 1)),
        "is_noticeable": bool(own[0] >= NOTICEABLE_BITS),
        "is_complete": bool(np.isfinite(own).all()),
        "fallen_at": int(layers[lasting[0]]) if lasting else None,
        "briefly_at": int(layers[below.argmax()]) if below.any() else None,
        "total": float(end["i_12"]) * PER_NAT["bits"],
        "shares": shares if np.isfinite(sum(shares.values())) else None,
        "positions": _positions(end),
        "last_layer": int(layers[-1]),
        "accuracy": float(task["accuracy"].values[0]),
        "cuts": [_summarize_cut(cell, place, threshold) for place in there],
    }


def _positions(end: xr.Dataset) -> dict[str, float]:
    """Read the percentile of every share among random systems, or tables, in percent; empty if they are unknown."""
    if "share_percentile" not in end:
        return {}
    found = {str(atom): 100 * float(end["share_percentile"].sel(share=atom)) for atom in end["share"].values}
    return found if np.isfinite([*found.values()]).all() else {}


def _ends(cell: xr.Dataset, layer: int) -> tuple[float, float]:
    """Read the interval of the baseline's `unique_1` in bits."""
    if not has_intervals(cell):
        return np.nan, np.nan
    here = cell.isel(condition=0, layer=layer)
    return float(here["unique_1_lower"]) * PER_NAT["bits"], float(here["unique_1_upper"]) * PER_NAT["bits"]


def _summarize_cut(cell: xr.Dataset, condition: int, threshold: float) -> dict:
    """Compare one cut with the baseline at the layer that decides the verdict, and compare the accuracies."""
    before, after = (cell["unique_1"].isel(condition=place).values * PER_NAT["bits"] for place in (0, condition))
    verdict, place = judge(before, after, threshold)
    accuracies = cell["accuracy"].values[[0, condition]].astype(float)
    variance = (accuracies * (1.0 - accuracies)).sum() / max(float(cell["n_samples"]), 1.0)
    return {
        "task": str(cell["task"].item()),
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


def judge(before: np.ndarray, after: np.ndarray, threshold: float) -> tuple[str, int]:
    """Name what a cut did, and the index of the layer at which it shows.

    "kept": at the last layer there is more than in the baseline, which had lost as much by then; "raised": more, though
    the baseline had lost nothing; "released": more at some layer, but no longer at the last one; "lowered": less;
    "little": never differs by the threshold; "unknown": the last layer, or every layer, lacks an estimate.

    Args:
        before: Unique information of the baseline at every layer.
        after: The same with the cut.
        threshold: Difference that counts.
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
