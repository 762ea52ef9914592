"""Flows fitted to all folds of the samples but one, and covariances of the latents of that one."""

from collections.abc import Sequence

import jax
import numpy as np

from pid_jax.flow.fit import fit_again
from pid_jax.flow.fitted import FlowFit, covariance_of, latents_of
from pid_jax.runtime.progress import Progress, part_of


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
        Covariances (folds, problems, D, D), each of n // folds samples or one more.
    """
    folds = fit.spec.folds or 0
    for_folds, *for_fits = jax.random.split(key, folds + 1)
    order = np.asarray(jax.random.permutation(for_folds, fit.samples))
    found = []
    for fold, for_fit in enumerate(for_fits):
        is_left_out = np.zeros(fit.samples, bool)
        is_left_out[order[fold::folds]] = True
        one = fit_again(fit, variables, for_fit, part_of(progress, fold + 1, folds + 1), is_left_out)
        found.append(covariance_of(latents_of(one, *variables)[..., is_left_out, :]))
    return np.stack(found).reshape(folds, -1, *fit.cov.shape[-2:])


def check_folds(samples: int, folds: int, size: int) -> None:
    """Refuse folds with too few samples for a covariance of `size` dimensions."""
    least = samples // folds
    if least <= size + 1:
        raise ValueError(
            f"RealNVP(folds={folds}) leaves {least} of {samples} samples in a fold, and {size} dimensions of all "
            f"variables need {size + 2}: use {samples // (size + 2)} folds or fewer, or reduce further."
        )
