"""The host functions: check, set the precision, run the compiled core over all leading axes, return NumPy."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from pid_jax.checks import (
    check_enough_samples,
    check_float_array,
    check_leading_axes,
    check_not_constant,
    check_paired,
    check_samples,
)
from pid_jax.flow.marginal import gaussianize_copula
from pid_jax.gaussian.covariance import sample_covariance
from pid_jax.gaussian.joint import JointGaussian
from pid_jax.pid.atoms import PIDSolution
from pid_jax.pid.broja import pid_broja
from pid_jax.pid.mmi import pid_mmi
from pid_jax.precision import double_precision
from pid_jax.reduce.pca import Reduced, keep_all, reduce_pca
from pid_jax.result import VARIABLES, PIDEstimate
from pid_jax.spec import BROJA, MMI, PCA, Copula, PIDSpec, Redundancy, spec_to_dict

_SYMMETRY_TOLERANCE = 1e-10


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
    dims = _reduced_dims(spec, [array.shape[-1] for _, array in named])
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
    return _result(
        fitted.solution, fitted.cov, leading, dims, n, spec_to_dict(spec), explained_variance=explained, rank=rank
    )


def gaussian_pid(
    cov: ArrayLike, dims: tuple[int, int, int], *, redundancy: Redundancy | None = None, samples: int | None = None
) -> PIDEstimate:
    """Decompose jointly Gaussian variables, from their covariance.

    Args:
        cov: Joint covariances (..., D, D) in the order source_1, source_2, target.
        dims: (d1, d2, dt), with D = d1 + d2 + dt.
        redundancy: `BROJA()` (default) or `MMI()`.
        samples: Number of samples behind the covariance, kept in the result.

    Returns:
        The decomposition in nats. A bad problem of a batch has a status and NaN, and leaves the others as they are.

    Raises:
        TypeError: For tracers, complex or object arrays, or a `redundancy` that is no spec.
        ValueError: For dims that do not fit, an asymmetric matrix or negative variances.
    """
    redundancy = BROJA() if redundancy is None else redundancy
    if not isinstance(redundancy, (BROJA, MMI)):
        raise TypeError(f"redundancy needs BROJA() or MMI(), got {redundancy!r}.")
    array = check_float_array("cov", cov, 2, "pid_broja or pid_mmi").astype(np.float64)
    dims = _check_dims(dims, array.shape)
    _check_covariance(array)
    leading, size = array.shape[:-2], array.shape[-1]
    with double_precision():
        flat = jnp.asarray(array.reshape(-1, size, size))
        solved = jax.tree.map(np.asarray, _solve(flat, dims=dims, redundancy=redundancy))
    return _result(
        solved, array.reshape(-1, size, size), leading, dims, samples, {"redundancy": spec_to_dict(redundancy)}
    )


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class _Fitted:
    solution: PIDSolution
    cov: Array
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
    """Run all stages; a variable with one problem (B = 1) is prepared once and shared by all."""
    prepared = [
        jax.vmap(partial(_prepare, spec=spec, dim=dim))(samples)
        for samples, dim in zip((source_1, source_2, target), dims, strict=True)
    ]
    batch = max(reduced.rank.shape[0] for reduced in prepared)
    scores = [jnp.broadcast_to(r.scores, (batch, *r.scores.shape[1:])) for r in prepared]
    cov = jax.vmap(sample_covariance)(jnp.concatenate(scores, axis=-1))
    return _Fitted(
        solution=_solve(cov, dims=dims, redundancy=spec.redundancy),
        cov=cov,
        explained_variance=tuple(r.explained_variance for r in prepared),
        rank=tuple(r.rank for r in prepared),
    )


@partial(jax.jit, static_argnames=("dims", "redundancy"))
def _solve(cov: Float[Array, "B D D"], *, dims: tuple[int, int, int], redundancy: Redundancy) -> PIDSolution:
    measure = pid_broja if isinstance(redundancy, BROJA) else pid_mmi
    return jax.vmap(lambda one: measure(JointGaussian(one, dims), redundancy.rank_cut))(cov)


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


def _reduced_dims(spec: PIDSpec, raw: list[int]) -> tuple[int, int, int]:
    wanted = spec.reduction.dims if isinstance(spec.reduction, PCA) else raw
    d1, d2, dt = (min(d, p) for d, p in zip(wanted, raw, strict=True))
    return d1, d2, dt


def _result(
    solved: PIDSolution,
    cov: np.ndarray,
    leading: tuple[int, ...],
    dims: tuple[int, int, int],
    samples: int | None,
    settings: dict[str, Any],
    explained_variance: np.ndarray | None = None,
    rank: np.ndarray | None = None,
) -> PIDEstimate:
    shaped = jax.tree.map(lambda x: np.asarray(x).reshape(leading), solved)
    return PIDEstimate(
        atoms=shaped.atoms,
        information=shaped.information,
        status=shaped.status,
        gap=shaped.gap,
        cov=cov.reshape(*leading, *cov.shape[-2:]),
        dims=dims,
        samples=samples,
        settings=settings,
        explained_variance=explained_variance,
        rank=rank,
    )


def _check_key(key: object) -> None:
    if not isinstance(key, jax.Array) or not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        raise TypeError(f"key needs a JAX random key such as jax.random.key(0), got {type(key).__name__}.")


def _check_dims(dims: object, shape: tuple[int, ...]) -> tuple[int, int, int]:
    values = tuple(dims) if isinstance(dims, (tuple, list)) else ()
    if len(values) != 3 or not all(isinstance(d, (int, np.integer)) and d >= 1 for d in values):
        raise ValueError(f"dims needs three whole numbers of at least 1, (d1, d2, dt), got {dims!r}.")
    if shape[-1] != shape[-2] or sum(values) != shape[-1]:
        raise ValueError(
            f"cov has shape {shape}, dims {values} sum to {sum(values)}; the last two axes of cov must both be that "
            "long, in the order source_1, source_2, target."
        )
    return int(values[0]), int(values[1]), int(values[2])


def _check_covariance(cov: np.ndarray) -> None:
    variances = np.diagonal(cov, axis1=-2, axis2=-1)
    if (variances < 0).any():
        first = tuple(int(i) for i in np.argwhere(variances < 0)[0])
        raise ValueError(
            f"cov has a negative variance at diagonal index {first}: a covariance has none; check its order."
        )
    deviations = np.sqrt(variances)
    with np.errstate(invalid="ignore"):
        scale = deviations[..., :, None] * deviations[..., None, :]
        off = np.abs(cov - np.swapaxes(cov, -1, -2)) > _SYMMETRY_TOLERANCE * scale
    if off.any():
        first = tuple(int(i) for i in np.argwhere(off)[0])
        raise ValueError(f"cov is not symmetric, first at index {first}: pass (cov + cov.T) / 2 if rounding did this.")
