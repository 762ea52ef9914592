"""Flows fitted again to samples of the fitted model: what the fit itself does to the covariance of the latents."""

from collections.abc import Sequence

import jax
import numpy as np

from pid_jax.fit import fit_flow
from pid_jax.flow_fit import FlowFit
from pid_jax.progress import Progress, part_of


def refit_covariances(
    fit: FlowFit, variables: Sequence[np.ndarray], refits: int, key: jax.Array, progress: Progress
) -> np.ndarray:
    """Draw data sets from a fitted model, fit flows to each with the same settings, and return their covariances.

    The information in the model is known. What a refit finds above or below it is the bias of the whole procedure at a
    truth like this one: sampling, over-fitting, and what the flow cannot represent of its own kind.

    Args:
        fit: The flows.
        variables: The samples they were fitted to. Drawn samples are kept within their range, outside of which the
            model has seen nothing.
        refits: Number of data sets.
        key: A JAX random key.
        progress: See `fit_flow`; the first fit counts as the first part.

    Returns:
        Covariances of the latents (refits, ..., D, D).
    """
    found = []
    for place, one in enumerate(jax.random.split(key, refits)):
        for_samples, for_fit = jax.random.split(one)
        drawn = fit.sample(fit.samples, for_samples)
        kept = [_within(x, original) for x, original in zip(drawn, variables, strict=True)]
        again = fit_flow(*kept, spec=fit.spec, key=for_fit, progress=part_of(progress, place + 1, refits + 1))
        found.append(again.cov)
    return np.stack(found)


def _within(drawn: np.ndarray, original: np.ndarray) -> np.ndarray:
    """Keep samples within the range of the original ones, coordinate by coordinate."""
    low, high = original.min(axis=-2, keepdims=True), original.max(axis=-2, keepdims=True)
    return np.clip(np.nan_to_num(drawn.astype(np.float64), nan=0.0), low, high)
