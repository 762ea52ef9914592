"""Draws and replicates as trees of data sets that ArviZ reads."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pid_jax.runtime.leading import AxisLabels

if TYPE_CHECKING:
    import xarray as xr

CHAIN, DRAW = "chain", "draw"


def draws_as_tree(
    group: str, values: Mapping[str, np.ndarray], chains: int, lead: AxisLabels, unit: str
) -> "xr.DataTree":
    """Return draws in one group of a tree, with axes "chain" and "draw" before those of problems.

    Args:
        group: Name of the group, such as "posterior".
        values: Draws (draws, ...) by name, one chain after another.
        chains: Number of chains.
        lead: Leading axes of problems.
        unit: That of atoms and informations.

    Raises:
        ValueError: If a leading axis is called "chain" or "draw".

    Source: the schema of InferenceData, ArviZ (Kumar et al. 2019), of which version 1 reads trees of xarray.
    """
    import xarray as xr

    taken = sorted({*lead} & {CHAIN, DRAW, *values})
    if taken:
        raise ValueError(f"leading axes need names that draws do not use, got {taken}: give others by axes=.")
    by_chain = {name: np.reshape(x, (chains, -1, *np.shape(x)[1:])) for name, x in values.items()}
    count = next(iter(by_chain.values())).shape[1]
    coords = {CHAIN: np.arange(chains), DRAW: np.arange(count), **{n: x for n, x in lead.items() if x is not None}}
    data = {name: ([CHAIN, DRAW, *lead], x) for name, x in by_chain.items()}
    return xr.DataTree.from_dict(
        {f"/{group}": xr.Dataset(data, coords, {"units": unit, "inference_library": "pid_jax"})}
    )
