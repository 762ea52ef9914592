"""Latents of normalizing flows where they can be fitted, and of the map that held-out samples prefer."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import jax
import numpy as np

from pid_jax.decompose.covariances import solve_covariances
from pid_jax.estimate.by_ranks import normal_scores
from pid_jax.estimate.gaussianizer import FitOptions, GaussianizerRecord, Latents
from pid_jax.flow.recipe import choose_settings
from pid_jax.gaussian.information import information_of_all
from pid_jax.normality.sentences import name_problems
from pid_jax.reduce.pca import Reduced
from pid_jax.runtime.arrays import side_by_side
from pid_jax.runtime.checks import is_discrete, is_redundant
from pid_jax.runtime.precision import double_precision
from pid_jax.runtime.progress import part_of
from pid_jax.settings.gaussianize import Auto, Copula, NoGaussianization, RealNVP

if TYPE_CHECKING:  # flows are loaded on first use: Flax and Distrax take seconds
    from pid_jax.flow.fitted import FlowFit
    from pid_jax.flow.refit import Replicates

# Samples for each coordinate of all variables together, below which a flow learns the samples by heart: at 20 its atoms
# are off by .2 nats, and at 6 they read twice as high (docs/flows.md).
FEWEST_SAMPLES = 15
# Directions of a variable with less of its leading variance are dropped.
RANK_CUT = 1e-13
_RAW, _COPULA, _FLOW = NoGaussianization.__name__, Copula.__name__, RealNVP.__name__


def _fit_flow(reduced: Sequence[Reduced], flow: RealNVP, options: FitOptions) -> Latents:
    return _fit(reduced, flow, options, is_compared=False)


def _fit_best(reduced: Sequence[Reduced], settings: Auto, options: FitOptions) -> Latents:
    return _fit(reduced, settings.flow, options, is_compared=True)


FLOW = GaussianizerRecord(name="flow", label="normalizing flow", default=RealNVP(), fit=_fit_flow)
AUTO = GaussianizerRecord(name="auto", label="best on held-out samples", default=Auto(), fit=_fit_best)


def _fit(reduced: Sequence[Reduced], flow: RealNVP, options: FitOptions, *, is_compared: bool) -> Latents:
    """Fit flows where there can be one, and use them, or where they are compared the best map of each problem.

    Raises:
        ValueError: If the target is discrete in all problems.
    """
    scores = [np.asarray(one.scores) for one in reduced]
    filled, has_flow, notes = _prepare(scores, options)
    names, flows = np.full(len(has_flow), _COPULA, dtype=object), None
    preferred, gain = np.full(len(has_flow), "", dtype=object), np.full(len(has_flow), np.nan)
    if has_flow.any():
        flows = _fit_flows(filled, has_flow, flow, options)
        preferred[has_flow], gain[has_flow] = _compare(flows.fit, _chosen(filled, has_flow))
        names[has_flow] = preferred[has_flow] if is_compared else _FLOW
    values = np.empty((len(names), scores[0].shape[1], sum(x.shape[-1] for x in scores)))
    for name, make in ((_RAW, partial(side_by_side, scores)), (_COPULA, partial(normal_scores, reduced, Copula()))):
        if (names == name).any():
            values[names == name] = make()[names == name]
    if flows is None:
        return Latents(values=values, gaussianizer=names.astype(str), notes=notes)
    is_used = names[has_flow] == _FLOW
    values[names == _FLOW] = flows.latents[is_used]
    return Latents(
        values=values,
        gaussianizer=names.astype(str),
        fit=flows.fit,
        fitted=np.flatnonzero(has_flow),
        replicates=jax.tree.map(lambda cov: cov[:, :, is_used], flows.replicates),
        used=np.flatnonzero(names == _FLOW),
        preferred=preferred.astype(str),
        gain=gain,
        notes=notes,
    )


def _compare(fit: "FlowFit", variables: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the map that held-out samples prefer in each problem, and what they gain by the flow."""
    from pid_jax.flow.compare import choose_gaussianizer, gain_of_flow, held_out_densities

    densities = held_out_densities(fit, variables)
    return choose_gaussianizer(densities), gain_of_flow(densities)


@dataclass(frozen=True, kw_only=True)
class _Flows:
    fit: "FlowFit"
    latents: np.ndarray
    replicates: "Replicates | None"


def _fit_flows(filled: Sequence[np.ndarray], has_flow: np.ndarray, flow: RealNVP, options: FitOptions) -> _Flows:
    from pid_jax.flow.fit import fit_flow
    from pid_jax.flow.fitted import latents_of
    from pid_jax.flow.refit import refit_covariances

    chosen, dims = _chosen(filled, has_flow), tuple(x.shape[-1] for x in filled)
    for_fit, for_more = jax.random.split(options.key)
    flow = choose_settings(flow, filled[0].shape[1], dims)
    if not options.is_corrected:
        flow = dataclasses.replace(flow, refits=0)
    more = (1 + flow.intervals) * (flow.refits or 0)
    fit = fit_flow(*chosen, spec=flow, key=for_fit, progress=part_of(options.progress, 0, 1 + more))
    return _Flows(
        fit=fit,
        latents=latents_of(fit, *chosen).reshape(int(has_flow.sum()), -1, sum(fit.dims)),
        replicates=refit_covariances(fit, chosen, for_more, options.progress) if more else None,
    )


def _chosen(filled: Sequence[np.ndarray], has_flow: np.ndarray) -> list[np.ndarray]:
    """Select problems; a variable that is the same in all loses its leading axis."""
    return [x[has_flow] if len(x) == len(has_flow) else x[0] for x in filled]


def _too_few(scores: Sequence[np.ndarray]) -> str:
    """Say that there are too few samples for flows, if there are."""
    samples, size = scores[0].shape[1], sum(x.shape[-1] for x in scores)
    if samples >= FEWEST_SAMPLES * size:
        return ""
    return (
        f"{samples} samples are too few for flows of {size} coordinates: the copula instead; flows need "
        f"{FEWEST_SAMPLES * size} samples, or fewer coordinates (PCA(dim=...))"
    )


def _prepare(scores: Sequence[np.ndarray], options: FitOptions) -> tuple[list[np.ndarray], np.ndarray, tuple[str, ...]]:
    """Fill columns without variance, find the problems that can have a flow, and note the others."""
    keys = jax.random.split(jax.random.fold_in(options.key, 1), len(scores))
    filled = [fill_constant(x, k) for x, k in zip(scores, keys, strict=True)]
    count = max(len(x) for x in scores)
    few = _too_few(scores)
    if few:
        return filled, np.zeros(count, bool), (few,)
    has_flow, notes = np.ones(count, bool), []
    where = partial(name_problems, count=count, name=options.problem)
    for place, (name, original, x) in enumerate(zip(options.labels, scores, filled, strict=True)):
        is_constant = np.asarray((np.ptp(original, axis=-2) == 0).any(axis=-1))
        if is_constant.any():
            notes.append(f"{name} has columns without variance in {where(is_constant)}: noise took their place")
        is_uneven = np.asarray(is_discrete(x).any(axis=-1))
        if is_uneven.all() and place == len(scores) - 1:
            raise ValueError(
                "target has discrete columns, with few distinct values or one that many samples share: a flow needs a "
                "continuous one; use gaussianize=Copula(), or leave the columns out."
            )
        if is_uneven.any():
            notes.append(f"{name} has discrete columns in {where(is_uneven)}: ranks instead of a flow")
        bad = is_redundant(x)
        if bad.any():
            notes.append(f"{name} has columns that repeat others in {where(bad)}: the copula, and no flow")
            has_flow &= ~bad
    is_shared = is_redundant(side_by_side(filled[:-1])) & has_flow
    if is_shared.any():
        notes.append(f"the sources share some direction in {where(is_shared)}: the copula, and no flow")
        has_flow &= ~is_shared
    is_copied = _is_copied(scores)
    if is_copied.any():
        notes.append(f"the sources determine the target in {where(is_copied)}: the copula, and no flow")
    return filled, has_flow & ~is_copied, tuple(notes)


def _is_copied(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Tell where the sources determine some direction of the target, which separate flows would blur."""
    joined = side_by_side(scores)
    centered = joined - joined.mean(axis=1, keepdims=True)
    cov = np.swapaxes(centered, -1, -2) @ centered / (joined.shape[1] - 1)
    dims = tuple(x.shape[-1] for x in scores)
    return np.isinf(solve_covariances(cov, dims, information_of_all, RANK_CUT))


def fill_constant(scores: np.ndarray, key: jax.Array) -> np.ndarray:
    """Replace columns without variance by independent normal noise, which tells nothing and has a density."""
    is_constant = np.ptp(scores, axis=-2, keepdims=True) == 0
    if not is_constant.any():
        return scores
    with double_precision():
        noise = np.asarray(jax.random.normal(key, scores.shape[-2:]))
    return np.where(is_constant, noise, scores)
