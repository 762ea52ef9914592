"""Fit flows to samples, all problems by one compiled program."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from pid_jax.flow.apply import VariableFlow
from pid_jax.flow.fitted import FlowFit, architectures_of, covariance_of, latents_of
from pid_jax.flow.input import Prepared, prepare_variable
from pid_jax.flow.loops import Fitted, fit_separately
from pid_jax.flow.recipe import choose_settings
from pid_jax.flow.train import Training
from pid_jax.runtime.by_type import by_type
from pid_jax.runtime.checks import (
    check_key,
    check_leading_axes,
    check_not_constant,
    check_not_redundant,
    check_paired,
    check_samples,
    is_discrete,
)
from pid_jax.runtime.devices import use_devices
from pid_jax.runtime.progress import Progress, no_progress
from pid_jax.runtime.threads import one_blas_thread
from pid_jax.settings.gaussianize import Joint, Marginal, RealNVP

FEWEST_HELD_OUT = 20


def fit_flow(
    *variables: ArrayLike,
    spec: RealNVP | None = None,
    key: jax.Array,
    progress: Progress = no_progress,
) -> FlowFit:
    """Fit one flow a variable, so that all variables together become Gaussian.

    Every problem on the leading axes is fitted by the same compiled program with the same key, so that the result of
    one does not depend on which others there are, nor on their order.

    Args:
        variables: Samples (..., n, d) of two or more variables, row i of each from the same sample. A variable that is
            the same in all problems may leave out the leading axes.
        spec: Settings, `RealNVP()` if not given; what is None there is chosen from n and the dims.
        key: A JAX random key.
        progress: Called with the number of evaluations done, and of all, as the fit goes on.

    Returns:
        The fitted maps, how the fit went, and mean and covariance of the latents of all samples.

    Raises:
        TypeError: For tracers and for arrays that hold no real numbers.
        ValueError: For unpaired samples, NaN, masked or missing values, constant or duplicate columns, too few samples,
            or if all variables have discrete columns. The flow of a single variable that has stays the identity behind
            the splines.

    Source: Dinh, Sohl-Dickstein & Bengio (2017), arXiv 1605.08803, for the flow; Butakov et al. (2024), arXiv
    2403.02187, for the joint objective.
    """
    spec = RealNVP() if spec is None else spec
    if not isinstance(spec, RealNVP):
        raise TypeError(f"spec needs a RealNVP, got {type(spec).__name__}.")
    check_key(key)
    named = [(f"variable {place}", check_samples(f"variable {place}", x)) for place, x in enumerate(variables)]
    if len(named) < 2:
        raise ValueError(f"fit_flow needs two variables or more, got {len(named)}: pass an array for each.")
    count, leading = check_paired(named, variables), check_leading_axes(named, variables).shape
    for name, array in named:
        check_not_constant(name, array, whole=False)
        check_not_redundant(name, array)
    arrays = [array.reshape(-1, *array.shape[-2:]) for _, array in named]
    spec = choose_settings(spec, count, tuple(array.shape[-1] for array in arrays))
    with use_devices():
        return fit_arrays(arrays, leading, _find_free(arrays), spec, key, progress)


def fit_arrays(
    arrays: Sequence[np.ndarray],
    leading: tuple[int, ...],
    is_free: np.ndarray,
    spec: RealNVP,
    key: jax.Array,
    progress: Progress,
) -> FlowFit:
    """Fit flows to checked samples.

    Args:
        arrays: Of each variable (problems or 1, n, d).
        leading: Leading axes of the result; their product is the number of problems.
        is_free: Which variables have flows to learn (problems, variables); those of others stay the identity behind the
            splines.
        spec: Settings without None.
        key: A JAX random key.
        progress: See `fit_flow`.
    """
    count, dims = arrays[0].shape[1], tuple(array.shape[-1] for array in arrays)
    is_held_out = _hold_out(key, count, sum(dims), spec)
    training = _training(spec, int((~is_held_out).sum()), dims)
    with one_blas_thread(sum(dims)):
        each = zip(arrays, is_free.T, strict=True)
        prepared = [prepare_variable(array, is_held_out, free, spec) for array, free in each]
        scores = [one.scores for one in prepared]
        fitted = fit_separately(scores, is_free, is_held_out, training, key, progress)
    fit = _assemble(prepared, fitted, training, leading, is_held_out, is_free, spec)
    return _with_moments(fit, arrays)


def fit_again(fit: FlowFit, variables: Sequence[np.ndarray], key: jax.Array, progress: Progress) -> FlowFit:
    """Fit flows with the settings of a fit that has at most one leading axis to other samples; see `fit_arrays`."""
    arrays = [x.reshape(-1, *x.shape[-2:]) for x in variables]
    return fit_arrays(arrays, fit.leading, fit.is_learned.reshape(-1, len(arrays)), fit.spec, key, progress)


def _find_free(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Tell which variables have flows to learn, (problems, variables): those without discrete columns."""
    problems = max(len(array) for array in arrays)
    is_free = np.stack(
        [np.broadcast_to(~np.asarray(is_discrete(array).any(axis=-1)), problems) for array in arrays], axis=-1
    )
    if not is_free.any(axis=-1).all():
        first = int(np.flatnonzero(~is_free.any(axis=-1))[0])
        raise ValueError(
            f"all variables have discrete columns, with few distinct values or one that many samples share, in problem "
            f"{first}: a flow needs continuous ones; use Copula(), or leave the columns out."
        )
    return is_free


def _hold_out(key: jax.Array, count: int, size: int, spec: RealNVP) -> np.ndarray:
    """Choose the samples to hold out."""
    assert spec.validation_fraction is not None
    held = max(FEWEST_HELD_OUT, round(spec.validation_fraction * count))
    if count - held < size + 2:
        raise ValueError(
            f"{count} samples, of which {held} are held out, are too few for {size} dimensions of all variables: a "
            f"flow needs at least {size + 2 + held}. Reduce further (PCA(dim=...)), add samples, or use Copula()."
        )
    order = np.asarray(jax.random.permutation(jax.random.fold_in(key, count), count))
    is_held_out = np.zeros(count, bool)
    is_held_out[order[:held]] = True
    return is_held_out


def _training(spec: RealNVP, count: int, dims: tuple[int, ...]) -> Training:
    """Translate settings without None into the shape of the compiled program."""
    assert spec.batch_size is not None
    assert spec.learning_rate is not None
    assert spec.epochs is not None
    assert spec.weight_decay is not None
    assert spec.input_noise is not None
    steps = spec.epochs * max(1, count // min(spec.batch_size, count))
    evaluations = min(spec.evaluations, steps)
    return Training(
        architectures=architectures_of(spec, dims),
        is_joint=by_type("objective", spec.objective, {Joint: True, Marginal: False}),
        steps=-(-steps // evaluations),
        evaluations=evaluations,
        batch_size=spec.batch_size,
        learning_rate=spec.learning_rate,
        weight_decay=spec.weight_decay,
        input_noise=spec.input_noise,
    )


def _assemble(
    prepared: Sequence[Prepared],
    fitted: Fitted,
    training: Training,
    leading: tuple[int, ...],
    is_held_out: np.ndarray,
    is_free: np.ndarray,
    spec: RealNVP,
) -> FlowFit:
    flows = tuple(
        VariableFlow(
            **{name: _repeat(getattr(one, name), len(weights.permutation)) for name in ("center", "scale", "stages")},
            weights=weights,
        )
        for one, weights in zip(prepared, fitted.weights, strict=True)
    )
    count, size = len(is_held_out), sum(a.dim for a in training.architectures)
    return FlowFit(
        flows=flows,
        leading=leading,
        dims=tuple(a.dim for a in training.architectures),
        samples=count,
        mean=np.zeros((*leading, size)),
        cov=np.zeros((*leading, size, size)),
        train_curve=fitted.train.reshape(*leading, -1),
        validation_curve=fitted.held_out.reshape(*leading, -1),
        validation_density=fitted.density.reshape(*leading, -1),
        rejected_steps=fitted.rejected.reshape(leading),
        is_held_out=is_held_out,
        is_learned=is_free.reshape(*leading, -1),
        spec=spec,
    )


def _with_moments(fit: FlowFit, arrays: Sequence[np.ndarray]) -> FlowFit:
    variables = [x[0] if len(x) == 1 else x.reshape(*fit.leading, *x.shape[1:]) for x in arrays]
    latents = latents_of(fit, *variables)
    return dataclasses.replace(fit, mean=latents.mean(axis=-2), cov=covariance_of(latents))


def _repeat(tree: Any, count: int) -> Any:
    """Repeat what all problems have in common, if each has a flow of its own."""
    return jax.tree.map(lambda leaf: np.broadcast_to(leaf, (count, *leaf.shape[1:])), tree)
