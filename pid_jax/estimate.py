"""Decompose what two sources tell about a target, from samples."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from pid_jax.checks import (
    check_enough_samples,
    check_key,
    check_leading_axes,
    check_not_constant,
    check_paired,
    check_samples,
)
from pid_jax.estimate_reduced import estimate_reduced
from pid_jax.layout import laid_out, map_problems, over_devices
from pid_jax.precision import double_precision
from pid_jax.progress import Progress, no_progress
from pid_jax.reduce.pca import Reduced, keep_all, project
from pid_jax.reduce.solve import fit_reduction, is_exact
from pid_jax.result import VARIABLES, PIDEstimate
from pid_jax.spec import PCA, PIDSpec, SampleCovariance

# Arrays as large as the samples of a problem that exist at a time while it is reduced.
COPIES = 5


def estimate_pid(
    source_1: ArrayLike,
    source_2: ArrayLike,
    target: ArrayLike,
    *,
    spec: PIDSpec | None = None,
    key: jax.Array,
    mesh: Mesh | None = None,
    budget_gb: float | None = None,
    progress: Progress = no_progress,
) -> PIDEstimate:
    """Decompose what two sources tell about a target, from samples.

    Each variable is reduced by itself, and all are mapped to latents that are jointly Gaussian, or closer to it; the
    joint covariance of these is then decomposed exactly, and the bias of that estimated and subtracted.

    Args:
        source_1: Samples (..., n, p1), or (n,) for one column, in arrays of NumPy, JAX, PyTorch, pandas, polars, xarray
            or lists.
        source_2: Samples (..., n, p2), row i from the same sample as row i of `source_1`.
        target: Samples (..., n, pt). Any variable may leave out the leading axes: it is then the same for all.
        spec: The settings of every stage, `PIDSpec()` if not given.
        key: A JAX random key.
        mesh: Devices to divide the problems among; all of this process if not given.
        budget_gb: Memory for the arrays of a stage that exist at a time, in GB; 2 if not given.
        progress: Called with steps done and all there are, while flows are fitted.

    Returns:
        The decomposition in nats, with the covariance, the variance kept, what made each problem Gaussian, and the
        settings.

    Raises:
        TypeError: For tracers and for arrays that hold no real numbers.
        ValueError: For unpaired samples, rows with different labels, NaN, masked or missing values, constant columns,
            leading axes that differ, too few samples, or variables that no flow can map where one is asked for.
        RuntimeError: In a process that was forked after JAX had started, as by every function that computes.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> from pid_jax import estimate_pid
        >>> rng = np.random.default_rng(0)
        >>> target = rng.normal(size=(1000, 2))
        >>> source_1 = target + rng.normal(size=(1000, 2))
        >>> source_2 = target[:, :1] + rng.normal(size=(1000, 2))
        >>> estimate = estimate_pid(source_1, source_2, target, key=jax.random.key(0))
        >>> print(f"{estimate.atoms.unique_1:.1f} nats from source_1 only, {estimate.atoms.unique_2:.1f} from source_2")
        0.3 nats from source_1 only, 0.2 from source_2

    Not guaranteed: the atoms describe the Gaussian with the covariance of the latents. Dependence that is not Gaussian
    after these maps is not seen.
    """
    spec = check_spec(spec)
    with laid_out(mesh, budget_gb):
        reduced, leading, for_estimate = reduce_variables(source_1, source_2, target, spec, key)
        (found,) = estimate_reduced(reduced, spec, (spec.redundancy,), for_estimate, progress)
    return found.reshape(leading)


def check_spec(spec: PIDSpec | None) -> PIDSpec:
    """Return settings, those of `PIDSpec()` for None."""
    spec = PIDSpec() if spec is None else spec
    if not isinstance(spec, PIDSpec):
        raise TypeError(f"spec needs a PIDSpec, got {type(spec).__name__}.")
    return spec


def check_variables(source_1: ArrayLike, source_2: ArrayLike, target: ArrayLike) -> list[np.ndarray]:
    """Return samples of the three variables as arrays, finite and paired."""
    variables = (source_1, source_2, target)
    named = [(name, check_samples(name, value)) for name, value in zip(VARIABLES, variables, strict=True)]
    check_paired(named, variables)
    return [array for _, array in named]


def reduce_variables(
    source_1: ArrayLike,
    source_2: ArrayLike,
    target: ArrayLike,
    spec: PIDSpec,
    key: jax.Array,
    *,
    fitted_on: Sequence[np.ndarray] | None = None,
) -> tuple[list[Reduced], tuple[int, ...], jax.Array]:
    """Check samples and reduce each variable by itself; see `estimate_pid`.

    Args:
        source_1: Samples (..., n, p1).
        source_2: Samples (..., n, p2).
        target: Samples (..., n, pt).
        spec: The settings.
        key: A JAX random key.
        fitted_on: Other checked samples of the same three variables, of the same shapes, whose components are taken;
            those of each variable itself if not given.

    Returns:
        The reduced variables with one leading axis, the leading axes of the input, and the key for what comes after.
    """
    named = list(zip(VARIABLES, check_variables(source_1, source_2, target), strict=True))
    check_key(key)
    bases = [None] * 3 if fitted_on is None else fitted_on
    n, leading = named[0][1].shape[-2], check_leading_axes(named)
    wanted = wanted_dims(spec, [array.shape[-1] for _, array in named])
    if isinstance(spec.covariance, SampleCovariance):
        check_enough_samples(n, wanted)
    dims = [min(dim, n - 1) for dim in wanted] if isinstance(spec.reduction, PCA) else wanted  # all that n samples span
    for name, array in named:
        check_not_constant(name, array, whole=isinstance(spec.reduction, PCA))
    for_reduction, for_estimate = jax.random.split(key)
    keys = jax.random.split(for_reduction, len(named))
    each = zip(named, bases, dims, keys, strict=True)
    return [_reduce_all(array, base, d, spec, k) for (_, array), base, d, k in each], leading, for_estimate


def _reduce_all(array: np.ndarray, fitted_on: np.ndarray | None, dim: int, spec: PIDSpec, key: jax.Array) -> Reduced:
    """Reduce all problems at once in float64, or one after another in float32 where components are not exact."""
    flat = array.reshape(-1, *array.shape[-2:])
    base = None if fitted_on is None else fitted_on.reshape(flat.shape)
    is_whole = not isinstance(spec.reduction, PCA) or is_exact(flat.shape[1:], dim, spec.reduction)
    options: dict[str, Any] = {"bytes_each": 8 * COPIES * flat[0].size, "is_one_each": not is_whole}
    with double_precision():
        program = partial(_reduce, key=key, spec=spec, dim=dim)
        joined = map_problems(program, flat, base, dtype=np.float64 if is_whole else np.float32, **options)
    return dataclasses.replace(joined, scores=joined.scores.astype(np.float64))


@partial(jax.jit, static_argnames=("spec", "dim", "mesh"))
def _reduce(
    samples: Float[Array, "B n p"],
    fitted_on: Float[Array, "B n p"] | None,
    *,
    key: jax.Array,
    spec: PIDSpec,
    dim: int,
    mesh: Mesh | None,
) -> Reduced:
    def one(samples: Float[Array, "n p"], fitted_on: Float[Array, "n p"]) -> Reduced:
        if isinstance(spec.reduction, PCA):
            return project(samples, fit_reduction(fitted_on, dim, spec.reduction, key))
        return keep_all(samples)

    return over_devices(jax.vmap(one), mesh)(samples, samples if fitted_on is None else fitted_on)


def wanted_dims(spec: PIDSpec, raw: Sequence[int]) -> tuple[int, int, int]:
    """Return how many coordinates each variable keeps of those that it has, if there are enough samples."""
    dims = spec.reduction.dims if isinstance(spec.reduction, PCA) else raw
    d1, d2, dt = (min(d, p) for d, p in zip(dims, raw, strict=True))
    return d1, d2, dt
