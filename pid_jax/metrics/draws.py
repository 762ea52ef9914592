"""Atoms of a study as plain arrays: the estimate first, then its replicates."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from pid_jax.result import ATOMS

REDUNDANCY, UNIQUE_1, UNIQUE_2, SYNERGY = range(len(ATOMS))
# A share of less information than this many nats is not computed.
LEAST_INFORMATION = 0.01


def drawn_atoms(results: xr.Dataset, model: int) -> np.ndarray:
    """Read the atoms of one model.

    Layers between others that could not be estimated are filled in from their neighbors.

    Args:
        results: A study.
        model: Its place among the models.

    Returns:
        Nats, (draw, task, condition, atom, layer) up to the last layer of the model. Draw 0 is the estimate, the others
        are replicates, if there are any.
    """
    one = results.isel(model=model)
    axes = ("task", "condition", "layer")
    if f"tested_{ATOMS[0]}" in results:
        point = [one[f"tested_{name}"].transpose(*axes).values for name in ATOMS]
    else:
        point = [one[name].isel(measure=0).transpose(*axes).values for name in ATOMS]
    atoms = np.stack(point, axis=-2)[None].astype(float)
    if f"replicate_{ATOMS[0]}" in results:
        drawn = [one[f"replicate_{name}"].transpose("replicate", *axes).values for name in ATOMS]
        atoms = np.concatenate([atoms, np.stack(drawn, axis=-2).astype(float)])
    return _fill(atoms[..., : int(one["last_layer"]) + 1])


def drawn_accuracy(results: xr.Dataset, model: int) -> np.ndarray:
    """Read the accuracy of one model (draw, task, condition), with as many draws as the atoms have."""
    one = results.isel(model=model)
    point = one["accuracy"].transpose("task", "condition").values[None].astype(float)
    if "replicate_accuracy" in results:
        drawn = one["replicate_accuracy"].transpose("replicate", "task", "condition").values
        return np.concatenate([point, drawn.astype(float)])
    missing = np.full((results.sizes.get("replicate", 0), *point.shape[1:]), np.nan)
    return np.concatenate([point, missing])


def model_depth(results: xr.Dataset, model: int) -> np.ndarray:
    """Depth of the layers of one model, from 0 to 1."""
    last = int(results["last_layer"].isel(model=model))
    return np.arange(last + 1) / max(last, 1)


def information(atoms: np.ndarray) -> np.ndarray:
    """Sum the atoms (..., atom, layer) to I_12 (..., layer)."""
    return atoms.sum(axis=-2)


def shares(atoms: np.ndarray) -> np.ndarray:
    """Divide the atoms (..., atom, layer) by I_12; NaN where that is tiny."""
    total = information(atoms)[..., None, :]
    return atoms / np.where(total > LEAST_INFORMATION, total, np.nan)


def at_depth(values: np.ndarray, depth: np.ndarray, where: Sequence[float] | np.ndarray) -> np.ndarray:
    """Interpolate values (..., layer) at depths, linearly; NaN outside of the depths that are known."""
    place = np.interp(where, depth, np.arange(len(depth)))
    before = np.minimum(place.astype(int), max(len(depth) - 2, 0))
    part = place - before
    after = np.minimum(before + 1, len(depth) - 1)
    found = np.where(part < 1, (1 - part) * values[..., before], 0) + np.where(part > 0, part * values[..., after], 0)
    outside = (np.asarray(where) < depth[0]) | (np.asarray(where) > depth[-1])
    return np.where(outside, np.nan, found)


def complete_tasks(atoms: np.ndarray) -> np.ndarray:
    """Tell which tasks have estimates at every layer, from atoms (draw, task, ..., layer)."""
    return np.isfinite(atoms[0]).all(axis=tuple(range(1, atoms.ndim - 1)))


def _fill(atoms: np.ndarray) -> np.ndarray:
    """Fill unknown layers between known ones; replicates are filled where the estimate is."""
    layers = np.arange(atoms.shape[-1])
    is_known = np.isfinite(atoms[0]).all(axis=-2)
    for cell in zip(*np.nonzero(is_known.any(axis=-1) & ~is_known.all(axis=-1)), strict=True):
        known = np.flatnonzero(is_known[cell])
        curves = atoms[(slice(None), *cell)]
        atoms[(slice(None), *cell)] = at_depth(curves[..., known], known.astype(float), layers)
    return atoms
