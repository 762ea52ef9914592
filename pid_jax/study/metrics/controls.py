"""Effects of knockouts against those of their random controls."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.special import stdtr, stdtrit

from pid_jax.inference.intervals import SINGLE_ROUNDING, error_or_size
from pid_jax.study.metrics.causal import UNITS, drawn_effects, effect_labels, error_of_answers
from pid_jax.study.metrics.draws import ModelDraws
from pid_jax.study.metrics.intervals import shared_bias, spread, with_ends
from pid_jax.study.metrics.sources import Sources
from pid_jax.study.results import LEVEL

FEWEST = 2
"""So few controls, and no fewer, have a scatter."""


@dataclass(frozen=True, kw_only=True)
class AgainstControls:
    """An effect against those of its controls, each field (...), NaN where it is not known.

    Attributes:
        above: The effect minus the mean of its controls.
        reach: How far the interval of `above` goes to either side.
        p_value: Probability of a control that is as far from the mean of the others as the effect is from theirs.
        below: Part of the controls whose effect is smaller.
    """

    above: np.ndarray
    reach: np.ndarray
    p_value: np.ndarray
    below: np.ndarray


def effects_against_controls(results: xr.Dataset, models: Sequence[ModelDraws]) -> xr.Dataset:
    """Compare the effects of every knockout that has random controls with those of the controls.

    Args:
        results: A study; the coordinate `control_of` names the knockout of every control.
        models: What `read_models` reads of it.

    Returns:
        `effect_above_controls` with both ends of its interval, `effect_controls_p` and `effect_controls_below` by
        model, task, condition and effect, the same of means over tasks (`overall_...`), and `n_controls` by model and
        condition. Empty for a study without controls.
    """
    conditions = [str(name) for name in results["condition"].values]
    control_of = [str(name) for name in results["control_of"].values] if "control_of" in results.coords else []
    pairs = {
        place: own
        for place, name in enumerate(conditions)
        if (own := [k for k, of in enumerate(control_of) if of == name])
    }
    if not pairs:
        return xr.Dataset()
    shape = tuple(results.sizes[dim] for dim in ("model", "task", "condition"))
    effects = list(effect_labels(Sources.of(results)))
    each = np.full((5, *shape, len(effects)), np.nan)
    overall = np.full((5, shape[0], shape[2], len(effects)), np.nan)
    counts = np.zeros(shape[::2], int)
    for m, (model, last, samples) in enumerate(
        zip(models, results["cut_last"].values, results["n_samples"].values, strict=True)
    ):
        draws = drawn_effects(model, last)
        for place, own in pairs.items():
            there = [k for k in own if np.isfinite(draws[0, :, k]).any()]
            counts[m, place] = len(there)
            if there and np.isfinite(draws[0, :, place]).any():
                cut, controls = draws[:, :, place], np.moveaxis(draws[:, :, there], 2, 1)
                floor = _floor(samples, len(effects))
                each[:, m, :, place] = _listed(against_controls(cut, controls, floor))
                overall[:, m, place] = _listed(_over_tasks(cut, controls, floor))
    dims = ("model", "task", "condition", "effect_name")
    data = _variables("effect", dims, each) | _variables("overall_effect", (dims[0], *dims[2:]), overall)
    return xr.Dataset(data | {"n_controls": (dims[:3:2], counts, UNITS)}, coords={"effect_name": effects})


def against_controls(cut: np.ndarray, controls: np.ndarray, floor: np.ndarray | float = 0.0) -> AgainstControls:
    """Compare an effect with those of random controls of the same samples.

    A control is as good as any other, so without a route the effect of the knockout scatters as they do. Their scatter
    has what differs between edges and what each estimate misses for itself; what all conditions share cancels. So the
    distance to their mean over `sqrt(1 + 1 / n)` standard deviations of the n controls follows a t-distribution with
    n - 1 degrees of freedom. Where controls scatter less than the replicates of the difference, as n are few or their
    effects are nothing but zero, the error of the replicates is taken.

    Args:
        cut: Estimate of the effect, and replicates (draw, ...).
        controls: The same of the controls (draw, control, ...), with the same replicates.
        floor: A standard error that is added to both, (...).
    """
    count = controls.shape[1]
    difference = cut - controls.mean(axis=1)
    above = difference[0]
    sampling = error_or_size(spread(difference), above, SINGLE_ROUNDING)
    unknown = np.full_like(above, np.nan)
    below = np.where(np.isfinite(above), (controls[0] < cut[0]).mean(axis=0), np.nan)
    if count < FEWEST:
        return AgainstControls(above=above, reach=unknown, p_value=unknown, below=below)
    scatter = controls[0].std(axis=0, ddof=1)
    of_mean = np.hypot(np.sqrt(np.fmax(sampling**2, scatter**2 / count)), floor)
    of_one = np.hypot(np.fmax(sampling, scatter * np.sqrt(1 + 1 / count)), floor)
    distance = np.abs(above) / np.where(of_one > 0, of_one, 1)
    return AgainstControls(
        above=above,
        reach=stdtrit(count - 1, 0.5 + LEVEL / 2) * of_mean,
        p_value=2 * stdtr(count - 1, -distance),
        below=below,
    )


def _over_tasks(cut: np.ndarray, controls: np.ndarray, floor: np.ndarray) -> AgainstControls:
    """Compare means over the tasks that have the effect, and those of all controls."""
    is_there = np.isfinite(cut[0]) & np.isfinite(controls[0]).all(axis=0)  # (task, effect)
    count = is_there.sum(axis=0)
    some = np.where(count > 0, count, np.nan)
    wider = shared_bias(count)
    of_cut = np.where(is_there, cut, 0).sum(axis=1) / some
    of_controls = np.where(is_there, controls, 0).sum(axis=2) / some
    of_floor = np.sqrt(np.where(is_there, floor**2, 0).sum(axis=0)) / some
    found = against_controls(of_cut, of_controls, of_floor)
    return AgainstControls(above=found.above, reach=wider * found.reach, p_value=found.p_value, below=found.below)


def _floor(samples: np.ndarray, effects: int) -> np.ndarray:
    """Standard error that answers have in any case, as of `effect`: (task, effect)."""
    floor = np.zeros((len(samples), effects))
    floor[:, -1] = error_of_answers(samples)
    return floor


def _listed(found: AgainstControls) -> np.ndarray:
    return np.stack([found.above, found.above - found.reach, found.above + found.reach, found.p_value, found.below])


def _variables(name: str, dims: Sequence[str], values: np.ndarray) -> dict:
    data = with_ends(f"{name}_above_controls", dims, values[:3])
    more = zip(("p", "below"), values[3:], strict=True)
    return data | {f"{name}_controls_{end}": (tuple(dims), one, UNITS) for end, one in more}
