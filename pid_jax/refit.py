"""Flows fitted again to samples whose information is known: what the fit does to the covariance of the latents."""

from collections.abc import Sequence

import jax
import numpy as np

from pid_jax.fit import fit_arrays
from pid_jax.flow_fit import FlowFit
from pid_jax.precision import single_precision
from pid_jax.progress import Progress, part_of


def refit_covariances(fit: FlowFit, variables: Sequence[np.ndarray], key: jax.Array, progress: Progress) -> np.ndarray:
    """Fit flows with the same settings to samples of two models whose information is known; return the covariances.

    What a refit finds beyond the information of its model is the bias of the whole procedure there: sampling,
    over-fitting, and what it misses. The first model is the fitted one. Its samples are as intricate as the data and,
    where the flows have over-fitted, more so. The second are the latents as they are: Gaussian, with nothing to miss.

    Args:
        fit: The flows, with at most one leading axis; its settings say how often.
        variables: The samples they were fitted to. Drawn samples are kept within their range, outside of which the
            model has seen nothing.
        key: A JAX random key.
        progress: See `fit_flow`; the first fit counts as the first part.

    Returns:
        Covariances of the latents (models, refits, problems, D, D): of the fitted model, for intervals the Gaussian.
    """
    refits, models = fit.spec.refits or 0, 1 + fit.spec.intervals
    found = []
    for place, one in enumerate(jax.random.split(key, models * refits)):
        for_samples, for_fit = jax.random.split(one)
        drawn = _draw_behind(fit, variables, for_samples) if place < refits else _draw_gaussian(fit, for_samples)
        arrays = [x.reshape(-1, *x.shape[-2:]) for x in drawn]
        is_free = fit.is_learned.reshape(-1, len(arrays))
        part = part_of(progress, place + 1, models * refits + 1)
        found.append(fit_arrays(arrays, fit.leading, is_free, fit.spec, for_fit, part).cov)
    return np.stack(found).reshape(models, refits, -1, *fit.cov.shape[-2:])


def _draw_behind(fit: FlowFit, variables: Sequence[np.ndarray], key: jax.Array) -> list[np.ndarray]:
    """Draw from the fitted model, kept within the range of the original samples, coordinate by coordinate."""
    drawn = []
    for x, original in zip(fit.sample(fit.samples, key), variables, strict=True):
        low, high = original.min(axis=-2, keepdims=True), original.max(axis=-2, keepdims=True)
        drawn.append(np.clip(np.nan_to_num(x.astype(np.float64), nan=0.0), low, high))
    return drawn


def _draw_gaussian(fit: FlowFit, key: jax.Array) -> list[np.ndarray]:
    with single_precision():
        noise = np.asarray(jax.random.normal(key, (fit.samples, sum(fit.dims))), np.float64)
    latents = noise @ np.swapaxes(np.linalg.cholesky(fit.cov), -1, -2)
    return np.split(latents, np.cumsum(fit.dims)[:-1], axis=-1)
