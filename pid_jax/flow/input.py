"""What stands in front of a flow: center and scale of every coordinate, splines and linear maps."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from pid_jax.flow.marginal import QUARTILES
from pid_jax.flow.stage import Stage, fit_stages, run_stages
from pid_jax.runtime.devices import in_threads
from pid_jax.runtime.precision import single_precision
from pid_jax.settings.gaussianize import Copula, RealNVP, is_ranked

# Smallest scale of a coordinate over its standard deviation; single precision tells no smaller differences apart.
SMALLEST_SCALE = 1e-6
# Knots of a spline are this far apart at least, in units of the scale: values that many samples share have several.
SMALLEST_TIE = 1e-5


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A variable in front of its flow, all problems on the leading axis.

    Attributes:
        center: Median of each coordinate; its mean without splines.
        scale: The distance of the quartiles, in units of that of a normal; the standard deviation without splines.
        stages: What stands in front of the flow.
        scores: What goes into the flow (problems, n, d), in single precision.
        log_det: Logarithms of the Jacobians of the stages (problems, n).
    """

    center: np.ndarray
    scale: np.ndarray
    stages: tuple[Stage, ...]
    scores: np.ndarray
    log_det: np.ndarray


def prepare_variable(
    array: np.ndarray, is_held_out: np.ndarray, is_mixed: np.ndarray | bool, spec: RealNVP
) -> Prepared:
    """Scale every coordinate, and fit the stages in front of the flow, all to the training samples.

    Args:
        array: Samples (problems, n, d).
        is_held_out: Samples held out (n,).
        is_mixed: Whether linear maps may be taken in each problem, see `fit_stages`; in the first if all have one map.
        spec: Settings without None.
    """
    center, scale = _place(array[:, ~is_held_out].astype(np.float64), is_robust=is_ranked(spec.marginals))
    scaled = ((array - center[:, None]) / scale[:, None]).astype(np.float32)
    stages, scores, log_det = (), scaled, np.zeros(scaled.shape[:2], np.float32)
    if is_ranked(spec.marginals):
        allowed = np.broadcast_to(is_mixed, len(scaled)) if np.ndim(is_mixed) == 0 else np.asarray(is_mixed)
        prepare = partial(_prepare_one, is_held_out=is_held_out, spec=spec)
        found = in_threads(lambda place: prepare(scaled[place], is_mixed=allowed[place]), range(len(scaled)))
        stages, scores, log_det = jax.tree.map(lambda *parts: np.stack(parts), *found)
    return Prepared(center=center, scale=scale, stages=stages, scores=scores, log_det=log_det)


def _place(train: np.ndarray, *, is_robust: bool) -> tuple[np.ndarray, np.ndarray]:
    """Find center and scale of each coordinate (problems, d): mean and standard deviation, or from the quartiles.

    A single value may have nearly all the variance of a coordinate with heavy tails. Over its standard deviation the
    others would then be equal, to single precision.
    """
    peak = np.maximum(np.abs(train).max(axis=1, keepdims=True), np.finfo(train.dtype).tiny)
    spread = peak[:, 0] * (train / peak).std(axis=1)  # squares of huge values would overflow
    if not is_robust:
        return train.mean(axis=1), spread
    low, center, high = np.quantile(train, (0.25, 0.5, 0.75), axis=1)
    return center, np.maximum((high - low) / QUARTILES, SMALLEST_SCALE * spread)


def _prepare_one(
    scaled: np.ndarray, is_held_out: np.ndarray, is_mixed: bool, spec: RealNVP
) -> tuple[tuple[Stage, ...], np.ndarray, np.ndarray]:
    """Fit the stages in one problem, by one program for all, so that it does not matter which others there are."""
    assert isinstance(spec.marginals, Copula)
    assert spec.knots is not None
    with single_precision():
        train, held_out = jnp.asarray(scaled[~is_held_out]), jnp.asarray(scaled[is_held_out])
        tie, may_mix = jnp.float32(max(spec.marginals.tie_tolerance, SMALLEST_TIE)), jnp.asarray(bool(is_mixed))
        stages = fit_stages(train, held_out, tie, may_mix, knots=spec.knots, unmixings=spec.unmixings)
        return jax.tree.map(np.asarray, (stages, *run_stages(stages, jnp.asarray(scaled))))
