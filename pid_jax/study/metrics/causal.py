"""Effects of knockouts: what is trapped, what compensates, and what it costs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from pid_jax.inference.intervals import SINGLE_ROUNDING, error_or_size, in_errors, p_value_of, reach_of
from pid_jax.inference.multiplicity import family_wise_by_rows
from pid_jax.study.metrics.draws import SYNERGY, UNIQUE_1, ModelDraws, at_depth
from pid_jax.study.metrics.intervals import noise_of, shared_bias, spread, with_ends
from pid_jax.study.metrics.sources import VISION, Sources
from pid_jax.study.results import LEVEL

# Answers that are added to those that changed, so that with none of n an interval still reaches about 3 / n.
PSEUDO_ANSWERS = 2
UNITS = {"units": "1"}


@dataclass(frozen=True, kw_only=True)
class Effect:
    """An effect of a knockout.

    Attributes:
        label: What it is, in words.
        unit: Its unit.
        of: Computes it from what changed in the atoms (..., atom), arranged as in `ModelDraws.arranged`.
        about: The modality that a source has to be; "" if none.
        is_final: Whether at the last layer, and not at that after the last block cut.
    """

    label: str
    unit: str
    of: Callable[[np.ndarray], np.ndarray]
    about: str = ""
    is_final: bool = False


ATOM_EFFECTS = {
    "trapped_vision": Effect(
        label="trapped vision-unique, after the cut",
        unit="nats",
        of=lambda change: change[..., UNIQUE_1],
        about=VISION,
    ),
    "trapped_vision_final": Effect(
        label="trapped vision-unique, at the last layer",
        unit="nats",
        of=lambda change: change[..., UNIQUE_1],
        about=VISION,
        is_final=True,
    ),
    "compensatory_synergy": Effect(
        label="compensatory synergy, after the cut", unit="nats", of=lambda change: change[..., SYNERGY]
    ),
    "information_cost": Effect(
        label="total information cost, after the cut", unit="nats", of=lambda change: change.sum(axis=-1)
    ),
}


def effect_labels(sources: Sources) -> dict[str, tuple[str, str]]:
    """List the effects that can be computed, with their units and what they are in words."""
    of_atoms = {name: (effect.unit, effect.label) for name, effect in sources.known(ATOM_EFFECTS).items()}
    return of_atoms | {"accuracy_change": ("1", "change of accuracy")}


def causal_metrics(results: xr.Dataset, models: Sequence[ModelDraws]) -> xr.Dataset:
    """Compute all effects of every knockout: by task, and their means over tasks.

    P-values are normal. `effect_family_wise` is adjusted for all knockouts of the task, effect by effect.

    Args:
        results: A study.
        models: What `read_models` reads of it.
    """
    each, overall, p_values = [], [], []
    for model, last_cut, samples in zip(models, results["cut_last"].values, results["n_samples"].values, strict=True):
        draws = drawn_effects(model, last_cut)
        errors = effect_errors(draws, samples)
        each.append(effect_ends(draws[0], errors))
        mean, of_mean = mean_effects(draws, errors)
        overall.append(effect_ends(mean, of_mean))
        p_values.append(_p_values(draws, errors))
    dims = ("model", "task", "condition", "effect_name")
    data = with_ends("effect", dims, np.stack(each, axis=1))
    data |= with_ends("overall_effect", ("model", "condition", "effect_name"), np.stack(overall, axis=1))
    names = ("effect_p", "effect_family_wise")
    data |= {name: (dims, values, UNITS) for name, values in zip(names, np.stack(p_values, axis=1), strict=True)}
    labels = effect_labels(Sources.of(results))
    coordinates = {
        "effect_name": list(labels),
        "effect_unit": ("effect_name", [unit for unit, _ in labels.values()]),
        "effect_label": ("effect_name", [label for _, label in labels.values()]),
    }
    return xr.Dataset(data, coords=coordinates)


def drawn_effects(model: ModelDraws, last_cut: np.ndarray) -> np.ndarray:
    """Compute the effects of all knockouts of one model.

    Args:
        model: What was found in it.
        last_cut: Last decoder block cut by every condition; -1 for the baseline, and where it is not known.

    Returns:
        Estimate and replicates (draw, task, condition, effect); NaN for the baseline and where there is no knockout.
        Where the last block is not known, what is behind it is NaN, and the effects at the end are not.
    """
    of_atoms, atoms = model.sources.known(ATOM_EFFECTS), model.arranged.atoms
    effects = np.full((*atoms.shape[:3], len(of_atoms) + 1), np.nan)
    layers, change = model.layers, atoms - atoms[:, :, :1]
    of_answers = model.accuracy - model.accuracy[:, :, :1]
    for condition in range(1, len(last_cut)):
        last = last_cut[condition]
        if last < 0 and not np.isfinite(atoms[:, :, condition]).any():
            continue  # there is no such knockout
        where = [last + 1 if last >= 0 else np.inf, layers[-1]]
        behind, final = np.moveaxis(at_depth(change[:, :, condition], layers, where), -1, 0)
        for place, effect in enumerate(of_atoms.values()):
            effects[:, :, condition, place] = effect.of(final if effect.is_final else behind)
        # Without replicates of the answers, or of the atoms, there is only the estimate.
        count = min(len(of_answers), len(effects))
        effects[:count, :, condition, -1] = of_answers[:count, :, condition]
    return effects


def mean_effects(draws: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average effects (draw, task, ...) over the tasks that have them, with the standard error of the mean.

    Tasks have different samples, so that their errors are independent but for `shared_bias`.
    """
    is_there = np.isfinite(draws[0])
    count = is_there.sum(axis=0)
    some = np.where(count > 0, count, np.nan)
    mean = np.where(is_there, draws[0], 0).sum(axis=0) / some
    return mean, shared_bias(count) * np.sqrt(np.where(is_there, errors**2, 0).sum(axis=0)) / some


def effect_errors(draws: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Compute standard errors of effects (task, condition or design, effect) from draws of them.

    What never varies cannot be told from what the corrections leave.
    """
    error = spread(draws)
    error[..., :-1] = error_or_size(error[..., :-1], draws[0, ..., :-1], SINGLE_ROUNDING)
    error[..., -1] = np.hypot(error[..., -1], error_of_answers(samples)[:, None])
    return error


def error_of_answers(samples: np.ndarray) -> np.ndarray:
    """Return the standard error that a change of the accuracy of some samples has in any case."""
    return np.sqrt(PSEUDO_ANSWERS) / samples


def effect_ends(value: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return effects with both ends of their intervals, (3, ...)."""
    far = reach_of(error, LEVEL)
    return np.stack([value, value - far, value + far])


def effect_distances(draws: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return effects in units of their standard errors; NaN where there are none."""
    return np.where(np.isfinite(errors), in_errors(draws[0], errors), np.nan)


def _p_values(draws: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """P-values and those adjusted for all conditions, (2, task, condition, effect)."""
    distance = effect_distances(draws, errors)
    single = p_value_of(distance)
    if len(draws) == 1:
        return np.stack([single, np.full_like(single, np.nan)])
    scatter = np.moveaxis(in_errors(noise_of(draws), errors), 0, -1)
    adjusted = family_wise_by_rows(np.swapaxes(distance, 1, 2), np.swapaxes(scatter, 1, 2))
    return np.stack([single, np.swapaxes(adjusted, 1, 2)])
