"""The choices that make a universe, as readers know them."""

import xarray as xr

from pid_jax.estimate.gaussianize import label_of
from pid_jax.plot.quantities import measure_name

CHOICES = ("universe_target", "universe_dims", "universe_gaussianizer", "universe_measure")
SAME_AGAIN = "the same again"


def universe_choices(results: xr.Dataset) -> list[dict[str, str]]:
    """Write the choices of every universe.

    Args:
        results: the dataset made by `pid_jax.study`, with verdicts of several universes.

    Returns:
        The words of each choice by its coordinate, for every universe; the first is the study itself.
    """
    names = [name for name in CHOICES if name in results.coords]
    count = results.sizes["universe"]
    return [{name: _choice(name, str(results[name].values[place])) for name in names} for place in range(count)]


def changed_choices(results: xr.Dataset) -> list[dict[str, str]]:
    """Keep the choices of the other universes that differ from those of the study.

    Args:
        results: the dataset made by `pid_jax.study`, with verdicts of several universes.
    """
    first, *others = universe_choices(results)
    return [{name: own for name, own in row.items() if own != first[name]} for row in others]


def _choice(kind: str, value: str) -> str:
    """Write one choice as readers know it."""
    if kind == "universe_dims":
        return f"dims {value.replace(',', '+').replace(' ', '')}"
    if kind == "universe_measure":
        return measure_name(value)
    return label_of(value)
