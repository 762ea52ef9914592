"""What every condition changes: differences to the baseline of the same samples, from the replicates of both."""

import numpy as np
import xarray as xr

from pid_jax.decompose.result import ATOMS
from pid_jax.inference.multiplicity import family_wise_by_rows
from pid_jax.inference.normal import (
    SINGLE_ROUNDING,
    error_or_size,
    in_errors,
    p_value_of,
    reach_of,
    without_rounding,
)
from pid_jax.pid.atoms import QUANTITIES

LEVEL = 0.95
_DIMS = ("model", "task", "condition", "quantity", "layer")


def add_differences(results: xr.Dataset) -> xr.Dataset:
    """Add differences to the baseline with intervals and p-values, those also adjusted for all layers of a row.

    Args:
        results: Cells of a study with `tested_*` and `replicate_*`; the baseline is the first condition.

    Returns:
        The same with `difference` and what belongs to it; NaN for the baseline itself.
    """
    values = _quantities({name: results[f"tested_{name}"].values for name in ATOMS})
    drawn = _quantities({name: results[f"replicate_{name}"].values.astype(np.float64) for name in ATOMS})
    difference = without_rounding(values - values[:, :, :1])
    scatter = drawn - drawn[:, :, :1]
    difference[:, :, 0] = np.nan
    scatter -= scatter.mean(axis=-1, keepdims=True)
    error = error_or_size(scatter.std(axis=-1), difference, SINGLE_ROUNDING)  # replicates are kept in float32
    distance = in_errors(difference, error)
    reach = reach_of(error, LEVEL)
    family_wise = family_wise_by_rows(distance, in_errors(without_rounding(scatter), error[..., None]))
    nats, one = {"units": "nats"}, {"units": "1"}
    data = {
        "difference": (_DIMS, difference, nats),
        "difference_lower": (_DIMS, difference - reach, nats),
        "difference_upper": (_DIMS, difference + reach, nats),
        "difference_p": (_DIMS, p_value_of(distance), one),
        "difference_family_wise": (_DIMS, family_wise, one),
    }
    return results.assign(data).assign_coords(quantity=list(QUANTITIES))


def _quantities(atoms: dict[str, np.ndarray]) -> np.ndarray:
    """Stack atoms and the informations that they sum to, before the layers."""
    i_1, i_2 = (atoms["redundancy"] + atoms[name] for name in ("unique_1", "unique_2"))
    every = {**atoms, "i_1": i_1, "i_2": i_2, "i_12": i_1 + atoms["unique_2"] + atoms["synergy"]}
    return np.stack([every[name] for name in QUANTITIES], axis=3)
