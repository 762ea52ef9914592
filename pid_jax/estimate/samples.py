"""Decompose what two sources tell about a target, from samples."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np
from numpy.typing import ArrayLike

from pid_jax.bias.sampling import check_correction
from pid_jax.decompose.result import VARIABLES, PIDEstimate
from pid_jax.estimate.gaussianize import is_corrected, record_of
from pid_jax.estimate.latents import estimate_reduced
from pid_jax.estimate.usable import find_usable
from pid_jax.reduce.pca import Reduced
from pid_jax.reduce.variable import reduce_variable
from pid_jax.runtime.checks import (
    check_enough_samples,
    check_key,
    check_leading_axes,
    check_paired,
    read_samples,
)
from pid_jax.runtime.devices import use_devices
from pid_jax.runtime.leading import LeadingAxes
from pid_jax.runtime.progress import Progress, no_progress
from pid_jax.settings.estimate import PIDSpec, is_pca, is_shrunk


def estimate_pid(
    source_1: ArrayLike,
    source_2: ArrayLike,
    target: ArrayLike,
    *,
    spec: PIDSpec | None = None,
    key: jax.Array,
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
        progress: Called with steps done and all there are, while flows are fitted.

    Returns:
        The decomposition in nats, with the covariance, the variance kept, what made each problem Gaussian, and the
        settings.

    Raises:
        TypeError: For tracers and for arrays that hold no real numbers.
        ValueError: For unpaired samples, rows with different labels, masked or missing values, leading axes that
            differ, too few samples, or variables that no flow can map where one is asked for. For NaN, constant
            columns, or information above the entropy of a discrete variable in all problems: if there are others,
            those that have them get the status `NOT_FINITE`, `CONSTANT` or `EXCEEDS_ENTROPY`.
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
    after these maps is not in them; `findings` of the result report where some was detected, and `notes` which
    variables are discrete.
    """
    spec = check_spec(spec)
    if is_corrected(spec):
        check_correction(spec.redundancy, spec.bias_correction)
    with use_devices():
        reduced, leading, for_estimate = reduce_variables(source_1, source_2, target, spec, key)
        (found,) = estimate_reduced(reduced, spec, (spec.redundancy,), for_estimate, progress)
    return found.on(leading)


def check_spec(spec: PIDSpec | None) -> PIDSpec:
    """Return settings, those of `PIDSpec()` for None."""
    spec = PIDSpec() if spec is None else spec
    if not isinstance(spec, PIDSpec):
        raise TypeError(f"spec needs a PIDSpec, got {type(spec).__name__}.")
    return spec


def check_variables(source_1: ArrayLike, source_2: ArrayLike, target: ArrayLike) -> list[np.ndarray]:
    """Return samples of the three variables as arrays, paired; they may hold NaN."""
    variables = (source_1, source_2, target)
    named = [(name, read_samples(name, value)) for name, value in zip(VARIABLES, variables, strict=True)]
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
    condition: str = "",
) -> tuple[list[Reduced], LeadingAxes, jax.Array]:
    """Check samples and reduce each variable by itself; see `estimate_pid`.

    Args:
        source_1: Samples (..., n, p1).
        source_2: Samples (..., n, p2).
        target: Samples (..., n, pt).
        spec: The settings.
        key: A JAX random key.
        fitted_on: Other checked samples of the same three variables, of the same shapes, whose components are taken;
            those of each variable itself if not given.
        condition: What stands before the names of variables in messages and notes, such as "baseline ".

    Returns:
        The reduced variables with one leading axis, the leading axes of the input, and the key for what comes after.
    """
    names = [f"{condition}{name}" for name in VARIABLES]
    given = (source_1, source_2, target)
    named = list(zip(names, check_variables(*given), strict=True))
    check_key(key)
    n, leading = named[0][1].shape[-2], check_leading_axes(named, given)
    wanted = wanted_dims(spec, [array.shape[-1] for _, array in named])
    if not is_shrunk(spec.covariance):
        check_enough_samples(n, wanted)
    dims = [min(dim, n - 1) for dim in wanted] if is_pca(spec.reduction) else wanted  # all that n samples span
    is_whole = is_pca(spec.reduction)
    usable = find_usable(named, is_whole)
    bases: Sequence[np.ndarray | None] = [None] * 3
    if fitted_on is not None:
        bases = find_usable(list(zip(VARIABLES, fitted_on, strict=True)), is_whole).arrays
    for_reduction, for_estimate = jax.random.split(key)
    keys = jax.random.split(for_reduction, len(named))
    each = zip(names, usable.arrays, bases, dims, keys, strict=True)
    is_ranked = record_of(spec.gaussianize).is_ranked
    reduced = [reduce_variable(name, array, base, d, spec, k, is_ranked) for name, array, base, d, k in each]
    reduced[-1] = dataclasses.replace(reduced[-1], status=usable.status, notes=(*reduced[-1].notes, *usable.notes))
    return reduced, leading, for_estimate


def wanted_dims(spec: PIDSpec, raw: Sequence[int]) -> tuple[int, int, int]:
    """Return how many coordinates each variable keeps of those that it has, if there are enough samples."""
    dims = spec.reduction.dims if is_pca(spec.reduction) else raw
    d1, d2, dt = (min(d, p) for d, p in zip(dims, raw, strict=True))
    return d1, d2, dt
