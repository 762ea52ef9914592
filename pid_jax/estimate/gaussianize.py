"""From reduced samples to latents that are taken as jointly Gaussian: as they are, by ranks, by a flow, or the best."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from pid_jax.decompose.pid import solve_pid
from pid_jax.decompose.result import VARIABLES
from pid_jax.flow.marginal import QUARTILES, gaussianize_copula
from pid_jax.flow.recipe import choose_settings
from pid_jax.flow.sentences import name_problems
from pid_jax.gaussian.status import Status
from pid_jax.pid.mmi import MMI
from pid_jax.reduce.pca import Reduced
from pid_jax.runtime.checks import is_discrete, is_redundant
from pid_jax.runtime.devices import map_problems, over_devices
from pid_jax.runtime.precision import double_precision
from pid_jax.runtime.progress import Progress, part_of
from pid_jax.runtime.side_by_side import side_by_side
from pid_jax.settings.estimate import NoCorrection, PIDSpec, is_shrunk
from pid_jax.settings.gaussianize import Auto, Copula, NoGaussianization, RealNVP

if TYPE_CHECKING:  # flows are loaded on first use: Flax and Distrax take seconds
    from pid_jax.flow.fitted import FlowFit
    from pid_jax.flow.refit import Replicates

# Samples for each coordinate of all variables together, below which a flow learns the samples by heart: at 20 its atoms
# are off by .2 nats, and at 6 they read twice as high (docs/flows.md).
FEWEST_SAMPLES = 15
# Arrays as large as the scores of a problem that exist at a time while they are ranked.
COPIES = 10
RAW, COPULA, FLOW = NoGaussianization.__name__, Copula.__name__, RealNVP.__name__


@dataclass(frozen=True, kw_only=True)
class Latents:
    """Latents of all variables side by side, and where they come from. All problems are on one leading axis.

    Attributes:
        values: Latents (problems, n, D) in float64.
        gaussianizer: Name of what made those of each problem.
        fit: The flow, if there is one; it holds those problems only that can have one.
        fitted: Which problems these are.
        replicates: What `refit_covariances` found for some problems.
        folds: What `cross_fit_covariances` found for some problems, (folds, some problems, D, D), if asked for.
        refitted: Which problems those are, of either kind.
        notes: What was done differently than asked, in plain words.
    """

    values: np.ndarray
    gaussianizer: np.ndarray
    fit: "FlowFit | None" = None
    fitted: np.ndarray | None = None
    replicates: "Replicates | None" = None
    folds: np.ndarray | None = None
    refitted: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def is_corrected(spec: PIDSpec) -> bool:
    """Tell whether the bias of the atoms is estimated and subtracted."""
    return not isinstance(spec.bias_correction, NoCorrection) and not is_shrunk(spec.covariance)


def gaussianize(
    reduced: Sequence[Reduced],
    spec: PIDSpec,
    key: jax.Array,
    progress: Progress,
    *,
    labels: Sequence[str] = VARIABLES,
    problem: str = "problem",
) -> Latents:
    """Map the scores of all variables to latents.

    Args:
        reduced: Each variable (problems or 1, n, d) in float64; columns without variance are zero.
        spec: The settings of all stages.
        key: A JAX random key.
        progress: Called with steps done and all there are, while flows are fitted.
        labels: What the variables are called in notes.
        problem: What a problem is called in notes.

    Raises:
        ValueError: If a flow was asked for and the target is discrete in all problems.
    """
    scores = [np.asarray(one.scores) for one in reduced]
    count = max(len(x) for x in scores)
    match spec.gaussianize:
        case NoGaussianization():
            return Latents(values=side_by_side(scores), gaussianizer=np.full(count, RAW))
        case Copula() as copula:
            return Latents(values=_by_ranks(reduced, copula), gaussianizer=np.full(count, COPULA))
        case RealNVP() | Auto() as way:
            flow, is_compared = (way.flow, True) if isinstance(way, Auto) else (way, False)
            prepared = _prepare(scores, key, labels, problem)
            return _by_flow(prepared, reduced, flow, spec, key, progress, is_compared=is_compared)
        case other:
            raise TypeError(f"gaussianize needs a Gaussianizer of pid_jax, got {other!r}, which this does not compute.")


def fill_constant(scores: np.ndarray, key: jax.Array) -> np.ndarray:
    """Replace columns without variance by independent normal noise, which tells nothing and has a density."""
    is_constant = np.ptp(scores, axis=-2, keepdims=True) == 0
    if not is_constant.any():
        return scores
    with double_precision():
        noise = np.asarray(jax.random.normal(key, scores.shape[-2:]))
    return np.where(is_constant, noise, scores)


_Prepared = tuple[list[np.ndarray], np.ndarray, tuple[str, ...]]


def _by_flow(
    prepared: _Prepared,
    reduced: Sequence[Reduced],
    flow: RealNVP,
    spec: PIDSpec,
    key: jax.Array,
    progress: Progress,
    *,
    is_compared: bool,
) -> Latents:
    """Fit flows where there can be one, and use them, or where they are compared the best map of each problem."""
    filled, has_flow, notes = prepared
    scores = [np.asarray(one.scores) for one in reduced]
    names, flows = np.full(len(has_flow), COPULA, dtype=object), None
    if has_flow.any():
        flows = _fit(filled, has_flow, flow, is_corrected(spec), key, progress)
        names[has_flow] = _choose(flows.fit, _chosen(filled, has_flow)) if is_compared else FLOW
    values = np.empty((len(names), scores[0].shape[1], sum(x.shape[-1] for x in scores)))
    for name, make in (
        (RAW, partial(side_by_side, scores)),
        (COPULA, partial(_by_ranks, reduced, Copula())),
    ):
        if (names == name).any():
            values[names == name] = make()[names == name]
    if flows is None:
        return Latents(values=values, gaussianizer=names.astype(str), notes=notes)
    is_used = names[has_flow] == FLOW
    values[names == FLOW] = flows.latents[is_used]
    return Latents(
        values=values,
        gaussianizer=names.astype(str),
        fit=flows.fit,
        fitted=np.flatnonzero(has_flow),
        replicates=jax.tree.map(lambda cov: cov[:, :, is_used], flows.replicates),
        folds=None if flows.folds is None else flows.folds[:, is_used],
        refitted=np.flatnonzero(names == FLOW),
        notes=notes,
    )


def _choose(fit: "FlowFit", variables: Sequence[np.ndarray]) -> np.ndarray:
    from pid_jax.flow.compare import choose_gaussianizer, held_out_densities

    return choose_gaussianizer(held_out_densities(fit, variables))


@dataclass(frozen=True, kw_only=True)
class _Flows:
    fit: "FlowFit"
    latents: np.ndarray
    replicates: "Replicates | None"
    folds: np.ndarray | None


def _fit(
    filled: Sequence[np.ndarray],
    has_flow: np.ndarray,
    flow: RealNVP,
    is_refitted: bool,
    key: jax.Array,
    progress: Progress,
) -> _Flows:
    from pid_jax.flow.cross_fit import check_folds, cross_fit_covariances
    from pid_jax.flow.fit import fit_flow
    from pid_jax.flow.fitted import latents_of
    from pid_jax.flow.refit import refit_covariances

    chosen, dims = _chosen(filled, has_flow), tuple(x.shape[-1] for x in filled)
    for_fit, for_more = jax.random.split(key)
    flow = choose_settings(flow, filled[0].shape[1], dims)
    if not is_refitted:
        flow = dataclasses.replace(flow, refits=0, folds=None)
    elif flow.folds:
        check_folds(filled[0].shape[1], flow.folds, sum(dims))
        flow = dataclasses.replace(flow, refits=0)
    more = flow.folds or (1 + flow.intervals) * (flow.refits or 0)
    fit = fit_flow(*chosen, spec=flow, key=for_fit, progress=part_of(progress, 0, 1 + more))
    latents = latents_of(fit, *chosen).reshape(int(has_flow.sum()), -1, sum(fit.dims))
    return _Flows(
        fit=fit,
        latents=latents,
        replicates=refit_covariances(fit, chosen, for_more, progress) if flow.refits else None,
        folds=cross_fit_covariances(fit, chosen, for_more, progress) if flow.folds else None,
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


def _prepare(scores: Sequence[np.ndarray], key: jax.Array, labels: Sequence[str], problem: str) -> _Prepared:
    """Fill columns without variance, and find the problems that can have a flow."""
    keys = jax.random.split(jax.random.fold_in(key, 1), len(scores))
    filled = [fill_constant(x, k) for x, k in zip(scores, keys, strict=True)]
    count = max(len(x) for x in scores)
    few = _too_few(scores)
    if few:
        return filled, np.zeros(count, bool), (few,)
    has_flow, notes = np.ones(count, bool), []
    where = partial(name_problems, count=count, name=problem)
    for place, (name, original, x) in enumerate(zip(labels, scores, filled, strict=True)):
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
    return np.asarray(solve_pid(cov, dims, MMI()).status) == Status.INFINITE_INFORMATION


def _by_ranks(reduced: Sequence[Reduced], spec: Copula) -> np.ndarray:
    with double_precision():
        return side_by_side([_rank_variable(one, spec.tie_tolerance) for one in reduced])


def _rank_variable(reduced: Reduced, tie_tolerance: float) -> np.ndarray:
    scores = np.asarray(reduced.scores)
    rank = partial(_rank, tie=np.float64(tie_tolerance), is_tolerant=tie_tolerance > 0)
    return map_problems(rank, scores, np.asarray(reduced.rounding), bytes_each=COPIES * scores[0].nbytes)


@partial(jax.jit, static_argnames=("is_tolerant", "mesh"))
def _rank(
    scores: Float[Array, "B n d"], rounding: Float[Array, "B n"], *, tie: Array, is_tolerant: bool, mesh: Mesh | None
) -> Float[Array, "B n d"]:
    def one(x: Float[Array, "n d"], rounding: Float[Array, "n"]) -> Float[Array, "n d"]:
        noise = rounding[:, None]
        if is_tolerant:
            low, high = jnp.quantile(x, jnp.asarray([0.25, 0.75]), axis=0)
            noise = noise + tie * (high / QUARTILES - low / QUARTILES)
        return gaussianize_copula(x, noise)

    return over_devices(jax.vmap(one), mesh)(scores, rounding)
