"""The claims under every compared measure, as rows of a table."""

import numpy as np
import xarray as xr

from pid_jax.plot.quantities import measure_name
from pid_jax.report.formats import FAILS, HOLDS, OPEN, typeset, with_unit
from pid_jax.study.results import about

_SIDES = {1: HOLDS, 0: FAILS, -1: OPEN}


def agreement(cell: xr.Dataset) -> str:
    """Write under how many measures a claim holds in a model: "3 of 5"; "" where none were compared."""
    if "by_measure_count" not in cell:
        return ""
    total = int(cell["by_measure_total"])
    return f"{int(cell['by_measure_count'])} of {total}" if total else ""


def measure_tables(*studies: xr.Dataset) -> list[dict]:
    """List the claims with their numbers under every compared measure, a table for each target that has any.

    Args:
        studies: Datasets made by `pid_jax.study`, one for each target.

    Returns:
        What each table is about, names of the measures, and rows with the claim, the model, a text for each measure
        and under how many the claim holds.
    """
    tables = []
    for results in studies:
        if "by_measure_value" not in results:
            continue
        cells = [results.isel(claim=c, model=m) for c, m in np.ndindex(results.sizes["claim"], results.sizes["model"])]
        rows = [_row(cell) for cell in cells if int(cell["by_measure_total"])]
        names = [measure_name(str(name)) for name in results["compared_measure"].values]
        if rows:
            tables.append({"about": about(results), "measures": names, "rows": rows})
    return tables


def _row(cell: xr.Dataset) -> dict:
    unit = str(cell["claim_unit"].item())
    texts = [
        f"{_SIDES[int(side)]}\u00a0{with_unit(float(value), unit)}"
        for side, value in zip(cell["by_measure_holds"].values, cell["by_measure_value"].values, strict=True)
    ]
    claim, model = typeset(str(cell["claim_text"].item())), str(cell["model"].item())
    return {"claim": claim, "model": model, "texts": texts, "agreement": agreement(cell)}
