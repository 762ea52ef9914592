"""BROJA beside MMI: what the choice of the measure does to the same estimates."""

import xarray as xr
from matplotlib.figure import Figure

from pid_jax.plot.columns import plot_columns
from pid_jax.plot.quantities import MEASURE_NAMES, check_results, measure_name


def plot_measures(results: xr.Dataset, *, unit: str = "bits") -> Figure:
    """Plot the baseline's atoms under both measures: a row for every task, a column for every measure.

    MMI sets redundancy to the smaller of I_1 and I_2, and so one of the unique atoms to zero at every layer; BROJA
    lets both be positive.

    Args:
        results: one model of the dataset made by `pid_jax.study`, with the measures "broja" and "mmi".
        unit: "bits" or "nats".

    Returns:
        A figure that is not registered anywhere.

    Raises:
        ValueError: one of the measures was not computed; otherwise see `check_results`.
    """
    for measure in MEASURE_NAMES:
        check_results(results, measure=measure, unit=unit)
    baseline = results.isel(condition=0)
    return plot_columns({f"{measure_name(m)}, baseline": baseline.sel(measure=m) for m in MEASURE_NAMES}, unit)
