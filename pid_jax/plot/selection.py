"""Which conditions a figure with a column for each can show, and where the others are."""

import numpy as np
import xarray as xr

from pid_jax.plot.quantities import condition_labels, names_of

MOST_CONDITIONS = 4
MOST_CUTS = 2
WHOLE_WINDOW = "all"


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
    edges, windows = names_of(results, "edges"), names_of(results, "window")
    widths = (results["cut_last"] - results["cut_first"]).values

    def width(place: int) -> float:
        return np.inf if windows[place] == WHOLE_WINDOW else float(widths[place])

    widest = [max((i for i, e in enumerate(edges) if e == edge), key=width) for edge in edge_sets(results)]
    return [0, *sorted(widest[: most - 1])]


def edge_sets(results: xr.Dataset) -> list[str]:
    """Name what knockouts cut, each once and in order."""
    return list(dict.fromkeys(edge for edge in names_of(results, "edges") if edge))


def edge_label(results: xr.Dataset, condition: int) -> str:
    """Name the edges that a condition cuts as its label does, without the window."""
    label = condition_labels(results)[condition]
    return label.split(" cut")[0] if " cut" in label else str(results["edges"].values[condition])


def left_out(results: xr.Dataset, shown: list[int], where: str = "in the heat map of windows") -> str:
    """Say how many conditions a figure leaves out and where they are; nothing if none are."""
    count = results.sizes["condition"] - len(shown)
    if not count:
        return ""
    others = "One other condition is" if count == 1 else f"{count} other conditions are"
    return f"{others} left out here{f' and shown {where}' if 'difference' in results else ''}."
