"""The order in which the page lists conditions: by what is cut, and by where the cut begins."""

import numpy as np
import xarray as xr

from pid_jax.plot.quantities import edge_sets, names_of
from pid_jax.study.conditions import WHOLE_WINDOW
from pid_jax.study.results import cut_names

# What the claims are about stands first.
FIRST_EDGES = "image-question"
_NEEDED = ("window", "cut_first", "cut_last")


def for_page(results: xr.Dataset) -> xr.Dataset:
    """Leave out replicates, which are not shown, and put the conditions in the order of the page.

    The baseline stands first; then come the cuts, one set of edges after the other, each with the window "all" first
    and the others by their first block. Without the coordinates that say where was cut, the order stays. Conditions of
    which the dataset does not say what they cut have their own names in `edges`.

    Args:
        results: The dataset made by `pid_jax.study`.
    """
    kept = results.drop_vars([name for name, values in results.variables.items() if "replicate" in values.dims])
    kept = kept.assign_coords(edges=("condition", cut_names(kept)))
    if not all(name in kept.coords for name in _NEEDED):
        return kept
    edges, windows = cut_names(kept), names_of(kept, "window")
    sets = sorted(edge_sets(kept), key=lambda edge: edge != FIRST_EDGES)
    first, last = (_blocks(kept, name) for name in ("cut_first", "cut_last"))

    def rank(place: int) -> tuple:
        edge = edges[place]
        own = 1 + sets.index(edge) if edge else 0
        return own, windows[place] != WHOLE_WINDOW, first[place], last[place], place

    return kept.isel(condition=[0, *sorted(range(1, len(edges)), key=rank)])


def _blocks(results: xr.Dataset, name: str) -> np.ndarray:
    """Read an end of every cut, as the first model has it that knows the cut; -1 without one."""
    values = results[name]
    values = values.transpose("model", "condition").values if "model" in values.dims else values.values[None]
    return values[(values >= 0).argmax(axis=0), np.arange(values.shape[1])]
