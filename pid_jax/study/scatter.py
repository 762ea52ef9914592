"""How atoms scatter from draw to draw of the samples."""

import jax
import numpy as np

from pid_jax.decompose.result import ATOMS, PIDEstimate
from pid_jax.estimate.after_ranks import with_rank_errors
from pid_jax.estimate.gaussianize import Latents
from pid_jax.inference.influence import influence_of_rows
from pid_jax.inference.intervals import repeat_finite
from pid_jax.inference.replicates import weighted_replicates
from pid_jax.pid.atoms import PIDAtoms
from pid_jax.pid.calibration import LEAST_SHARE
from pid_jax.pid.measure import Redundancy
from pid_jax.runtime.progress import no_progress

# The errors of ranks are drawn alike in all conditions, which have most of them in common.
RANKS_SEED = 0


def scatter_of_atoms(latents: Latents, estimate: PIDEstimate, measure: Redundancy, weights: np.ndarray) -> PIDAtoms:
    """Say how far every replicate is from the estimate.

    To first order a replicate with weights w of its n samples is off by Σ (w_i − 1) a_i / n, with the influence a_i of
    sample i. Where one source is ahead in every direction the influence is zero though the atom scatters; there the
    atoms of the weighted covariance are taken, around their mean. See docs/decisions/0017 for both.

    Args:
        latents: The latents (layers, n, D).
        estimate: What was found from them.
        measure: The measure.
        weights: Weights of the samples (replicates, n), n in total.

    Returns:
        Deviations (layers, replicates) in nats, with mean zero. After ranks they know of the noise of ranks too, drawn
        alike in all conditions, so that differences between conditions do not have what both have.
    """
    influence = influence_of_rows(estimate.cov, estimate.dims, measure, latents.values)
    drawn = weighted_replicates(latents.values, estimate.dims, measure, weights, no_progress)
    smooth = {name: getattr(influence, name) @ (weights - 1).T / weights.shape[1] for name in ATOMS}
    rough = {name: getattr(drawn, name).T for name in ATOMS}
    chosen = jax.tree.map(lambda one, other: _choose(one, other).T, PIDAtoms(**smooth), PIDAtoms(**rough))
    scattered = with_rank_errors(chosen, estimate, latents, measure, jax.random.key(RANKS_SEED))
    return jax.tree.map(lambda x: (x - x.mean(axis=0)).T, scattered)


def _choose(smooth: np.ndarray, rough: np.ndarray) -> np.ndarray:
    """Take the first unless it scatters less than its share, layer by layer."""
    smooth, rough = (x - x.mean(axis=1, keepdims=True) for x in (smooth, repeat_finite(rough.T).T))
    scatter = smooth.std(axis=1, keepdims=True)
    is_blind = (scatter == 0) | (scatter < LEAST_SHARE * rough.std(axis=1, keepdims=True))
    return np.where(is_blind, rough, smooth)
