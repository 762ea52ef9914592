"""The fingerprint of a task in a model: shares of the atoms at chosen depths; and how far fingerprints are apart."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from pid_jax.decompose.result import ATOMS
from pid_jax.study.metrics.draws import ModelDraws, at_depth, shares
from pid_jax.study.metrics.intervals import noise_of, normal, reach, with_ends

POINTS = {"first": 0.0, "quarter": 0.25, "middle": 0.5, "three_quarters": 0.75, "last": 1.0}


def fingerprints(results: xr.Dataset, models: Sequence[ModelDraws]) -> xr.Dataset:
    """Compute fingerprints of every model and task, and the Euclidean distances between all of them.

    Args:
        results: A study.
        models: What `read_models` reads of it.
    """
    draws = np.stack([_drawn_fingerprints(model) for model in models], axis=1)
    profiles = draws.reshape(len(draws), -1, len(POINTS) * len(ATOMS))
    data = with_ends("fingerprint", ("model", "task", "point", "share"), np.stack(normal(draws)), "1")
    data |= with_ends("fingerprint_distance", ("profile", "profile_2"), distances(profiles), "1")
    names = [(str(model), str(task)) for model in results["model"].values for task in results["task"].values]
    labels = [f"{model}/{task}" for model, task in names]
    return xr.Dataset(
        data,
        coords={
            "point": list(POINTS),
            "point_depth": ("point", list(POINTS.values())),
            "share": list(ATOMS),
            "profile": labels,
            "profile_2": labels,
            "profile_model": ("profile", [model for model, _ in names]),
            "profile_task": ("profile", [task for _, task in names]),
        },
    )


def _drawn_fingerprints(model: ModelDraws) -> np.ndarray:
    """Compute the fingerprints of one model, estimate and replicates (draw, task, point, share)."""
    found = shares(at_depth(model.baseline, model.depth, list(POINTS.values())))
    return np.swapaxes(found, -1, -2)


def distances(draws: np.ndarray) -> np.ndarray:
    """Compute distances between profiles without what noise adds to them.

    Noise adds its own variance to the expected squared distance; replicates say how much, and how it scatters.

    Args:
        draws: Estimate and replicates (draw, profile, number).

    Returns:
        Distances and ends of their intervals (3, profile, profile).
    """
    squares = np.stack([((one[:, None] - one[None]) ** 2).sum(axis=-1) for one in draws])
    added = sum(((one[:, None] - one[None]) ** 2).sum(axis=-1) for one in noise_of(draws)) / max(len(draws) - 2, 1)
    far = reach(squares)
    value = squares[0] - np.where(np.isfinite(added), added, 0)
    return np.sqrt(np.maximum(np.stack([value, value - far, value + far]), 0))
