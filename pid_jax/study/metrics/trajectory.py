"""Metrics of trajectories: when vision-unique information peaks and decays, when language-unique rises, and shares."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from pid_jax.decompose.result import ATOMS
from pid_jax.study.metrics.draws import (
    LEAST_INFORMATION,
    REDUNDANCY,
    SYNERGY,
    UNIQUE_1,
    UNIQUE_2,
    ModelDraws,
    at_depth,
    complete_tasks,
    depth_of,
    information,
    shares,
)
from pid_jax.study.metrics.intervals import Summary, at_crossing, at_peak, largest, normal, shared_bias
from pid_jax.study.metrics.labels import with_ends
from pid_jax.study.metrics.sources import LANGUAGE, VISION, Sources

EARLY = 0.5


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number of a trajectory, whose atoms are arranged as in `ModelDraws.arranged`.

    Attributes:
        label: What it is, in words.
        unit: Its unit.
        about: The modality that a source has to be; "" if none.
    """

    label: str
    unit: str
    about: str = ""


@dataclass(frozen=True, kw_only=True)
class Smooth(Metric):
    """A metric that changes smoothly with the atoms.

    Attributes:
        of: Computes it from atoms (..., atom, layer) and the numbers of the layers.
    """

    of: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def summarize(self, atoms: np.ndarray, layers: np.ndarray) -> Summary:
        """Compute value and interval from estimate and replicates (draw, ..., atom, layer)."""
        return normal(self.of(atoms, layers))


@dataclass(frozen=True, kw_only=True)
class AtPeak(Metric):
    """A metric that is read off where a curve is largest.

    Attributes:
        peaked: Computes the curve (..., layer) from atoms.
        at: Computes the metric as if the peak were at each layer (..., layer), from atoms and layers.
    """

    peaked: Callable[[np.ndarray], np.ndarray]
    at: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def summarize(self, atoms: np.ndarray, layers: np.ndarray) -> Summary:
        """Compute value and interval from estimate and replicates (draw, ..., atom, layer)."""
        return at_peak(self.peaked(atoms), self.at(atoms, layers))


@dataclass(frozen=True, kw_only=True)
class Largest(Metric):
    """The largest value of a curve.

    Attributes:
        curve: Computes the curve (..., layer) from atoms.
    """

    curve: Callable[[np.ndarray], np.ndarray]

    def summarize(self, atoms: np.ndarray, layers: np.ndarray) -> Summary:
        """Compute value and interval from estimate and replicates (draw, ..., atom, layer)."""
        return largest(self.curve(atoms))


@dataclass(frozen=True, kw_only=True)
class Crossing(Metric):
    """A depth at which a curve first crosses a level set by its peak.

    Attributes:
        peaked: Computes the curve (..., layer) whose largest value is where the search starts.
        excess: How far the curve is from being across, (..., peak, layer).
    """

    peaked: Callable[[np.ndarray], np.ndarray]
    excess: Callable[[np.ndarray], np.ndarray]

    def summarize(self, atoms: np.ndarray, layers: np.ndarray) -> Summary:
        """Compute value and interval from estimate and replicates (draw, ..., atom, layer)."""
        places, depth = np.arange(len(layers)), depth_of(layers)
        value, lower, upper = (np.interp(x, places, depth) for x in at_crossing(self.peaked(atoms), self.excess(atoms)))
        return value, lower, upper


def _vision(atoms: np.ndarray) -> np.ndarray:
    return atoms[..., UNIQUE_1, :]


def _minus_language(atoms: np.ndarray) -> np.ndarray:
    return -atoms[..., UNIQUE_2, :]


def _synergy_share(atoms: np.ndarray) -> np.ndarray:
    return shares(atoms)[..., SYNERGY, :]


def _share_at(atom: int, where: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda atoms, layers: shares(at_depth(atoms, depth_of(layers), [where]))[..., atom, 0]


def _language_gain(atoms: np.ndarray, layers: np.ndarray) -> np.ndarray:
    return _share_at(UNIQUE_2, 1.0)(atoms, layers) - _share_at(UNIQUE_2, 0.5)(atoms, layers)


def _early_vision_share(atoms: np.ndarray, layers: np.ndarray) -> np.ndarray:
    early = atoms[..., depth_of(layers) <= EARLY].mean(axis=-1, keepdims=True)
    return shares(early)[..., UNIQUE_1, 0]


def _decay(atoms: np.ndarray, layers: np.ndarray) -> np.ndarray:
    curve = _vision(atoms)
    return 1 - curve[..., -1:] / np.where(curve > LEAST_INFORMATION, curve, np.nan)


def _above_half(atoms: np.ndarray) -> np.ndarray:
    curve = _vision(atoms)
    return curve[..., None, :] - 0.5 * curve[..., :, None]


def _short_of_half_way(atoms: np.ndarray) -> np.ndarray:
    curve = atoms[..., UNIQUE_2, :]
    return 0.5 * (curve[..., :, None] + curve[..., -1:, None]) - curve[..., None, :]


def _like(values: np.ndarray, curve: np.ndarray) -> np.ndarray:
    return np.broadcast_to(values, curve.shape)


AnyMetric = Smooth | AtPeak | Largest | Crossing
METRICS: dict[str, AnyMetric] = {
    "peak_layer": AtPeak(
        about=VISION,
        label="layer where vision-unique peaks",
        unit="layer",
        peaked=_vision,
        at=lambda atoms, layers: _like(layers, _vision(atoms)),
    ),
    "peak_depth": AtPeak(
        about=VISION,
        label="depth where vision-unique peaks",
        unit="1",
        peaked=_vision,
        at=lambda atoms, layers: _like(depth_of(layers), _vision(atoms)),
    ),
    "peak_vision": Largest(about=VISION, label="largest vision-unique information", unit="nats", curve=_vision),
    "final_vision": Smooth(
        about=VISION,
        label="vision-unique information at the last layer",
        unit="nats",
        of=lambda atoms, layers: atoms[..., UNIQUE_1, -1],
    ),
    "decay": AtPeak(
        about=VISION, label="part of the vision-unique peak that is lost", unit="1", peaked=_vision, at=_decay
    ),
    "half_depth": Crossing(
        about=VISION,
        label="depth where half of the vision-unique peak is left",
        unit="1",
        peaked=_vision,
        excess=_above_half,
    ),
    "onset_depth": Crossing(
        about=LANGUAGE,
        label="depth where language-unique has risen half way",
        unit="1",
        peaked=_minus_language,
        excess=_short_of_half_way,
    ),
    "vision_share_first": Smooth(
        about=VISION, label="share of vision-unique at the first layer", unit="1", of=_share_at(UNIQUE_1, 0.0)
    ),
    "vision_share_early": Smooth(
        about=VISION, label="share of vision-unique in the first half", unit="1", of=_early_vision_share
    ),
    "language_share_first": Smooth(
        about=LANGUAGE, label="share of language-unique at the first layer", unit="1", of=_share_at(UNIQUE_2, 0.0)
    ),
    "language_share_middle": Smooth(
        about=LANGUAGE, label="share of language-unique half way", unit="1", of=_share_at(UNIQUE_2, 0.5)
    ),
    "language_share_last": Smooth(
        about=LANGUAGE, label="share of language-unique at the last layer", unit="1", of=_share_at(UNIQUE_2, 1.0)
    ),
    "language_share_gain": Smooth(
        about=LANGUAGE, label="share that language-unique gains in the second half", unit="1", of=_language_gain
    ),
    "redundancy_share_last": Smooth(
        label="share of redundancy at the last layer", unit="1", of=_share_at(REDUNDANCY, 1.0)
    ),
    "synergy_share_last": Smooth(label="share of synergy at the last layer", unit="1", of=_share_at(SYNERGY, 1.0)),
    "synergy_share_largest": Largest(label="largest share of synergy", unit="1", curve=_synergy_share),
    "information_first": Smooth(
        label="information at the first layer", unit="nats", of=lambda atoms, layers: information(atoms)[..., 0]
    ),
    "information_last": Smooth(
        label="information at the last layer", unit="nats", of=lambda atoms, layers: information(atoms)[..., -1]
    ),
}


def trajectory_metrics(results: xr.Dataset, models: Sequence[ModelDraws]) -> xr.Dataset:
    """Compute the metrics of every task, and those of the trajectory that is the mean over tasks, of every model.

    Args:
        results: A study.
        models: What `read_models` reads of it.
    """
    each, overall, by_layer = [], [], []
    metrics = Sources.of(results).known(METRICS)
    for model in models:
        atoms, layers = model.arranged.baseline, model.layers
        each.append(_summaries(metrics.values(), atoms, layers))
        overall.append(_summaries(metrics.values(), mean_over_tasks(atoms), layers))
        by_layer.append(_by_layer(model.baseline, results.sizes["layer"]))
    data = with_ends("metric", ("model", "task", "metric_name"), np.stack(each, axis=1))
    data |= with_ends("overall_metric", ("model", "metric_name"), np.stack(overall, axis=1))
    data |= with_ends("layer_share", ("model", "task", "share", "layer"), np.stack(by_layer, axis=1), "1")
    units, labels = [m.unit for m in metrics.values()], [m.label for m in metrics.values()]
    return xr.Dataset(
        data,
        coords={
            "metric_name": list(metrics),
            "metric_unit": ("metric_name", units),
            "metric_label": ("metric_name", labels),
            "share": list(ATOMS),
        },
    )


def mean_over_tasks(atoms: np.ndarray) -> np.ndarray:
    """Average atoms (draw, task, ...) over the tasks that have an estimate at every layer; NaN without any.

    Errors of tasks are independent but for `shared_bias`, by which replicates are scaled.
    """
    complete = complete_tasks(atoms)
    if not complete.any():
        return np.full((atoms.shape[0], *atoms.shape[2:]), np.nan)
    mean = atoms[:, complete].mean(axis=1)
    return mean[:1] + shared_bias(complete.sum()) * (mean - mean[:1])


def _summaries(metrics: Iterable[AnyMetric], atoms: np.ndarray, layers: np.ndarray) -> np.ndarray:
    """Value and ends (3, ..., metric) from atoms (draw, ..., atom, layer)."""
    return np.stack([np.stack(metric.summarize(atoms, layers)) for metric in metrics], axis=-1)


def _by_layer(atoms: np.ndarray, count: int) -> np.ndarray:
    found = np.stack(normal(shares(atoms)))
    missing = count - found.shape[-1]
    return np.pad(found, [(0, 0)] * (found.ndim - 1) + [(0, missing)], constant_values=np.nan)
