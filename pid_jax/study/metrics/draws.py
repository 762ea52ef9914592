"""Atoms of a study as plain arrays: the estimate first, then its replicates."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr

from pid_jax.decompose.result import ATOMS
from pid_jax.pid.atoms import LEAST_INFORMATION
from pid_jax.study.metrics.sources import Sources

REDUNDANCY, UNIQUE_1, UNIQUE_2, SYNERGY = range(len(ATOMS))


@dataclass(frozen=True, kw_only=True)
class ModelDraws:
    """What a study found in one model: draw 0 is the estimate, the others are replicates, if there are any.

    Attributes:
        atoms: Nats, (draw, task, condition, atom, layer).
        accuracy: Share of correct answers (draw, task, condition).
        layers: Numbers of the layers that were recorded.
        sources: What the sources are.
    """

    atoms: np.ndarray
    accuracy: np.ndarray
    layers: np.ndarray
    sources: Sources = field(default_factory=Sources)

    @property
    def arranged(self) -> "ModelDraws":
        """The same with vision-unique in the place of `UNIQUE_1` and language-unique in that of `UNIQUE_2`."""
        return replace(self, atoms=self.sources.arrange(self.atoms))

    @property
    def baseline(self) -> np.ndarray:
        """Atoms of the baseline (draw, task, atom, layer)."""
        return self.atoms[:, :, 0]

    @property
    def depth(self) -> np.ndarray:
        """Depth of the layers, from 0 to 1."""
        return depth_of(self.layers)


def read_models(results: xr.Dataset) -> list[ModelDraws]:
    """Read the atoms and accuracies of all models.

    Layers between others that could not be estimated are filled in from their neighbors.
    """
    return [_read_model(results, model) for model in range(results.sizes["model"])]


def _read_model(results: xr.Dataset, model: int) -> ModelDraws:
    layers = results["layer"].values
    layers = layers[layers <= int(results["last_layer"].values[model])].astype(float)
    axes, has_layer = ("task", "condition", "layer"), slice(len(layers))

    def read(name: str, *names: str) -> np.ndarray:
        found = results[name].isel(model=model)
        return found.transpose(*names).values.astype(float)

    point = [read(name, "measure", *axes)[0] for name in ATOMS]
    atoms, accuracy = np.stack(point, axis=-2)[None], read("accuracy", *axes[:2])[None]
    if f"replicate_{ATOMS[0]}" in results:
        drawn = np.stack([read(f"replicate_{name}", "replicate", *axes) for name in ATOMS], axis=-2)
        atoms = np.concatenate([atoms, drawn])
    if "replicate_accuracy" in results:
        accuracy = np.concatenate([accuracy, read("replicate_accuracy", "replicate", *axes[:2])])
    atoms = _fill(atoms[..., has_layer], layers)
    return ModelDraws(atoms=atoms, accuracy=accuracy, layers=layers, sources=Sources.of(results))


def depth_of(layers: np.ndarray) -> np.ndarray:
    """Depth of layers as a part of that of the last one."""
    return layers / max(layers[-1], 1.0)


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


def _fill(atoms: np.ndarray, layers: np.ndarray) -> np.ndarray:
    """Fill unknown layers between known ones; replicates are filled where the estimate is."""
    is_known = np.isfinite(atoms[0]).all(axis=-2)
    for cell in zip(*np.nonzero(is_known.any(axis=-1) & ~is_known.all(axis=-1)), strict=True):
        known = np.flatnonzero(is_known[cell])
        curves = atoms[(slice(None), *cell)]
        atoms[(slice(None), *cell)] = at_depth(curves[..., known], layers[known], layers)
    return atoms
