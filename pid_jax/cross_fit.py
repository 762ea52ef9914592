"""Flows fitted to all folds of the samples but one, and covariances of the latents of that one."""

from collections.abc import Sequence

import jax
import numpy as np

from pid_jax.fit import fit_arrays
from pid_jax.flow_fit import FlowFit, covariance_of, latents_of
from pid_jax.progress import Progress, part_of


def cross_fit_covariances(
    fit: FlowFit, variables: Sequence[np.ndarray], key: jax.Array, progress: Progress
) -> np.ndarray:
    """Fit flows with the same settings to all folds but one, and return the covariance behind them of that one.

    Latents of different flows are not comparable, so each fold has a covariance, and atoms, of its own. They are not
    over-fitted, and read low by what the flows have not learned.

    Args:
        fit: The flows of all samples, with at most one leading axis; its settings say how many folds.
        variables: The samples they were fitted to.
        key: A JAX random key.
        progress: See `fit_flow`; the first fit counts as the first part.

    Returns:
        Covariances (folds, problems, D, D), each of the `smallest_fold` samples or one more.
    """
    folds = fit.spec.folds or 0
    arrays = [x.reshape(-1, *x.shape[-2:]) for x in variables]
    is_free = fit.is_learned.reshape(-1, len(arrays))
    for_folds, *for_fits = jax.random.split(key, folds + 1)
    order = np.asarray(jax.random.permutation(for_folds, fit.samples))
    found = []
    for fold, for_fit in enumerate(for_fits):
        is_left_out = np.zeros(fit.samples, bool)
        is_left_out[order[fold::folds]] = True
        part = part_of(progress, fold + 1, folds + 1)
        one = fit_arrays(arrays, fit.leading, is_free, fit.spec, for_fit, part, is_left_out)
        latents = latents_of(one, *variables)[..., is_left_out, :]
        found.append(covariance_of(latents))
    return np.stack(found).reshape(folds, -1, *fit.cov.shape[-2:])


def smallest_fold(samples: int, folds: int, size: int) -> int:
    """Count the samples of the smallest fold.

    Raises:
        ValueError: If they are too few for a covariance of `size` dimensions.
    """
    least = samples // folds
    if least <= size + 1:
        raise ValueError(
            f"RealNVP(folds={folds}) leaves {least} of {samples} samples in a fold, and {size} dimensions of all "
            f"variables need {size + 2}: use {samples // (size + 2)} folds or fewer, or reduce further."
        )
    return least
