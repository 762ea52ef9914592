"""Decompose what two sources tell about a target, from samples."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from pid_jax.checks import (
    check_enough_samples,
    check_leading_axes,
    check_not_constant,
    check_paired,
    check_samples,
)
from pid_jax.decompose import solve_pid
from pid_jax.flow.marginal import gaussianize_copula
from pid_jax.gaussian.covariance import ledoit_wolf, oracle_approximating, sample_covariance
from pid_jax.precision import double_precision
from pid_jax.reduce.pca import Reduced, keep_all, reduce_pca
from pid_jax.result import VARIABLES, PIDEstimate
from pid_jax.spec import OAS, PCA, Copula, CovarianceEstimator, LedoitWolf, PIDSpec, SampleCovariance, spec_to_dict


def estimate_pid(
    source_1: ArrayLike, source_2: ArrayLike, target: ArrayLike, *, spec: PIDSpec | None = None, key: jax.Array
) -> PIDEstimate:
    """Decompose what two sources tell about a target, from samples.

    Each variable is reduced and Gaussianized by itself; the joint covariance of the three is then decomposed
    exactly. All leading axes (layers, tasks, ...) are computed by one compiled program.

    Args:
        source_1: Samples (..., n, p1).
        source_2: Samples (..., n, p2), row i from the same sample as row i of `source_1`.
        target: Samples (..., n, pt). Any variable may leave out the leading axes: it is then the same for all.
        spec: The settings of every stage, `PIDSpec()` if not given.
        key: A JAX random key. The stages available now are deterministic and do not draw from it.

    Returns:
        The decomposition in nats, with the covariance, the variance kept and the settings.

    Raises:
        TypeError: For tracers and for arrays that hold no real numbers.
        ValueError: For unpaired samples, NaN, constant columns, leading axes that differ, or too few samples.

    Not guaranteed: the atoms describe the Gaussian with the covariance of the transformed samples. Dependence that
    is not Gaussian after these maps is not seen, and the plug-in estimate is biased upward at small n.
    """
    spec = PIDSpec() if spec is None else spec
    if not isinstance(spec, PIDSpec):
        raise TypeError(f"spec needs a PIDSpec, got {type(spec).__name__}.")
    _check_key(key)
    named = [
        (name, check_samples(name, value)) for name, value in zip(VARIABLES, (source_1, source_2, target), strict=True)
    ]
    n, leading = check_paired(named), check_leading_axes(named)
    dims = _reduced_dims(spec, n, [array.shape[-1] for _, array in named])
    if isinstance(spec.covariance, SampleCovariance):
        check_enough_samples(n, dims)
    for name, array in named:
        check_not_constant(name, array, whole=isinstance(spec.reduction, PCA))
    with double_precision():
        stacked = [jnp.asarray(array.reshape(-1, *array.shape[-2:]), jnp.float64) for _, array in named]
        fitted = jax.tree.map(np.asarray, _fit(*stacked, spec=spec, dims=dims))
    count = int(np.prod(leading, dtype=int))
    explained, rank = (
        np.stack([np.broadcast_to(value, count) for value in values], axis=-1).reshape(*leading, 3)
        for values in (fitted.explained_variance, fitted.rank)
    )
    cov = fitted.cov.reshape(*leading, *fitted.cov.shape[-2:])
    return PIDEstimate(
        **vars(solve_pid(cov, dims, spec.redundancy)),
        cov=cov,
        dims=dims,
        samples=n,
        explained_variance=explained,
        rank=rank,
        shrinkage=fitted.shrinkage.reshape(leading),
        settings=spec_to_dict(spec),
    )


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class _Fitted:
    cov: Array
    shrinkage: Array
    explained_variance: tuple[Array, ...]
    rank: tuple[Array, ...]


@partial(jax.jit, static_argnames=("spec", "dims"))
def _fit(
    source_1: Float[Array, "B1 n p1"],
    source_2: Float[Array, "B2 n p2"],
    target: Float[Array, "Bt n pt"],
    *,
    spec: PIDSpec,
    dims: tuple[int, int, int],
) -> _Fitted:
    """Run all stages up to the covariance; a variable with one problem (B = 1) is prepared once and shared by all."""
    prepared = [
        jax.vmap(partial(_prepare, spec=spec, dim=dim))(samples)
        for samples, dim in zip((source_1, source_2, target), dims, strict=True)
    ]
    batch = max(reduced.rank.shape[0] for reduced in prepared)
    scores = [jnp.broadcast_to(r.scores, (batch, *r.scores.shape[1:])) for r in prepared]
    estimator = partial(_estimate_covariance, estimator=spec.covariance)
    cov, shrinkage = jax.vmap(estimator)(jnp.concatenate(scores, axis=-1))
    return _Fitted(
        cov=cov,
        shrinkage=shrinkage,
        explained_variance=tuple(r.explained_variance for r in prepared),
        rank=tuple(r.rank for r in prepared),
    )


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


def _prepare(samples: Float[Array, "n p"], *, spec: PIDSpec, dim: int) -> Reduced:
    if isinstance(spec.reduction, PCA):
        reduced = reduce_pca(samples, dim, spec.reduction.rank_cut)
    else:
        reduced = keep_all(samples)
    if not isinstance(spec.gaussianize, Copula):
        return reduced
    peak = jnp.maximum(jnp.abs(reduced.scores).max(), jnp.finfo(reduced.scores.dtype).tiny)
    spread = peak * (reduced.scores / peak).std(axis=0)  # squares of huge values would overflow
    is_one_unit = isinstance(spec.reduction, PCA)
    scale = jnp.full_like(spread, spread.max()) if is_one_unit else spread
    scores = gaussianize_copula(reduced.scores, spec.gaussianize.tie_tolerance * scale)
    return Reduced(scores=scores, explained_variance=reduced.explained_variance, rank=reduced.rank)


def _reduced_dims(spec: PIDSpec, n: int, raw: list[int]) -> tuple[int, int, int]:
    if not isinstance(spec.reduction, PCA):
        d1, d2, dt = raw
    else:  # n samples span at most n − 1 dimensions
        d1, d2, dt = (min(d, p, n - 1) for d, p in zip(spec.reduction.dims, raw, strict=True))
    return d1, d2, dt


def _check_key(key: object) -> None:
    if not isinstance(key, jax.Array) or not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        raise TypeError(f"key needs a JAX random key such as jax.random.key(0), got {type(key).__name__}.")
