"""Metrics of trajectories: when vision-unique information peaks and decays, when language-unique rises, and shares."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from pid_jax.decompose.result import ATOMS
from pid_jax.pid.atoms import LEAST_INFORMATION
from pid_jax.study.metrics.draws import (
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
from pid_jax.study.metrics.intervals import Summary, at_crossing, at_peak, largest, normal, shared_bias, with_ends
from pid_jax.study.metrics.sources import LANGUAGE, VISION, Sources

EARLY = 0.5

# Reads a number off atoms (..., atom, layer) and the numbers of the layers.
Reading = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number of a trajectory, whose atoms are arranged as in `ModelDraws.arranged`.

    Attributes:
        label: What it is, in words.
        unit: Its unit.
        about: The modality that a source has to be; "" if none.
        summarize: Computes value and interval from estimate and replicates (draw, ..., atom, layer) and the layers.
        of: Computes the number alone, if it changes smoothly with the atoms.
    """

    label: str
    unit: str
    summarize: Callable[[np.ndarray, np.ndarray], Summary]
    about: str = ""
    of: Reading | None = None


def _smooth(label: str, unit: str, of: Reading, about: str = "") -> Metric:
    """A number that changes smoothly with the atoms."""
    return Metric(label=label, unit=unit, about=about, of=of, summarize=lambda a, layers: normal(of(a, layers)))


def _at_peak(label: str, unit: str, at: Reading) -> Metric:
    """A number that is read off where vision-unique is largest; `at` has it as if the peak were at each layer."""
    return Metric(label=label, unit=unit, about=VISION, summarize=lambda a, layers: at_peak(_vision(a), at(a, layers)))


def _largest(label: str, unit: str, curve: Callable[[np.ndarray], np.ndarray], about: str = "") -> Metric:
    """The largest value of a curve (..., layer)."""
    return Metric(label=label, unit=unit, about=about, summarize=lambda a, layers: largest(curve(a)))


def _crossing(
    label: str, peaked: Callable[[np.ndarray], np.ndarray], excess: Callable[[np.ndarray], np.ndarray], about: str
) -> Metric:
    """The depth behind the peak of a curve at which `excess` (..., peak, layer), how far it is from there, is zero."""

    def summarize(atoms: np.ndarray, layers: np.ndarray) -> Summary:
        places, depth = np.arange(len(layers)), depth_of(layers)
        value, lower, upper = (np.interp(x, places, depth) for x in at_crossing(peaked(atoms), excess(atoms)))
        return value, lower, upper

    return Metric(label=label, unit="1", about=about, summarize=summarize)


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


METRICS = {
    "peak_layer": _at_peak(
        "layer where vision-unique peaks", "layer", lambda atoms, layers: _like(layers, _vision(atoms))
    ),
    "peak_depth": _at_peak(
        "depth where vision-unique peaks", "1", lambda atoms, layers: _like(depth_of(layers), _vision(atoms))
    ),
    "peak_vision": _largest("largest vision-unique information", "nats", _vision, VISION),
    "final_vision": _smooth(
        "vision-unique information at the last layer", "nats", lambda atoms, _: atoms[..., UNIQUE_1, -1], VISION
    ),
    "decay": _at_peak("part of the vision-unique peak that is lost", "1", _decay),
    "half_depth": _crossing("depth where half of the vision-unique peak is left", _vision, _above_half, VISION),
    "onset_depth": _crossing(
        "depth where language-unique has risen half way", _minus_language, _short_of_half_way, LANGUAGE
    ),
    "vision_share_first": _smooth("share of vision-unique at the first layer", "1", _share_at(UNIQUE_1, 0.0), VISION),
    "vision_share_early": _smooth("share of vision-unique in the first half", "1", _early_vision_share, VISION),
    "language_share_first": _smooth(
        "share of language-unique at the first layer", "1", _share_at(UNIQUE_2, 0.0), LANGUAGE
    ),
    "language_share_middle": _smooth("share of language-unique half way", "1", _share_at(UNIQUE_2, 0.5), LANGUAGE),
    "language_share_last": _smooth(
        "share of language-unique at the last layer", "1", _share_at(UNIQUE_2, 1.0), LANGUAGE
    ),
    "language_share_gain": _smooth(
        "share that language-unique gains in the second half", "1", _language_gain, LANGUAGE
    ),
    "redundancy_share_last": _smooth("share of redundancy at the last layer", "1", _share_at(REDUNDANCY, 1.0)),
    "synergy_share_last": _smooth("share of synergy at the last layer", "1", _share_at(SYNERGY, 1.0)),
    "synergy_share_largest": _largest("largest share of synergy", "1", _synergy_share),
    "information_first": _smooth("information at the first layer", "nats", lambda atoms, _: information(atoms)[..., 0]),
    "information_last": _smooth("information at the last layer", "nats", lambda atoms, _: information(atoms)[..., -1]),
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


def _summaries(metrics: Iterable[Metric], atoms: np.ndarray, layers: np.ndarray) -> np.ndarray:
    """Value and ends (3, ..., metric) from atoms (draw, ..., atom, layer)."""
    return np.stack([np.stack(metric.summarize(atoms, layers)) for metric in metrics], axis=-1)


def _by_layer(atoms: np.ndarray, count: int) -> np.ndarray:
    found = np.stack(normal(shares(atoms)))
    missing = count - found.shape[-1]
    return np.pad(found, [(0, 0)] * (found.ndim - 1) + [(0, missing)], constant_values=np.nan)
