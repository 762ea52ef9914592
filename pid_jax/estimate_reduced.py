"""The stages behind the reduction: latents, their covariance, its decomposition, the bias of that."""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pid_jax.bias import mean_over_draws, subtract_bias, wishart_moments
from pid_jax.decompose import solve_pid
from pid_jax.diagnose import describe_problems, diagnose_latents
from pid_jax.gaussian.covariance import ledoit_wolf, oracle_approximating, sample_covariance
from pid_jax.gaussianize import Latents, gaussianize, is_corrected
from pid_jax.pid.atoms import PIDSolution
from pid_jax.precision import double_precision
from pid_jax.progress import Progress
from pid_jax.reduce.pca import Reduced
from pid_jax.result import VARIABLES, PIDEstimate
from pid_jax.spec import (
    OAS,
    CovarianceEstimator,
    LedoitWolf,
    ParametricBootstrap,
    PIDSpec,
    Redundancy,
    SampleCovariance,
    spec_to_dict,
)


def estimate_reduced(
    reduced: Sequence[Reduced],
    spec: PIDSpec,
    measures: Sequence[Redundancy],
    key: jax.Array,
    progress: Progress,
    *,
    labels: Sequence[str] = VARIABLES,
    problem: str = "problem",
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

    Returns:
        One estimate a measure, with one leading axis.

    Raises:
        ValueError: If a flow was asked for that no problem can have.
    """
    for_latents, for_bias = jax.random.split(key)
    scores = [np.asarray(one.scores) for one in reduced]
    latents = gaussianize(scores, spec, for_latents, progress, labels=labels, problem=problem)
    with double_precision():
        estimator = partial(_estimate_covariances, estimator=spec.covariance)
        cov, shrinkage = jax.tree.map(np.asarray, estimator(jnp.asarray(latents.values)))
    count, samples = latents.values.shape[:2]
    explained, rank = (
        np.stack([np.broadcast_to(getattr(one, name), count) for one in reduced], axis=-1)
        for name in ("explained_variance", "rank")
    )
    d1, d2, dt = (x.shape[-1] for x in scores)
    common = {
        "cov": cov,
        "dims": (d1, d2, dt),
        "samples": samples,
        "explained_variance": explained,
        "rank": rank,
        "shrinkage": shrinkage,
        "gaussianizer": latents.gaussianizer,
        "notes": latents.notes,
        "flow": latents.fit,
        **_diagnose(latents, (d1, d2, dt), labels, problem),
    }
    estimates = []
    for measure in measures:
        decomposed = _decompose(cov, (d1, d2, dt), latents, spec, measure, for_bias)
        settings = spec_to_dict(dataclasses.replace(spec, redundancy=measure))
        estimates.append(PIDEstimate(**decomposed, settings=settings, **common))
    return estimates


@partial(jax.jit, static_argnames="estimator")
def _estimate_covariances(
    samples: Float[Array, "B n D"], *, estimator: CovarianceEstimator
) -> tuple[Float[Array, "B D D"], Float[Array, "B"]]:
    return jax.vmap(partial(_estimate_covariance, estimator=estimator))(samples)


def _diagnose(latents: Latents, dims: tuple[int, int, int], labels: Sequence[str], problem: str) -> dict[str, Any]:
    """Look at what is left where flows were fitted: what they cost is many times what this costs."""
    if latents.fit is None:
        return {}
    diagnostics = diagnose_latents(latents.values, dims)
    has_flow = np.zeros(len(latents.values), bool)
    has_flow[latents.fitted] = True
    return {
        "diagnostics": diagnostics,
        "findings": describe_problems(diagnostics, latents.fit, has_flow, dims, labels, problem),
    }


def _decompose(
    cov: np.ndarray, dims: tuple[int, ...], latents: Latents, spec: PIDSpec, measure: Redundancy, key: jax.Array
) -> dict[str, Any]:
    """Decompose covariances, and take off the bias that replicates show; return fields of `PIDEstimate`."""
    plain = solve_pid(cov, dims, measure)
    if not is_corrected(spec):
        return vars(plain)
    assert isinstance(spec.bias_correction, ParametricBootstrap)
    draws, samples = spec.bias_correction.draws, latents.values.shape[1]
    mean, spread = wishart_moments(cov, dims, samples, measure, draws, key)
    other, share = None, 0.0
    if latents.replicates is not None and latents.refitted is not None:
        mean, *others = _expect(mean, latents, dims, measure)
        if others and latents.fit is not None:
            other, share = others[0], latents.fit.spec.gaussian_share or 0.0
    if latents.folds is not None and latents.refitted is not None:
        held_out = _cross_fitted(latents.folds, dims, samples, measure, draws, jax.random.fold_in(key, 1))
        # What the correction takes off is then how far the plain atoms are from those of the folds.
        mirrored = jax.tree.map(lambda all_, wanted: 2 * all_[latents.refitted] - wanted, plain, held_out)
        mean = jax.tree.map(partial(_put, latents.refitted), mean, mirrored)
    if latents.refitted is not None and other is None:  # sampling alone says nothing about the flows
        unknown = partial(_put, latents.refitted, some=np.full(len(latents.refitted), np.nan))
        spread = jax.tree.map(unknown, spread)
    corrected = subtract_bias(plain, mean, spread, other, share)
    ends = {"bias": corrected.bias, "lower": corrected.lower, "upper": corrected.upper}
    return vars(corrected.found) | ends


def _expect(
    sampled: PIDSolution, latents: Latents, dims: tuple[int, ...], measure: Redundancy
) -> Iterator[PIDSolution]:
    """Add what fits do, by each model, to the mean decomposition of sample covariances.

    It is the difference between what a refit finds and what its very samples have: with these beside it, a single
    refit does not bring the scatter of its samples into the correction.
    """
    rows = latents.refitted
    assert latents.replicates is not None
    assert rows is not None
    for drawn, found in zip(latents.replicates.drawn, latents.replicates.found, strict=True):
        with_fit, without = mean_over_draws(found, dims, measure), mean_over_draws(drawn, dims, measure)
        by_fit = jax.tree.map(lambda all_, one, other: all_[rows] + one - other, sampled, with_fit, without)
        yield jax.tree.map(partial(_put, rows), sampled, by_fit)


def _cross_fitted(
    cov: np.ndarray, dims: tuple[int, ...], samples: int, measure: Redundancy, draws: int, key: jax.Array
) -> PIDSolution:
    """Decompose the covariances of all folds, correct each for the sampling of its few samples, and average."""
    moments = wishart_moments(cov, dims, samples // len(cov), measure, draws, key)
    corrected = subtract_bias(solve_pid(cov, dims, measure), *moments).found
    return jax.tree.map(lambda value: value.mean(axis=0), corrected)


def _put(rows: np.ndarray, all_: np.ndarray, some: np.ndarray) -> np.ndarray:
    changed = all_.copy()
    changed[rows] = some
    return changed


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
