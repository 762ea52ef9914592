"""Reduction of one variable of all problems: scaled, in the precision that it needs, and with notes."""

import dataclasses
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from pid_jax.reduce.discrete import find_discrete
from pid_jax.reduce.pca import Reduced, keep_all, project
from pid_jax.reduce.prepare import SinglePrecision, scale_extremes
from pid_jax.reduce.solve import (
    describe_outliers,
    describe_reduction,
    describe_scale,
    fit_reduction,
    is_exact,
    keeps_columns,
)
from pid_jax.runtime.devices import map_problems, over_devices
from pid_jax.runtime.precision import double_precision
from pid_jax.settings.estimate import PIDSpec, is_pca

# Arrays as large as the samples of a problem that exist at a time while it is reduced.
_COPIES = 5


def reduce_variable(
    name: str,
    array: np.ndarray,
    fitted_on: np.ndarray | None,
    dim: int,
    spec: PIDSpec,
    key: jax.Array,
    is_ranked: bool = False,
) -> Reduced:
    """Reduce all problems of one variable, and note what was left out.

    Args:
        name: What the variable is called.
        array: Finite samples (B, n, p).
        fitted_on: Samples whose components are taken, of the same shape; those of the variable itself if None.
        dim: Coordinates to keep.
        spec: The settings, of which those of the reduction are used.
        key: A JAX random key.
        is_ranked: Whether coordinates are replaced by their ranks afterwards.
    """
    is_kept = keeps_columns(spec.reduction, dim, array.shape[-1])
    scaled, exponents = scale_extremes(array, is_kept)
    base = None if fitted_on is None else scale_extremes(fitted_on, is_kept)[0]
    reduced = _reduce_samples(scaled, base, dim, spec, key)
    if exponents is not None and is_ranked and not np.any(reduced.rounding):
        # Columns as they are: ranks need no squares, and scaling would lose small numbers next to huge ones.
        reduced, exponents = dataclasses.replace(reduced, scores=array.astype(np.float64)), None
    fraction = spec.reduction.variance if is_pca(spec.reduction) else None
    notes = describe_reduction(name, array.shape[-1], reduced.rank, reduced.explained_variance, dim, fraction)
    notes = (*describe_scale(name, exponents), *notes, *describe_outliers(name, scaled, dim, spec.reduction))
    return dataclasses.replace(reduced, discrete=find_discrete(array), notes=notes)


def _reduce_samples(flat: np.ndarray, base: np.ndarray | None, dim: int, spec: PIDSpec, key: jax.Array) -> Reduced:
    """Reduce all problems at once in float64, or one after another in float32 where components are not exact."""
    is_whole = not is_pca(spec.reduction) or is_exact(flat.shape[1:], dim, spec.reduction)
    options: dict[str, Any] = {"bytes_each": 8 * _COPIES * flat[0].size, "is_one_each": not is_whole}
    program = partial(_reduce, key=key, unit=float(np.finfo(flat.dtype).eps), spec=spec, dim=dim)
    with double_precision():
        if is_whole:
            return map_problems(program, flat, base, dtype=np.float64, **options)
        single = SinglePrecision(flat)
        joined = map_problems(program, single, None if base is None else SinglePrecision(base), **options)
    return _in_units(joined, single.scales)


def _in_units(reduced: Reduced, scales: np.ndarray) -> Reduced:
    """Return scores in double precision, in the units that samples had before they were scaled."""
    scores = reduced.scores.astype(np.float64) * scales[:, None, None]
    return dataclasses.replace(reduced, scores=scores, rounding=reduced.rounding * scales[:, None])


@partial(jax.jit, static_argnames=("spec", "dim", "mesh"))
def _reduce(
    samples: Float[Array, "B n p"],
    fitted_on: Float[Array, "B n p"] | None,
    *,
    key: jax.Array,
    unit: Float[Array, ""],
    spec: PIDSpec,
    dim: int,
    mesh: Mesh | None,
) -> Reduced:
    def one(samples: Float[Array, "n p"], fitted_on: Float[Array, "n p"]) -> Reduced:
        if is_pca(spec.reduction):
            return project(samples, fit_reduction(fitted_on, dim, spec.reduction, key), unit)
        return keep_all(samples)

    return over_devices(jax.vmap(one), mesh)(samples, samples if fitted_on is None else fitted_on)
