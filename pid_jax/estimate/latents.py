"""The stages behind the reduction: latents, their covariance, its decomposition, the bias of that."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from pid_jax.bias.rank_errors import noisy_problems, rank_errors
from pid_jax.bias.sampling import (
    INTERVAL_LEVEL,
    Amounts,
    mean_over_draws,
    sampling_errors,
    subtract_fit,
    subtract_ranks,
    subtract_sampling,
)
from pid_jax.decompose.dataset import Result
from pid_jax.decompose.pid import solve_pid
from pid_jax.decompose.result import VARIABLES, PIDEstimate
from pid_jax.estimate.after_ranks import note_coarse_ranks, without_rank_noise
from pid_jax.estimate.discrete_values import describe_discrete, refuse_impossible
from pid_jax.estimate.gaussianize import Latents, are_ranked, gaussianize, is_corrected
from pid_jax.gaussian.condition import note_conditions
from pid_jax.gaussian.covariance import ledoit_wolf, oracle_approximating, sample_covariance
from pid_jax.gaussian.status import Status
from pid_jax.normality.diagnose import describe_problems, diagnose_latents
from pid_jax.normality.light_tails import describe_light_tails
from pid_jax.normality.skewness import describe_skewness
from pid_jax.pid.measure import Redundancy
from pid_jax.reduce.pca import Reduced
from pid_jax.runtime.checks import note_few_samples
from pid_jax.runtime.devices import map_problems, over_devices
from pid_jax.runtime.precision import double_precision
from pid_jax.runtime.progress import Progress
from pid_jax.settings.estimate import OAS, CovarianceEstimator, LedoitWolf, PIDSpec, SampleCovariance, spec_to_dict

# Arrays as large as the latents of a problem that exist at a time while their covariance is estimated.
COPIES = 3
Found = TypeVar("Found", bound=Result)


def estimate_reduced(
    reduced: Sequence[Reduced],
    spec: PIDSpec,
    measures: Sequence[Redundancy],
    key: jax.Array,
    progress: Progress,
    *,
    labels: Sequence[str] = VARIABLES,
    problem: str = "problem",
    is_checked: bool = True,
) -> list[PIDEstimate]:
    """Decompose reduced variables by several measures, all on the same latents.

    Args:
        reduced: source_1, source_2 and target, checked, all problems on the leading axis, or one for all.
        spec: The settings; `reduction` says where the scores come from, `redundancy` is not used.
        measures: The measures.
        key: A JAX random key.
        progress: Called with steps done and all there are, while flows are fitted.
        labels: What the variables are called in sentences.
        problem: What a problem is called in sentences.
        is_checked: Whether to look for findings and to refuse impossible numbers; not for replicates.

    Returns:
        One estimate a measure, with one leading axis.

    Raises:
        ValueError: If a flow was asked for that no problem can have, or if the information exceeds the entropy of a
            discrete variable in all problems.
    """
    words: dict[str, Any] = {"labels": labels, "problem": problem}
    latents, for_bias = map_to_latents(reduced, spec, key, progress, **words)
    return estimate_latents(latents, reduced, spec, measures, for_bias, is_checked=is_checked, **words)


def map_to_latents(
    reduced: Sequence[Reduced],
    spec: PIDSpec,
    key: jax.Array,
    progress: Progress,
    *,
    labels: Sequence[str] = VARIABLES,
    problem: str = "problem",
) -> tuple[Latents, jax.Array]:
    """Map reduced variables to latents, and return with them the key for what comes after; see `estimate_reduced`."""
    for_latents, for_bias = jax.random.split(key)
    latents = gaussianize(reduced, spec, for_latents, progress, labels=labels, problem=problem)
    discrete = describe_discrete([one.discrete for one in reduced], labels, problem)
    return dataclasses.replace(latents, notes=(*discrete, *latents.notes)), for_bias


def estimate_latents(
    latents: Latents,
    reduced: Sequence[Reduced],
    spec: PIDSpec,
    measures: Sequence[Redundancy],
    key: jax.Array,
    *,
    labels: Sequence[str] = VARIABLES,
    problem: str = "problem",
    level: float = INTERVAL_LEVEL,
    is_checked: bool = True,
) -> list[PIDEstimate]:
    """Decompose latents by several measures, with intervals of some level; see `estimate_reduced`."""
    with double_precision():
        estimator = partial(_estimate_covariances, estimator=spec.covariance)
        cov, shrinkage = map_problems(estimator, latents.values, bytes_each=COPIES * latents.values[0].nbytes)
    count, samples = latents.values.shape[:2]
    d1, d2, dt = (one.scores.shape[-1] for one in reduced)
    if is_corrected(spec):
        cov = without_rank_noise(cov, latents)
    explained, rank = (
        np.stack([np.broadcast_to(getattr(one, name), count) for one in reduced], axis=-1)
        for name in ("explained_variance", "rank")
    )
    common = {
        "cov": cov,
        "dims": (d1, d2, dt),
        "samples": samples,
        "explained_variance": explained,
        "rank": rank,
        "shrinkage": shrinkage,
        "gaussianizer": latents.gaussianizer,
        "notes": (
            *_notes_of(reduced),
            *latents.notes,
            *(note_coarse_ranks(cov, latents, (d1, d2, dt), problem) if is_corrected(spec) else ()),
            *note_conditions(cov, (d1, d2, dt), measures[0].rank_cut, labels, problem),
            *(note_few_samples(samples, (d1, d2, dt)) if is_corrected(spec) else ()),
        ),
        "flow": latents.fit,
        **(_diagnose(latents, (d1, d2, dt), labels, problem) if is_checked else {}),
    }
    discrete = [one.discrete for one in reduced] if is_checked else [None] * len(reduced)
    estimates = []
    for measure in measures:
        decomposed = _decompose(cov, (d1, d2, dt), latents, spec, measure, key, level)
        decomposed = refuse_impossible(decomposed, discrete, labels)
        settings = spec_to_dict(dataclasses.replace(spec, redundancy=measure))
        estimates.append(leave_out(PIDEstimate(**decomposed, settings=settings, **common), reduced))
    return estimates


def _notes_of(reduced: Sequence[Reduced]) -> tuple[str, ...]:
    return tuple(note for one in reduced for note in one.notes)


def leave_out(result: Found, reduced: Sequence[Reduced]) -> Found:
    """Set all numbers of problems to NaN whose samples could not be used, and their status to why."""
    for one in reduced:
        if one.status is not None:
            result = result.without(one.status)
    return result


@partial(jax.jit, static_argnames=("estimator", "mesh"))
def _estimate_covariances(
    samples: Float[Array, "B n D"], *, estimator: CovarianceEstimator, mesh: Mesh | None
) -> tuple[Float[Array, "B D D"], Float[Array, "B"]]:
    return over_devices(jax.vmap(partial(_estimate_covariance, estimator=estimator)), mesh)(samples)


def _diagnose(latents: Latents, dims: tuple[int, int, int], labels: Sequence[str], problem: str) -> dict[str, Any]:
    """Look for what is not Gaussian in the latents, and for flows that have over-fitted where theirs are used."""
    diagnostics = diagnose_latents(latents.values, dims)
    has_flow = np.isin(np.arange(len(latents.values)), () if latents.used is None else latents.used)
    findings = (
        *describe_skewness(diagnostics, has_flow, problem),
        *describe_light_tails(diagnostics, dims, has_flow, problem),
        *describe_problems(diagnostics, labels, problem),
    )
    if latents.fit is not None and latents.fitted is not None:
        from pid_jax.flow.findings import describe_flows  # flows are loaded on first use

        of_flows = describe_flows(latents.fit, latents.fitted, has_flow, dims, problem, latents.preferred, latents.gain)
        findings = (*of_flows, *findings)
    return {"diagnostics": diagnostics, "findings": findings}


def _decompose(
    cov: np.ndarray,
    dims: tuple[int, int, int],
    latents: Latents,
    spec: PIDSpec,
    measure: Redundancy,
    key: jax.Array,
    level: float,
) -> dict[str, Any]:
    """Decompose covariances, take off the bias of sampling and of fits; return fields of `PIDEstimate`."""
    plain = solve_pid(cov, dims, measure)
    if not is_corrected(spec):
        return vars(plain)
    samples = latents.values.shape[1]
    correction: Any = spec.bias_correction
    errors = sampling_errors(plain, cov, dims, samples, measure, correction, key, level)
    corrected = subtract_sampling(plain, errors)
    noisy = noisy_problems(cov, samples, dims, are_ranked(latents.gaussianizer) & (corrected.status == Status.OK))
    if noisy.size:
        of_ranks = rank_errors(cov[noisy], samples, dims, measure, jax.random.fold_in(key, 2))
        corrected = subtract_ranks(corrected, noisy, of_ranks, level)
    rows = latents.used
    if rows is not None:
        here = jax.tree.map(lambda x: x[rows], (corrected.atoms, corrected.information))
        first, second = _biases_of_fits(latents, here, measure, dims)
        by_gaussians = latents.fit.spec.gaussian_share if latents.fit is not None else None
        corrected = subtract_fit(corrected, rows, first, second, by_gaussians or 0.0)
    return vars(corrected)


def _biases_of_fits(
    latents: Latents, here: Amounts, measure: Redundancy, dims: tuple[int, int, int]
) -> tuple[Amounts, Amounts | None]:
    """Return by how much atoms after flows read high according to the fitted model, and to the Gaussian model."""
    if latents.replicates is None:
        return jax.tree.map(np.zeros_like, here), None
    biases = [
        _bias_of_fit(drawn, found, dims, measure)
        for drawn, found in zip(latents.replicates.drawn, latents.replicates.found, strict=True)
    ]
    return biases[0], biases[1] if len(biases) > 1 else None


def _bias_of_fit(drawn: np.ndarray, found: np.ndarray, dims: tuple[int, ...], measure: Redundancy) -> Amounts:
    """Compute what refits find beyond what their very samples have: without the scatter of those samples."""
    with_fit, without = mean_over_draws(found, dims, measure), mean_over_draws(drawn, dims, measure)
    return jax.tree.map(np.subtract, (with_fit.atoms, with_fit.information), (without.atoms, without.information))


def _estimate_covariance(
    samples: Float[Array, "n D"], *, estimator: CovarianceEstimator
) -> tuple[Float[Array, "D D"], Float[Array, ""]]:
    """Estimate the covariance and say how much it was shrunk."""
    match estimator:
        case LedoitWolf():
            return ledoit_wolf(samples)
        case OAS():
            return oracle_approximating(samples)
        case SampleCovariance():
            return sample_covariance(samples), jnp.zeros((), samples.dtype)
        case _:
            raise TypeError(f"covariance {estimator!r} is not supported: add how it is estimated here.")
