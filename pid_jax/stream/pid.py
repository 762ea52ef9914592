"""Decompose what two sources tell about a target, from samples that do not fit in memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import block_diag

from pid_jax.bias.sampling import sampling_errors, subtract_sampling
from pid_jax.decompose.pid import solve_pid
from pid_jax.decompose.result import VARIABLES, PIDEstimate
from pid_jax.estimate.discrete_values import describe_discrete, refuse_impossible
from pid_jax.estimate.gaussianize import RAW, is_corrected
from pid_jax.estimate.samples import check_spec, wanted_dims
from pid_jax.gaussian.condition import note_conditions
from pid_jax.gaussian.joint import block_slices
from pid_jax.reduce.discrete import DiscreteTally
from pid_jax.reduce.pca import Basis, basis_of_covariance
from pid_jax.reduce.solve import cut_of, describe_reduction, keeps_columns
from pid_jax.runtime.checks import (
    check_enough_samples,
    check_key,
    check_not_constant,
    check_positive_int,
    note_few_samples,
)
from pid_jax.runtime.devices import current_layout, use_devices
from pid_jax.runtime.precision import double_precision
from pid_jax.runtime.threads import one_blas_thread, usable_cores
from pid_jax.settings.estimate import PCA, NoCorrection, PIDSpec, SampleCovariance, is_pca, spec_to_dict
from pid_jax.settings.gaussianize import NoGaussianization
from pid_jax.stream.block_sums import Block, MarginalSum, ScoreSum, add_blocks
from pid_jax.stream.blocks import check_block, look_ahead
from pid_jax.stream.moments import Moments, MomentSum, memory_needed

# From joint moments the variance of a component is known to eps times that of the leading one. Where that is not to
# ten digits, the moments of the scores are taken in a second pass.
SMALLEST_SHARE = 1e-5


def stream_pid(
    blocks: Iterable[Sequence[ArrayLike]],
    *,
    spec: PIDSpec | None = None,
    key: jax.Array,
    threads: int | None = None,
) -> PIDEstimate:
    """Decompose what two sources tell about a target, from blocks of samples of which one is in memory at a time.

    The joint moments of all columns are added up in one pass; components, the covariance of the scores and all that
    follows come from them. The result is that of `estimate_pid` with the same settings on all samples at once.

    A second pass, over the scores, is made where the joint moments and the blocks on their way exceed the memory that
    `use_devices` sets (2 GB by default), or where a component that is kept has less than 1e-5 of the variance of the
    leading one. An iterator can be read only once: it is refused in the first case, and such components are known to
    fewer digits in the second.

    Args:
        blocks: Blocks (source_1, source_2, target) of paired samples (n, p) or (n,): `StoreBlocks`, a list, an
            iterator.
        spec: The settings, `PIDSpec(gaussianize=NoGaussianization())` if not given. Ranks, flows and shrinkage need all
            samples at once and are refused. Components are always computed exactly.
        key: A JAX random key.
        threads: Blocks that are added at the same time; one a core if not given, or as many as fit into the budget.

    Returns:
        The decomposition in nats, as `estimate_pid` returns it.

    Raises:
        TypeError: For arrays that hold no real numbers, or a key that is none.
        ValueError: For settings that need all samples, parts that do not fit together, NaN, masked or missing values,
            values whose squares are no numbers, constant variables, too few samples, a budget that is too small, or
            information above the entropy of a discrete variable (one of at most 256 distinct rows, which are counted).

    Not guaranteed: what is not Gaussian is not looked for, which takes the samples themselves.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> from pid_jax import stream_pid
        >>> def blocks():
        ...     rng = np.random.default_rng(0)
        ...     for _ in range(10):
        ...         target = rng.normal(size=(1000, 2))
        ...         yield target + rng.normal(size=(1000, 2)), target[:, :1] + rng.normal(size=(1000, 2)), target
        >>> estimate = stream_pid(blocks(), key=jax.random.key(0))
        >>> print(f"{estimate.samples} samples, {estimate.information.i_1:.1f} nats from source_1")
        10000 samples, 0.7 nats from source_1
    """
    spec = _check_settings(spec, key, threads)
    tally = DiscreteTally(blocks, len(VARIABLES))
    with use_devices():
        found = _moments_of_scores(tally.watch(), spec, usable_cores() if threads is None else threads)
        decomposed = _decompose(found, spec, key)
    estimate = PIDEstimate(
        **refuse_impossible(decomposed, tally.values(), VARIABLES),
        cov=(found.cov * found.units * found.units[:, None])[None],
        dims=found.dims,
        samples=found.samples,
        explained_variance=found.explained_variance[None],
        rank=found.rank[None],
        shrinkage=np.zeros(1),
        gaussianizer=np.full(1, RAW),
        notes=(
            *found.notes,
            *describe_discrete(tally.values(), VARIABLES, "problem"),
            *note_conditions(found.cov[None], found.dims, spec.redundancy.rank_cut, VARIABLES),
            *(note_few_samples(found.samples, found.dims) if is_corrected(spec) else ()),
        ),
        settings=spec_to_dict(spec),
    )
    return estimate.reshape(())


@dataclass(frozen=True, kw_only=True)
class _Scores:
    """What is known of the scores of all samples; without variance they have a covariance of zero.

    The covariance is in units of each variable that keep all products in the range of numbers.
    """

    samples: int
    dims: tuple[int, int, int]
    cov: np.ndarray
    units: np.ndarray
    explained_variance: np.ndarray
    rank: np.ndarray
    notes: tuple[str, ...] = ()


def _check_settings(spec: PIDSpec | None, key: jax.Array, threads: int | None) -> PIDSpec:
    spec = PIDSpec(gaussianize=NoGaussianization()) if spec is None else check_spec(spec)
    for stage, wanted in (("gaussianize", NoGaussianization), ("covariance", SampleCovariance)):
        given = getattr(spec, stage)
        if not isinstance(given, wanted):
            raise ValueError(
                f"PIDSpec({stage}={given!r}) needs all samples at once, and blocks are seen one by one: use "
                f"PIDSpec({stage}={wanted.__name__}()), or draw as many samples as fit in memory (for a store, "
                "ActivationStore.read(rows=...)) and give them to estimate_pid."
            )
    check_key(key)
    if threads is not None:
        check_positive_int("threads", threads)
    return spec


def _decompose(scores: _Scores, spec: PIDSpec, key: jax.Array) -> dict[str, Any]:
    """Decompose the covariance of the scores, and take off the bias of sampling; return fields of `PIDEstimate`."""
    cov = scores.cov[None]
    plain = solve_pid(cov, scores.dims, spec.redundancy)
    if isinstance(spec.bias_correction, NoCorrection):
        return vars(plain)
    _, for_estimate = jax.random.split(key)
    _, for_bias = jax.random.split(for_estimate)  # as `estimate_pid` splits it
    errors = sampling_errors(plain, cov, scores.dims, scores.samples, spec.redundancy, spec.bias_correction, for_bias)
    return vars(subtract_sampling(plain, errors))


def _moments_of_scores(blocks: Iterable[Block], spec: PIDSpec, threads: int) -> _Scores:
    """Find the covariance of the scores, in one pass if that is exact and fits in the budget."""
    iterator = iter(blocks)
    is_once = iterator is blocks
    first, rest = look_ahead(iterator)
    arrays = check_block(VARIABLES, first, 0)
    raw = [array.shape[1] for array in arrays]
    is_joint, threads = _plan(raw, sum(array.nbytes for array in arrays), spec, threads, is_once)
    del arrays, first  # the first block need not stay in memory
    make = partial(MomentSum if is_joint else MarginalSum, VARIABLES)
    found = add_blocks(rest, make, sum(raw) if is_joint else max(raw), threads)
    marginals = [found[0].columns(place) for place in block_slices(tuple(raw))] if is_joint else found
    dims = _check_moments(marginals, spec)
    samples = marginals[0].count
    if not is_pca(spec.reduction):
        units = _powers_of_2(np.diagonal(found[0].cov))
        full: dict[str, Any] = {"explained_variance": np.ones(3), "rank": np.array(raw)}
        return _Scores(samples=samples, dims=dims, cov=found[0].in_units(units).cov, units=units, **full)
    units = [_units_of(x, keeps_columns(spec.reduction, d, len(x.mean))) for x, d in zip(marginals, dims, strict=True)]
    joint = found[0].in_units(np.concatenate(units)) if is_joint else None
    each = [one.in_units(unit) for one, unit in zip(marginals, units, strict=True)]
    bases = [_basis(one, dim, spec.reduction) for one, dim in zip(each, dims, strict=True)]
    if joint is not None and (is_once or all(_is_well_known(basis) for basis in bases)):
        axes = block_diag(*(basis.axes for basis in bases))
        cov = axes.T @ joint.cov @ axes
    else:
        means = [one.mean for one in marginals]
        cov = _second_pass(blocks, means, bases, units, samples, threads).cov
    totals = [float((np.diagonal(one.cov) / basis.scale**2).sum()) for one, basis in zip(each, bases, strict=True)]
    kept = _keep(dims, (cov + cov.T) / 2, totals, bases)
    facts = zip(VARIABLES, raw, kept["rank"], kept["explained_variance"], dims, strict=True)
    notes = tuple(note for fact in facts for note in describe_reduction(*fact, spec.reduction.variance))
    own = np.concatenate([_units_of_scores(unit, basis) for unit, basis in zip(units, bases, strict=True)])
    return _Scores(samples=samples, dims=dims, units=own, notes=notes, **kept)


def _units_of(moments: Moments, is_each: bool) -> np.ndarray:
    """Choose the units of columns: all of a variable have one, or each its own where columns are kept as they are."""
    variances = np.diagonal(moments.cov)
    return _powers_of_2(np.where(variances > 0, variances, 1) if is_each else np.full_like(variances, variances.max()))


def _units_of_scores(units: np.ndarray, basis: Basis) -> np.ndarray:
    """Return the units of scores: those of the columns that they are, or else none where columns had different ones."""
    if not basis.rank_cut:
        return units
    return np.full(basis.axes.shape[1], units[0] if (units == units[0]).all() else 1.0)


def _powers_of_2(variances: np.ndarray) -> np.ndarray:
    """Return powers of 2 near standard deviations: to divide by them changes no digit."""
    return np.exp2(np.round(np.log2(variances) / 2))


def _second_pass(
    blocks: Iterable[Block],
    means: Sequence[np.ndarray],
    bases: Sequence[Basis],
    units: Sequence[np.ndarray],
    samples: int,
    threads: int,
) -> Moments:
    """Find the joint moments of the scores, in units, from the blocks themselves."""
    axes = [np.asarray(basis.axes) / unit[:, None] for basis, unit in zip(bases, units, strict=True)]
    size = sum(one.shape[1] for one in axes)
    (scores,) = add_blocks(blocks, partial(ScoreSum, VARIABLES, means, axes), size, threads)
    if scores.count != samples:
        raise ValueError(
            f"blocks had {samples} samples when they were read first, and {scores.count} the second time: give the "
            "same blocks at every iteration."
        )
    return scores


def _check_moments(marginals: Sequence[Moments], spec: PIDSpec) -> tuple[int, int, int]:
    """Refuse what `estimate_pid` refuses; return how many coordinates each variable keeps."""
    dims = wanted_dims(spec, [len(one.mean) for one in marginals])
    check_enough_samples(marginals[0].count, dims)
    for name, one in zip(VARIABLES, marginals, strict=True):
        values = np.diagonal(one.scatter)  # zero if and only if the column is constant
        check_not_constant(name, np.stack([np.zeros_like(values), values]), whole=is_pca(spec.reduction))
    return dims


def _plan(raw: Sequence[int], block_bytes: int, spec: PIDSpec, threads: int, is_once: bool) -> tuple[bool, int]:
    """Choose between joint moments and those of each variable, and how many threads fit in the budget."""
    budget = current_layout().budget_bytes
    is_split_allowed = is_pca(spec.reduction) and not is_once
    needs = [(True, memory_needed(sum(raw)))] + ([(False, memory_needed(*raw))] if is_split_allowed else [])
    for is_joint, need in needs:
        fitting = int((budget - 2 * block_bytes) // (need + block_bytes))
        if fitting >= 1:
            return is_joint, min(threads, fitting)
    least = (needs[-1][1] + 3 * block_bytes) / 1e9
    remedy = ""
    if not is_pca(spec.reduction):
        remedy = ", or reduce with PCA()"
    elif is_once:
        remedy = ", or give blocks that can be read twice, such as a list or StoreBlocks"
    raise ValueError(
        f"budget_gb={budget / 1e9:g} is too small for the moments of {' + '.join(map(str, raw))} columns and blocks of "
        f"{block_bytes / 1e6:.0f} MB, which need {least:.2g} GB: raise it by use_devices(budget_gb=...), or make the "
        f"blocks smaller{remedy}."
    )


def _basis(moments: Moments, dim: int, spec: PCA) -> Basis:
    cut = cut_of(spec, dim, len(moments.mean))
    with double_precision(), one_blas_thread(len(moments.mean)):
        options = {"dim": dim, "standardize": spec.standardize, "variance": spec.variance}
        found = _basis_of_covariance(moments.mean, moments.cov, rank_cut=cut, **options)
        return jax.tree.map(np.asarray, found)


_basis_of_covariance = jax.jit(basis_of_covariance, static_argnames=("dim", "standardize", "variance"))


def _is_well_known(basis: Basis) -> bool:
    if not basis.rank_cut:  # columns as they are, each known by itself
        return True
    kept = np.asarray(basis.variances)[: int(basis.rank)]
    return bool(kept.min() >= SMALLEST_SHARE * kept.max())


def _keep(
    dims: tuple[int, int, int], cov: np.ndarray, totals: Sequence[float], bases: Sequence[Basis]
) -> dict[str, np.ndarray]:
    """Set scores to zero that hold rounding noise only, by the rule of `project`; return fields of `_Scores`."""
    variances = np.split(np.diagonal(cov), np.cumsum(dims)[:-1])
    keep = [one > basis.rank_cut * one.max() for one, basis in zip(variances, bases, strict=True)]
    kept = [one[is_kept].sum() for one, is_kept in zip(variances, keep, strict=True)]
    is_kept = np.concatenate(keep)
    return {
        "cov": np.where(is_kept[:, None] & is_kept, cov, 0),
        "explained_variance": np.array(kept) / totals,
        "rank": np.array([int(one.sum()) for one in keep]),
    }
