"""The atoms behind several maps to latents, side by side: what the choice of the map does."""

import xarray as xr
from matplotlib.figure import Figure

from pid_jax.estimate.gaussianize import label_of
from pid_jax.plot.columns import plot_columns
from pid_jax.plot.quantities import ATOMS, check_results, compared_atoms, names_of


def plot_gaussianizers(results: xr.Dataset, *, unit: str = "bits") -> Figure:
    """Plot the baseline's atoms behind every map that was compared: a row for every task, a column for every map.

    Args:
        results: one model of the dataset made by `pid_jax.study`, with several maps.
        unit: "bits" or "nats".

    Returns:
        A figure that is not registered anywhere.

    Raises:
        ValueError: no maps were compared; otherwise see `check_results`.
    """
    check_results(results, unit=unit, variables=[f"compared_{atom}" for atom in ATOMS])
    baseline = compared_atoms(results).isel(condition=0)
    names = names_of(results, "gaussianizer")
    return plot_columns({label_of(n): baseline.isel(gaussianizer=i) for i, n in enumerate(names)}, unit)
