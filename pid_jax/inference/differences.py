"""Differences between two conditions of the same rows, their standard errors, intervals and p-values."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from pid_jax.decompose.result import PIDEstimate
from pid_jax.estimate.after_ranks import errors_of_differences
from pid_jax.estimate.gaussianize import Latents
from pid_jax.inference.influence import influence_of_rows
from pid_jax.inference.intervals import deviations, error_or_size, in_errors, note_repeated, p_value_of, reach_of
from pid_jax.inference.multiplicity import ROUNDING, false_discovery_rate, family_wise_by_maximum
from pid_jax.inference.replicates import row_replicates
from pid_jax.pid.atoms import PIDAtoms, PIDQuantities, quantities_of
from pid_jax.pid.calibration import LEAST_SHARE
from pid_jax.pid.measure import Redundancy
from pid_jax.runtime.progress import Progress, part_of


def infer_differences(
    latents: Sequence[Latents],
    estimates: Sequence[PIDEstimate],
    redundancy: Redundancy,
    *,
    block_length: int,
    resamples: int,
    level: float,
    key: jax.Array,
    progress: Progress,
) -> dict[str, Any]:
    """Compute how far the second of two conditions of the same rows is from the first, and how sure that is.

    Returns:
        By name, the fields of `PIDComparison` that these decide.
    """
    before, after = (quantities_of(e.atoms, e.information) for e in estimates)
    shown_before, shown_after = (  # as the samples show them, without any correction
        _with_information(e.atoms if e.bias is None else jax.tree.map(np.add, e.atoms, e.bias)) for e in estimates
    )
    replicates = _replicates(latents, estimates, redundancy, block_length, resamples, key, progress)
    jackknife = _jackknife(latents, estimates, redundancy, block_length)
    of_ranks = errors_of_differences(latents, estimates, redundancy, jax.random.fold_in(key, 1))
    with np.errstate(invalid="ignore"):  # of two infinite amounts
        difference = jax.tree.map(np.subtract, after, before)
        shown = jax.tree.map(np.subtract, shown_after, shown_before)
    informed = np.stack([e for one in (before, after) for e in (one.i_1, one.i_2, one.i_12)])
    rounding = ROUNDING * np.where(np.isfinite(informed), informed, 0).max(axis=0)
    notes = note_repeated(jax.tree.leaves(replicates), jax.tree.leaves(shown))
    return {"notes": notes, **_infer(difference, shown, replicates, jackknife, of_ranks, rounding, level)}


def _replicates(
    latents: Sequence[Latents],
    estimates: Sequence[PIDEstimate],
    redundancy: Redundancy,
    block_length: int,
    resamples: int,
    key: jax.Array,
    progress: Progress,
) -> PIDQuantities:
    """Draw rows, the same for both conditions because their key is, and take the differences of the plug-in values."""
    before, after = (
        row_replicates(x.values, e.dims, redundancy, resamples, block_length, key, part_of(progress, place, 2))
        for place, (x, e) in enumerate(zip(latents, estimates, strict=True))
    )
    with np.errstate(invalid="ignore"):  # of two infinite amounts
        return _with_information(jax.tree.map(np.subtract, after, before))


def _with_information(atoms: PIDAtoms) -> PIDQuantities:
    i_1, i_2 = (atoms.redundancy + unique for unique in (atoms.unique_1, atoms.unique_2))
    return PIDQuantities(**vars(atoms), i_1=i_1, i_2=i_2, i_12=i_1 + atoms.unique_2 + atoms.synergy)


def _jackknife(
    latents: Sequence[Latents], estimates: Sequence[PIDEstimate], redundancy: Redundancy, block_length: int
) -> PIDQuantities:
    """Compute standard errors of the differences from the influence of every row, or block of rows."""
    before, after = (
        influence_of_rows(e.cov, e.dims, redundancy, x.values) for e, x in zip(estimates, latents, strict=True)
    )

    def error(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        difference = other - one
        n = difference.shape[-1]
        around = np.concatenate([difference, difference[:, : block_length - 1]], axis=-1)
        sums = np.cumsum(np.pad(around, ((0, 0), (1, 0))), axis=-1)
        blocks = sums[:, block_length:] - sums[:, :-block_length]
        return np.sqrt((blocks**2).sum(axis=-1) / block_length) / n

    return jax.tree.map(error, before, after)


def _infer(
    difference: PIDQuantities,
    shown: PIDQuantities,
    replicates: PIDQuantities,
    jackknife: PIDQuantities,
    of_ranks: PIDQuantities,
    rounding: np.ndarray,
    level: float,
) -> dict[str, Any]:
    """Infer from differences with and without correction, standard errors, and what counts as rounding.

    The standard errors are those of replicates of the differences without correction or those of the jackknife, with
    what ranks add to them.

    Where samples show no difference, in themselves and in every replicate, both conditions are one function of the
    rows, and what corrections drawn at random leave between them is none.
    """
    scatter = jax.tree.map(deviations, replicates, shown)
    drawn = jax.tree.map(lambda x: x.std(axis=0), scatter)
    is_same = jax.tree.map(lambda x, sd: (np.abs(x) <= rounding) & (sd <= rounding), shown, drawn)
    difference = jax.tree.map(lambda same, x: np.where(same, 0, x), is_same, difference)
    error = jax.tree.map(lambda one, other, x: _standard_error(one, other, x, rounding), jackknife, drawn, difference)
    error = jax.tree.map(lambda sd, more, same: np.where(same, sd, np.hypot(sd, more)), error, of_ranks, is_same)
    reach = jax.tree.map(lambda sd: reach_of(sd, level), error)
    distance = jax.tree.map(in_errors, difference, error)
    p_value = jax.tree.map(p_value_of, distance)
    scatter = jax.tree.map(lambda x, sd: in_errors(np.where(sd > rounding, x, 0), sd), scatter, drawn)
    return {
        "difference": difference,
        "lower": jax.tree.map(np.subtract, difference, reach),
        "upper": jax.tree.map(np.add, difference, reach),
        "standard_error": error,
        "p_value": p_value,
        "false_discovery": jax.tree.map(false_discovery_rate, p_value),
        "family_wise": jax.tree.map(family_wise_by_maximum, distance, scatter),
    }


def _standard_error(
    jackknife: np.ndarray, drawn: np.ndarray, difference: np.ndarray, rounding: np.ndarray
) -> np.ndarray:
    """Choose between both standard errors."""
    error = np.where(jackknife < LEAST_SHARE * drawn, drawn, jackknife)
    return np.where(np.isinf(difference), np.nan, error_or_size(error, difference, rounding))
