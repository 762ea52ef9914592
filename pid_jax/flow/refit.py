"""Flows fitted again to samples whose information is known: what the fit does to the covariance of the latents."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np

from pid_jax.flow.fit import fit_again
from pid_jax.flow.fitted import FlowFit, covariance_of, draw_latents, split_variables
from pid_jax.runtime.progress import Progress, part_of


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Replicates:
    """Covariances (models, refits, problems, D, D) of samples drawn from models whose information is known.

    Attributes:
        drawn: Of the latents as they were drawn: off by sampling.
        found: Of the latents behind the flows fitted to those samples: off by the same sampling, and by the fit.
    """

    drawn: np.ndarray
    found: np.ndarray


def refit_covariances(fit: FlowFit, variables: Sequence[np.ndarray], key: jax.Array, progress: Progress) -> Replicates:
    """Fit flows with the same settings to samples of two models whose information is known.

    What a refit finds beyond the information of its samples is the bias of the fit there: over-fitting, and what it
    misses. The first model is the fitted one. Its samples are as intricate as the data and, where the flows have
    over-fitted, more so. The second are the latents as they are: Gaussian, with nothing to miss.

    Args:
        fit: The flows, with at most one leading axis; its settings say how often.
        variables: The samples they were fitted to. Drawn samples are kept within their range, outside of which the
            model has seen nothing.
        key: A JAX random key.
        progress: See `fit_flow`; the first fit counts as the first part.

    Returns:
        Covariances for each model: the fitted one and, for intervals, the Gaussian.
    """
    refits, models = fit.spec.refits or 0, 1 + fit.spec.intervals
    drawn, found = [], []
    for place, one in enumerate(jax.random.split(key, models * refits)):
        for_samples, for_fit = jax.random.split(one)
        latents = draw_latents(fit, fit.samples, for_samples)
        samples = split_variables(latents, fit.dims)
        if place < refits:
            samples = _undo(fit, samples, variables)
        drawn.append(covariance_of(latents))
        found.append(fit_again(fit, samples, for_fit, part_of(progress, place + 1, models * refits + 1)).cov)
    shape = (models, refits, -1, *fit.cov.shape[-2:])
    return Replicates(drawn=np.stack(drawn).reshape(shape), found=np.stack(found).reshape(shape))


def _undo(fit: FlowFit, latents: Sequence[np.ndarray], variables: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Map latents back, kept within the range of the original samples, coordinate by coordinate."""
    drawn = []
    for x, original in zip(fit.inverse(*latents), variables, strict=True):
        low, high = original.min(axis=-2, keepdims=True), original.max(axis=-2, keepdims=True)
        drawn.append(np.clip(np.nan_to_num(x.astype(np.float64), nan=0.0), low, high))
    return drawn
