"""The noise of ranks in latents: removed from their covariances, counted in replicates, noted where it is too much."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from pid_jax.bias.rank_errors import add_rank_errors, noisy_problems, rank_errors, rank_errors_of_difference
from pid_jax.bias.rank_noise import LARGEST_SHARE, remove_rank_noise, roots_of, share_of_noise
from pid_jax.decompose.covariances import put_rows
from pid_jax.decompose.result import PIDEstimate
from pid_jax.estimate.gaussianize import Latents, are_ranked
from pid_jax.gaussian.status import Status
from pid_jax.normality.sentences import name_problems
from pid_jax.pid.atoms import QUANTITIES, PIDQuantities
from pid_jax.pid.measure import Redundancy
from pid_jax.runtime.threads import one_blas_thread


def without_rank_noise(cov: np.ndarray, latents: Latents) -> np.ndarray:
    """Remove the noise of ranks from the covariances (problems, D, D) of those problems that were mapped by ranks."""
    rows = np.flatnonzero(are_ranked(latents.gaussianizer))
    if not rows.size:
        return cov
    with one_blas_thread(cov.shape[-1]):
        return put_rows(rows, cov, remove_rank_noise(cov[rows], latents.values.shape[1]))


def without_noise_in_rows(latents: Latents) -> np.ndarray:
    """Map latents linearly so that their covariances are those without the noise of ranks; others stay as they are."""
    rows, values = np.flatnonzero(are_ranked(latents.gaussianizer)), latents.values
    if not rows.size:
        return values
    centered = values[rows] - values[rows].mean(axis=1, keepdims=True)
    with one_blas_thread(values.shape[-1]):
        shown = _covariances(centered)
        maps = roots_of(shown)[1] @ roots_of(remove_rank_noise(shown, values.shape[1]))[0]
        return put_rows(rows, values, centered @ maps)


def with_rank_errors(drawn: Any, estimate: PIDEstimate, latents: Latents, measure: Redundancy, key: jax.Array) -> Any:
    """Add errors of ranks to replicates of decompositions after ranks, which know of the errors of raw samples alone.

    Args:
        drawn: Atoms, or atoms and informations, (draws, problems) in nats.
        estimate: What was found from the latents, with one leading axis.
        latents: The latents.
        measure: The measure.
        key: A JAX random key. The same key, and covariances that hardly differ, give errors that hardly differ.
    """
    samples = latents.values.shape[1]
    is_ranked = are_ranked(latents.gaussianizer) & (estimate.status == Status.OK)
    rows = noisy_problems(estimate.cov, samples, estimate.dims, is_ranked)
    if not rows.size:
        return drawn
    for_errors, for_choice = jax.random.split(key)
    errors = rank_errors(estimate.cov[rows], samples, estimate.dims, measure, for_errors)
    return add_rank_errors(drawn, rows, errors, for_choice)


def errors_of_differences(
    latents: Sequence[Latents], estimates: Sequence[PIDEstimate], redundancy: Redundancy, key: jax.Array
) -> PIDQuantities:
    """Compute what the noise of ranks adds to standard errors of differences, in problems with ranks in both."""
    values, samples = np.concatenate([x.values for x in latents], axis=-1), latents[0].values.shape[1]
    is_ranked = np.logical_and.reduce([are_ranked(x.gaussianizer) for x in latents])
    usable = is_ranked & np.logical_and.reduce([e.status == Status.OK for e in estimates])
    noisy = [noisy_problems(e.cov, samples, e.dims, usable) for e in estimates]
    rows, found = np.union1d(*noisy), PIDQuantities(**{name: np.zeros(len(values)) for name in QUANTITIES})
    if not rows.size:
        return found
    centered = values[rows] - values[rows].mean(axis=1, keepdims=True)
    with one_blas_thread(values.shape[-1]):
        joint = remove_rank_noise(_covariances(centered), samples)
    errors = rank_errors_of_difference(joint, samples, [e.dims for e in estimates], redundancy, key)
    return jax.tree.map(lambda zero, drawn: put_rows(rows, zero, drawn.std(axis=0)), found, errors.deviations)


def note_coarse_ranks(cov: np.ndarray, latents: Latents, dims: tuple[int, int, int], problem: str) -> tuple[str, ...]:
    """Name the problems in which ranks are too coarse for what the sources tell about the target."""
    samples, share = latents.values.shape[1], np.zeros(len(cov))
    rows = np.flatnonzero(are_ranked(latents.gaussianizer))
    if rows.size:
        share[rows] = share_of_noise(cov[rows], samples, dims)
    is_coarse = share > LARGEST_SHARE
    if not is_coarse.any():
        return ()
    where = f"{name_problems(is_coarse, len(share), problem)}: " if len(share) > 1 else ""
    return (
        f"{where}ranks of {samples} samples are too coarse for dependence "
        f"this strong: {share.max():.0%} of what the sources leave open about the target is their noise, so "
        "information reads low and intervals are rough; use more samples, or NoGaussianization() if the variables are "
        "Gaussian",
    )


def _covariances(centered: np.ndarray) -> np.ndarray:
    """Compute the sample covariances of rows (problems, n, D) with mean zero."""
    return np.swapaxes(centered, -1, -2) @ centered / (centered.shape[1] - 1)
