"""Cells that several processes made, brought together."""

import json
from collections.abc import Mapping

import numpy as np
import xarray as xr

from pid_jax.runtime.processes import Processes
from pid_jax.study.cache import decode_cell, encode_cell

Cell = xr.Dataset | str
"""A cell, or why it cannot be made."""
CellKey = tuple[str, int]
"""A cell of a model: the task, and the place of its store in `model.stores`."""


def gather_cells(
    own: Mapping[CellKey, Cell], digests: Mapping[CellKey, str], processes: Processes
) -> dict[CellKey, Cell]:
    """Wait for all processes, and return the cells of all.

    They travel between the processes as the bytes of their files, so it does not matter when a machine sees what
    another one wrote.

    Args:
        own: The cells of this process.
        digests: Hashes of all cells.
        processes: Those that have the others.
    """
    if processes.count == 1:
        return dict(own)
    content = {
        json.dumps(key): np.array(cell)
        if isinstance(cell, str)
        else np.frombuffer(encode_cell(digests[key], cell), np.uint8)
        for key, cell in own.items()
    }
    together: dict[CellKey, Cell] = {}
    for part in processes.gather_arrays(content):
        for name, value in part.items():
            task, place = json.loads(name)
            cell = str(value) if value.dtype.kind == "U" else decode_cell(value.tobytes())
            if cell is None:
                raise ValueError(f"The cell of task {task!r} arrived damaged from another process: start all again.")
            together[task, place] = cell
    return together
