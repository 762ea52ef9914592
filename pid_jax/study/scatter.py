"""Scatter of atoms from draw to draw of the samples, and from fit to fit."""

import dataclasses

import jax
import numpy as np

from pid_jax.decompose.result import ATOMS, PIDEstimate
from pid_jax.estimate.after_ranks import with_rank_errors
from pid_jax.estimate.gaussianize import Latents
from pid_jax.gaussian.wishart import numpy_generator
from pid_jax.inference.influence import influence_of_rows
from pid_jax.inference.intervals import reach_of, repeat_finite
from pid_jax.inference.replicates import weighted_replicates
from pid_jax.pid.atoms import PIDAtoms
from pid_jax.pid.calibration import LEAST_SHARE
from pid_jax.pid.measure import Redundancy
from pid_jax.runtime.progress import no_progress

# Estimates of atoms may be below zero by so many of their standard deviations.
MOST_BELOW = 2.0
# Atoms that scatter by no more nats do not scatter at all, but for rounding; and how small such an atom is.
STILL, SMALL = 1e-6, 0.01
# The errors of ranks are drawn alike in all conditions, which have most of them in common.
RANKS_SEED = 0


def scatter_of_atoms(
    latents: Latents,
    estimate: PIDEstimate,
    measure: Redundancy,
    weights: np.ndarray,
    key: jax.Array,
    level: float,
) -> PIDAtoms:
    """Compute the deviation of every replicate from the estimate.

    To first order a replicate with weights w of its n samples is off by Σ (w_i − 1) a_i / n, with the influence a_i of
    sample i. Where one source is ahead in every direction the influence is zero though the atom scatters; there the
    atoms of the weighted covariance are taken, around their mean. See docs/decisions/0017 for both.

    Args:
        latents: The latents (layers, n, D).
        estimate: What was found from them.
        measure: The measure.
        weights: Weights of the samples (replicates, n), n in total.
        key: A JAX random key of this cell, for the errors of fits.
        level: Level of the intervals of the estimate.

    Returns:
        Deviations (layers, replicates) in nats, with mean zero. After ranks they contain the noise of ranks, drawn
        alike in all conditions, so that it cancels in differences between conditions. After flows they contain what
        refits show of the error of a fit, drawn for each condition by itself, since each has its own fit.
    """
    influence = influence_of_rows(estimate.cov, estimate.dims, measure, latents.values)
    drawn = weighted_replicates(latents.values, estimate.dims, measure, weights, no_progress)
    smooth = {name: getattr(influence, name) @ (weights - 1).T / weights.shape[1] for name in ATOMS}
    rough = {name: getattr(drawn, name).T for name in ATOMS}
    chosen = jax.tree.map(lambda one, other: _choose(one, other).T, PIDAtoms(**smooth), PIDAtoms(**rough))
    scattered = with_rank_errors(chosen, estimate, latents, measure, jax.random.key(RANKS_SEED))
    centered = jax.tree.map(lambda x: (x - x.mean(axis=0)).T, scattered)
    return centered if latents.replicates is None else _with_errors_of_fits(centered, latents, estimate, key, level)


def _with_errors_of_fits(
    scatter: PIDAtoms, latents: Latents, estimate: PIDEstimate, key: jax.Array, level: float
) -> PIDAtoms:
    """Add noise where an interval of the estimate is wider than the scatter of the samples makes it."""
    if estimate.lower is None or estimate.upper is None or latents.used is None:
        return scatter
    rng, found = numpy_generator(key), {}
    has_flow = np.isin(np.arange(len(latents.values)), latents.used)
    for name in ATOMS:
        drawn = getattr(scatter, name)
        width = getattr(estimate.upper, name) - getattr(estimate.lower, name)
        missing = np.maximum((0.5 * width / reach_of(np.ones(1), level)) ** 2 - drawn.var(axis=1), 0)
        noise = rng.standard_normal(drawn.shape)
        error = np.where(has_flow & np.isfinite(missing), np.sqrt(missing), 0)
        found[name] = drawn + error[:, None] * (noise - noise.mean(axis=1, keepdims=True))
    return PIDAtoms(**found)


def without_impossible_signs(estimate: PIDEstimate, scatter: PIDAtoms) -> tuple[PIDEstimate, PIDAtoms]:
    """Remove from atoms what can only be an error of the correction of their bias, and make their replicates.

    No atom is below zero by more than it scatters. And where one source is ahead in every direction, the other's unique
    information is zero and does not scatter, so that what the correction leaves, some dims / n nats, is all that is
    seen. It is an error of U_1 + U_2: both are shifted by as much, and redundancy and synergy to the other side, so
    that the three informations stay.

    Args:
        estimate: What was found (layers,), with intervals or without.
        scatter: Deviations of its replicates (layers, replicates), see `scatter_of_atoms`.

    Returns:
        The estimate with atoms and intervals shifted, and replicates of its atoms (layers, replicates).
    """
    off: dict[str, np.ndarray] = {}
    for name in ATOMS:
        value, error = getattr(estimate.atoms, name), getattr(scatter, name).std(axis=1, ddof=1)
        is_still = (error <= STILL) & (np.abs(value) < SMALL)
        off[name] = np.nan_to_num(np.where(is_still, -value, np.maximum(-MOST_BELOW * error - value, 0)))

    def larger(one: str, other: str) -> np.ndarray:
        return np.where(np.abs(off[one]) >= np.abs(off[other]), off[one], off[other])

    shift = larger("unique_1", "unique_2") - larger("redundancy", "synergy")
    shifts = PIDAtoms(redundancy=-shift, unique_1=shift, unique_2=shift, synergy=-shift)
    atoms, lower, upper = (
        None if part is None else jax.tree.map(np.add, part, shifts)
        for part in (estimate.atoms, estimate.lower, estimate.upper)
    )
    moved = dataclasses.replace(estimate, atoms=atoms, lower=lower, upper=upper)
    return moved, jax.tree.map(lambda value, off: value[:, None] + off, atoms, scatter)


def _choose(smooth: np.ndarray, rough: np.ndarray) -> np.ndarray:
    """Take the first unless it scatters less than its share, layer by layer."""
    smooth, rough = (x - x.mean(axis=1, keepdims=True) for x in (smooth, repeat_finite(rough.T).T))
    scatter = smooth.std(axis=1, keepdims=True)
    is_blind = (scatter == 0) | (scatter < LEAST_SHARE * rough.std(axis=1, keepdims=True))
    return np.where(is_blind, rough, smooth)
