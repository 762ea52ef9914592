"""Normal scores of ranks: the Gaussian copula."""

from collections.abc import Sequence

import numpy as np

from pid_jax.estimate.gaussianizer import FitOptions, GaussianizerRecord, Latents
from pid_jax.flow.marginal import QUARTILES, gaussianize_copula
from pid_jax.reduce.pca import Reduced
from pid_jax.settings.gaussianize import Copula


def _fit(reduced: Sequence[Reduced], copula: Copula, _: FitOptions) -> Latents:
    return Latents.of(copula, normal_scores(reduced, copula))


COPULA = GaussianizerRecord(name="copula", label="rank copula", default=Copula(), fit=_fit, is_ranked=True)


def normal_scores(reduced: Sequence[Reduced], spec: Copula) -> np.ndarray:
    """Map each coordinate of all variables to normal scores, and put the variables side by side."""
    widths = [one.scores.shape[-1] for one in reduced]
    count = max(len(one.scores) for one in reduced)
    joined = np.empty((count, reduced[0].scores.shape[1], sum(widths)))
    for one, end in zip(reduced, np.cumsum(widths), strict=True):
        part = joined[..., end - one.scores.shape[-1] : end]
        for scores, rounding, into in zip(np.asarray(one.scores), np.asarray(one.rounding), part, strict=False):
            gaussianize_copula(scores, _noise(scores, rounding, spec.tie_tolerance), into)
        part[len(one.scores) :] = part[0]  # a variable that is the same in all problems
    return joined


def _noise(scores: np.ndarray, rounding: np.ndarray, tie_tolerance: float) -> np.ndarray:
    """Return how far values are from others that count as equal (n, 1) or (n, d)."""
    noise = rounding[:, None]
    if tie_tolerance > 0:
        low, high = np.quantile(scores, [0.25, 0.75], axis=0)
        noise = noise + tie_tolerance * (high / QUARTILES - low / QUARTILES)
    return noise
