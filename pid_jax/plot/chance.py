"""Where shares of random systems lie, as marks in figures of shares."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from pid_jax.study.metrics.draws import at_depth
from pid_jax.study.metrics.null import HIGH, LOW, RANGE

CHANCE_NOTE = f"{100 * (HIGH - LOW):.0f} % of random systems of the same size, spectra and information"
# As many layers of a panel are marked, the last always.
_MOST_MARKED = 12


def has_chance(results: xr.Dataset) -> bool:
    """Return whether a dataset knows the shares of random systems."""
    return {*RANGE} <= {*results.data_vars}


def chance_at_points(results: xr.Dataset, atom: str, point: int) -> np.ndarray | None:
    """Return the ends of the range of chance at the depth of a fingerprint (2, model, task); None where not known."""
    if not has_chance(results):
        return None
    where = [float(results["point_depth"].values[point])]
    found = np.full((2, results.sizes["model"], results.sizes["task"]), np.nan)
    for model in range(results.sizes["model"]):
        own = results.isel(model=model).sel(share=atom)
        depth = own["depth"].values
        known = np.isfinite(depth)
        for end, name in enumerate(RANGE):
            values = own[name].transpose("task", "layer").values[:, known]
            found[end, model] = at_depth(values, depth[known], where)[..., 0]
    return found


def draw_chance_in_stack(axes: Axes, cell: xr.Dataset, parts: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Mark the parts of a stack that are larger, or smaller, than chance gives.

    Args:
        axes: where to draw.
        cell: one task under the baseline, with the range of chance.
        parts: lower ends and heights of the parts in percent, by atom.
    """
    layers = cell["layer"].values
    marked = np.arange(len(layers))[::-1][:: -(-len(layers) // _MOST_MARKED)]
    look = {"color": "white", "edgecolors": "black", "linewidths": 0.4, "s": 11.0, "zorder": 4}
    for atom, (bottom, height) in parts.items():
        low, high = (100 * cell[name].sel(share=atom).values for name in RANGE)
        for sign, is_out in (("^", height > high), ("v", height < low)):
            where = marked[is_out[marked]]
            axes.scatter(layers[where], (bottom + height / 2)[where], marker=sign, **look)
