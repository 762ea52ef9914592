"""Which conditions a figure with a column for each can show, and where the others are."""

import numpy as np
import xarray as xr

from pid_jax.plot.quantities import condition_labels, names_of
from pid_jax.study.conditions import WHOLE_WINDOW
from pid_jax.study.results import cut_names

MOST_CONDITIONS = 4
MOST_CUTS = 2
UNKNOWN_WINDOW = "unknown"
# What stands in a label behind the name of what is cut.
_CUT = " cut, "


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
