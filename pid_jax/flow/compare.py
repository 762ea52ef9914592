"""Which map makes a problem most Gaussian: densities of held-out samples under each, and the choice between them."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import solve_triangular

from pid_jax.flow.fitted import FlowFit
from pid_jax.flow.input import prepare_variable
from pid_jax.flow.stage import Stage, run_stages
from pid_jax.runtime.arrays import side_by_side
from pid_jax.runtime.precision import single_precision
from pid_jax.settings.gaussianize import Copula, NoGaussianization, RealNVP, is_ranked


def held_out_densities(fit: FlowFit, variables: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Compute log-densities of the held-out samples under three models, each fitted to the training samples.

    Without any map the samples are Gaussian, behind the splines of the fit their normal scores are, behind the flow its
    latents are, with the weights of the best evaluation. Jacobians are included.

    Args:
        fit: Flows with one leading axis.
        variables: The samples they were fitted to, (problems, n, d) or (n, d).

    Returns:
        By name of the map, simplest first, log-densities (problems, m) in nats of the scaled samples.
    """
    flat, held = [x if x.ndim == 3 else x[None] for x in variables], fit.is_held_out
    scaled = [(x - f.center[:, None]) / f.scale[:, None] for x, f in zip(flat, fit.flows, strict=True)]
    densities = {NoGaussianization.__name__: _gaussian(side_by_side(scaled), held)}
    if is_ranked(fit.spec.marginals):
        ranks = dataclasses.replace(fit.spec, unmixings=0)
        ranked = [prepare_variable(x, held, False, ranks) for x in flat]
        log_det = side_by_side([p.log_det[..., None] for p in ranked]).sum(axis=-1)
        densities[Copula.__name__] = _gaussian(side_by_side([p.scores for p in ranked]), held) + log_det[:, held]
    before = [_stages_log_det(f.stages, x)[:, held] for f, x in zip(fit.flows, scaled, strict=True)]
    density = fit.validation_density.reshape(-1, int(held.sum()))
    densities[RealNVP.__name__] = density + side_by_side([x[..., None] for x in before]).sum(axis=-1)
    return densities


def choose_gaussianizer(densities: dict[str, np.ndarray]) -> np.ndarray:
    """Choose, for each problem, the simplest map that is within one standard error of the best.

    Args:
        densities: By name, simplest first, log-densities (problems, m) of the same samples.

    Returns:
        Names (problems,).
    """
    names, values = list(densities), np.stack(list(densities.values()))
    exists = np.asarray(np.isfinite(values).all(axis=-1))
    values = np.where(exists[..., None], values, values[exists].min(initial=0) - 1)
    best = values[np.where(exists, values.mean(axis=-1), -np.inf).argmax(axis=0), np.arange(values.shape[1])]
    loss = best - values
    error = loss.std(axis=-1, ddof=1) / np.sqrt(loss.shape[-1])
    is_close = exists & (loss.mean(axis=-1) <= error)
    return np.array(names, dtype=object)[is_close.argmax(axis=0)]


def gain_of_flow(densities: dict[str, np.ndarray]) -> np.ndarray:
    """Compute how much likelier held-out samples are with the flow than with the best other map (problems,), in nats.

    Args:
        densities: By name, log-densities (problems, m) of the same samples; none is finite where a map has none.
    """
    others = [value.mean(axis=-1) for name, value in densities.items() if name != RealNVP.__name__]
    return densities[RealNVP.__name__].mean(axis=-1) - np.max(others, axis=0)


def _stages_log_det(stages: tuple[Stage, ...], x: np.ndarray) -> np.ndarray:
    """Compute log |det| of what stands in front of a flow, (problems, n), by the program of the fit."""

    def of_one(place: int) -> np.ndarray:
        own = jax.tree.map(lambda leaf: leaf[place], stages)
        return np.asarray(run_stages(own, jnp.asarray(x[place], jnp.float32))[1])

    with single_precision():
        return np.stack([of_one(place) for place in range(len(x))])


def _gaussian(samples: np.ndarray, is_held_out: np.ndarray) -> np.ndarray:
    """Compute log-densities of held-out samples under the Gaussian with the moments of the others."""
    train, size = samples[:, ~is_held_out], samples.shape[-1]
    mean = train.mean(axis=1, keepdims=True)
    centered = train - mean
    cov = np.swapaxes(centered, -1, -2) @ centered / (train.shape[1] - 1)
    return np.stack([_log_density(one, x, size) for one, x in zip(cov, samples[:, is_held_out] - mean, strict=True)])


def _log_density(cov: np.ndarray, centered: np.ndarray, size: int) -> np.ndarray:
    """Compute log-densities of samples (m, D); there are none under a singular covariance, which is never chosen."""
    try:
        factor = np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        return np.full(len(centered), -np.inf)
    white = solve_triangular(factor, centered.T, lower=True)
    return -0.5 * (white**2).sum(axis=0) - np.log(np.diag(factor)).sum() - 0.5 * size * np.log(2 * np.pi)
