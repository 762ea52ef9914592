"""Which map makes a problem most Gaussian: densities of held-out samples under each, and the choice between them."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.linalg import solve_triangular

from pid_jax.fit import prepare_variable
from pid_jax.flow_fit import FlowFit
from pid_jax.gaussianizers import Copula, NoGaussianization, RealNVP


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
    flat = [x if x.ndim == 3 else x[None] for x in variables]
    is_free = fit.is_learned.reshape(-1, len(flat)).T
    before, ranked = (
        [prepare_variable(x, fit.is_held_out, free, spec) for x, free in zip(flat, is_free, strict=True)]
        for spec in (fit.spec, dataclasses.replace(fit.spec, unmixings=0))
    )
    count, held = int(np.prod(fit.leading, dtype=int)), fit.is_held_out
    scaled = _join([(x - p.center[:, None]) / p.scale[:, None] for x, p in zip(flat, before, strict=True)], count)
    densities = {NoGaussianization.__name__: _gaussian(scaled, held)}
    if isinstance(fit.spec.marginals, Copula):
        scores = _join([p.scores for p in ranked], count)
        densities[Copula.__name__] = _gaussian(scores, held) + _added([p.log_det for p in ranked], count)[:, held]
    flow = fit.validation_density.reshape(count, -1) + _added([p.log_det for p in before], count)[:, held]
    densities[RealNVP.__name__] = flow
    return densities


def choose_gaussianizer(densities: dict[str, np.ndarray]) -> np.ndarray:
    """Choose, for each problem, the simplest map that is within one standard error of the best.

    Args:
        densities: By name, simplest first, log-densities (problems, m) of the same samples.

    Returns:
        Names (problems,).
    """
    names, values = list(densities), np.stack(list(densities.values()))
    best = values[values.mean(axis=-1).argmax(axis=0), np.arange(values.shape[1])]
    loss = best - values
    error = loss.std(axis=-1, ddof=1) / np.sqrt(loss.shape[-1])
    is_close = loss.mean(axis=-1) <= error
    return np.array(names, dtype=object)[is_close.argmax(axis=0)]


def _join(parts: Sequence[np.ndarray], count: int) -> np.ndarray:
    return np.concatenate([np.broadcast_to(x, (count, *x.shape[1:])) for x in parts], axis=-1).astype(np.float64)


def _added(parts: Sequence[np.ndarray], count: int) -> np.ndarray:
    return np.sum([np.broadcast_to(x, (count, x.shape[1])) for x in parts], axis=0)


def _gaussian(samples: np.ndarray, is_held_out: np.ndarray) -> np.ndarray:
    """Compute log-densities of held-out samples under the Gaussian with the moments of the others."""
    train, size = samples[:, ~is_held_out], samples.shape[-1]
    mean = train.mean(axis=1, keepdims=True)
    centered = train - mean
    cov = np.swapaxes(centered, -1, -2) @ centered / (train.shape[1] - 1)
    found = []
    for factor, x in zip(np.linalg.cholesky(cov), samples[:, is_held_out] - mean, strict=True):
        white = solve_triangular(factor, x.T, lower=True)
        found.append(-0.5 * (white**2).sum(axis=0) - np.log(np.diag(factor)).sum() - 0.5 * size * np.log(2 * np.pi))
    return np.stack(found)
