"""The redundancy measures of a study side by side: what the choice of the measure does to the same estimates."""

import xarray as xr
from matplotlib.figure import Figure

from pid_jax.plot.columns import plot_columns
from pid_jax.plot.quantities import check_results, measure_name, names_of


def plot_measures(results: xr.Dataset, *, unit: str = "bits") -> Figure:
    """Plot the baseline's atoms under every measure: a row for every task, a column for every measure.

    MMI sets redundancy to the smaller of I_1 and I_2, and so one of the unique atoms to zero at every layer; BROJA
    lets both be positive.

    Args:
        results: one model of the dataset made by `pid_jax.study`, with several measures.
        unit: "bits" or "nats".

    Returns:
        A figure that is not registered anywhere.

    Raises:
        ValueError: there is one measure only; otherwise see `check_results`.
    """
    check_results(results, unit=unit)
    measures = names_of(results, "measure")
    if len(measures) < 2:
        raise ValueError(f"results must hold several measures, got {measures}; plot one with plot_trajectories")
    baseline = results.isel(condition=0)
    return plot_columns({f"{measure_name(m)}, baseline": baseline.sel(measure=m) for m in measures}, unit)
