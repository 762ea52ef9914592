"""What a reader must know before trusting numbers that exist: variance left out, few samples, intervals missing."""

import numpy as np
import xarray as xr

from pid_jax.decompose.result import ATOMS
from pid_jax.plot.quantities import condition_labels, default_measure, has_intervals
from pid_jax.report.formats import counted, percent

# Below one half, most of what varies is not looked at.
SMALLEST_VARIANCE = 0.5
# A covariance of d dimensions has d (d + 1)/2 entries, so that ten samples a dimension are about twenty a row of it.
SAMPLES_PER_DIMENSION = 10
_CELLS = ("model", "task", "condition")


def cautions(results: xr.Dataset) -> list[str]:
    """List what lowers the worth of estimates that exist, each in a sentence or two.

    Args:
        results: The dataset made by `pid_jax.study`.
    """
    return [*_variance(results), *_samples(results), *_intervals(results)]


def _variance(results: xr.Dataset) -> list[str]:
    """Say for every variable in how many combinations the reduction leaves out most of the variance."""
    attrs = results.attrs
    labels = {
        "explained_variance_1": str(attrs.get("source_1_label", "source 1")),
        "explained_variance_2": str(attrs.get("source_2_label", "source 2")),
        "explained_variance_target": "the target",
    }
    said = [_variance_of(results, name, label) for name, label in labels.items() if name in results]
    said = [sentence for sentence in said if sentence]
    if said and "baseline" in str(attrs.get("reduction", "")):
        said[-1] += (
            " The components are those of the baseline, so that a cut may move the states out of their span; what the "
            "states then tell outside of it is not counted."
        )
    return said


def _variance_of(results: xr.Dataset, name: str, label: str) -> str:
    kept = results[name].transpose(*_CELLS, "layer").values
    is_low = (kept < SMALLEST_VARIANCE).any(axis=-1)
    if not is_low.any():
        return ""
    m, t, c, layer = np.unravel_index(np.nanargmin(kept), kept.shape)
    names = (results["model"].values[m], results["task"].values[t], condition_labels(results)[c])
    count = int(np.isfinite(kept).any(axis=-1).sum())
    return (
        f"In {int(is_low.sum())} of {counted(count, 'combination')} of model, task and condition, the reduction keeps "
        f"less than half of the variance of {label} at some layer. The lowest is {percent(kept[m, t, c, layer])}, in "
        f"{', '.join(str(n) for n in names)}, layer {results['layer'].values[layer]}."
    )


def _samples(results: xr.Dataset) -> list[str]:
    """Say where samples are few for the dimensions of the study."""
    if "universe_dims" not in results.coords:
        return []
    dims = sum(int(d) for d in str(results["universe_dims"].values[0]).split(",") if d.strip().isdigit())
    counts = results["n_samples"].transpose("model", "task").values
    is_few = counts < SAMPLES_PER_DIMENSION * dims
    if not is_few.any():
        return []
    m, t = np.unravel_index(np.nanargmin(counts), counts.shape)
    where = f"{results['model'].values[m]}, {results['task'].values[t]}"
    return [
        f"{counted(int(is_few.sum()), 'task')} of a model {'has' if is_few.sum() == 1 else 'have'} fewer than "
        f"{SAMPLES_PER_DIMENSION} samples for each of the {dims} dimensions; the fewest are {counts[m, t]:.0f}, in "
        f"{where}. With so few, the bias of estimates may not be removed in full."
    ]


def _intervals(results: xr.Dataset) -> list[str]:
    """Say where estimates of the measure that is shown first have no interval."""
    if not has_intervals(results):
        return ["No estimate has an interval."]
    cell = results.sel(measure=default_measure(results))
    is_known = np.logical_and.reduce([np.isfinite(cell[atom].values) for atom in ATOMS])
    ends = [cell[f"{atom}_{end}"].transpose(*cell[atom].dims) for atom in ATOMS for end in ("lower", "upper")]
    is_missing = is_known & ~np.logical_and.reduce([np.isfinite(end.values) for end in ends])
    if not is_missing.any():
        return []
    return [f"{int(is_missing.sum())} of {counted(int(is_known.sum()), 'estimate')} have no interval."]
