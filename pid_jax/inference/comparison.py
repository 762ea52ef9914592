"""Differences between two conditions of the same samples, for all leading axes at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from pid_jax.bias.sampling import check_correction
from pid_jax.decompose.result import VARIABLES, PIDEstimate
from pid_jax.estimate.latents import estimate_latents, leave_out, map_to_latents
from pid_jax.estimate.samples import check_spec, reduce_variables
from pid_jax.inference.categorical_comparison import CategoricalComparison, compare_categorical
from pid_jax.inference.difference_result import AMOUNTS, Differences, describe_differences
from pid_jax.inference.differences import infer_differences
from pid_jax.inference.neighbors import choose_length
from pid_jax.runtime.checks import (
    check_between,
    check_key,
    check_positive_int,
    check_same_ids,
    check_same_labels,
    read_samples,
)
from pid_jax.runtime.devices import use_devices
from pid_jax.runtime.leading import join_axis_labels
from pid_jax.runtime.progress import Progress, no_progress, part_of
from pid_jax.settings.categorical import CategoricalSpec
from pid_jax.settings.estimate import NoCorrection, PIDSpec, SampleCovariance, spec_to_dict
from pid_jax.settings.inference import Block

# Fewer replicates tell a standard error to 10 % or worse.
FEWEST_RESAMPLES = 50
_SO = "intervals are too short; use blocks=Block(length) with blocks many times longer than the dependence lasts"
_FITTED = "flows were fitted to each condition; intervals know of sampling, not of how far two fits are apart"

Condition = Sequence[ArrayLike]
"""source_1, source_2 and target under one condition."""
_Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PIDComparison(Differences, amounts=AMOUNTS):
    """Differences of atoms and informations, intervention minus baseline. Arrays have the leading axes of the input.

    Attributes:
        difference: Differences of the values without bias.
        lower: Lower ends of the intervals.
        upper: Upper ends.
        standard_error: Their standard errors.
        p_value: Probability of a difference as large, of either sign, where there is none.
        false_discovery: P-values adjusted over all problems, for each quantity alone: rejecting those up to q makes a
            share q of false rejections on average at most (Benjamini & Hochberg).
        family_wise: P-values adjusted in the same way for the probability of any false rejection (step-down maxT).
        baseline: The decomposition of the baseline.
        intervention: The decomposition of the intervention.
        level: Probability that an interval is to hold the truth.
        notes: What speaks against intervals and p-values, in plain words.
        settings: What was chosen, JSON-ready.
        unit: "nats" or "bits".
    """

    baseline: PIDEstimate
    intervention: PIDEstimate

    def __repr__(self) -> str:
        """Show differences with intervals and p-values: those of one problem, or the ranges of many."""
        lines = describe_differences(self)
        named = {"baseline": self.baseline, "intervention": self.intervention}
        lines += [f"  {'finding:':<13}{name}: {text}" for name, one in named.items() for text in one.findings]
        return "\n".join(lines)


def compare_pid(
    baseline: Condition,
    intervention: Condition,
    *,
    spec: PIDSpec | CategoricalSpec | None = None,
    key: jax.Array,
    ids: tuple[Sequence[Any], Sequence[Any]] | None = None,
    share_reduction: bool = True,
    resamples: int = 400,
    level: float = 0.95,
    blocks: Block | None = None,
    progress: Progress = no_progress,
) -> PIDComparison | CategoricalComparison:
    """Say how far the atoms of two conditions of the same samples differ: of a knockout, or of two models.

    Both conditions are estimated alike and with the same random numbers; what is said of the differences knows that
    their rows belong together. The standard error of a difference is that of the infinitesimal jackknife over rows of
    latents, or, where one source is ahead in every direction and the jackknife sees no scatter, that of rows drawn with
    replacement. Intervals and p-values are normal.

    Args:
        baseline: (source_1, source_2, target), each (..., n, p).
        intervention: The same for the other condition, row i from the same sample as row i of the baseline.
        spec: The settings of every stage, `PIDSpec()` if not given; a `CategoricalSpec` for targets that are
            categorical answers (..., n).
        key: A JAX random key.
        ids: Names of the rows of both, to be sure that they belong together.
        share_reduction: Whether the intervention is projected on the components of the baseline, as knockouts are to
            be; False for two models, whose features have nothing to do with each other.
        resamples: How often rows are drawn.
        level: Probability that an interval is to hold the truth.
        blocks: `Block(length)` to draw blocks of consecutive rows, for rows that depend on their neighbors.
        progress: Called with steps done and all there are.

    Returns:
        Differences in nats, with their intervals and p-values, those also adjusted for all problems; a
        `CategoricalComparison` with a `CategoricalSpec`.

    Raises:
        TypeError: For settings of the wrong kind, and as `estimate_pid`.
        ValueError: For conditions that are not paired, features that differ although the reduction is to be shared,
            too few resamples, a shrunk covariance, and as `estimate_pid`.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> from pid_jax import NoReduction, PIDSpec, compare_pid
        >>> rng = np.random.default_rng(0)
        >>> target = rng.normal(size=(1000, 2))
        >>> source_1 = target + rng.normal(size=(1000, 2))
        >>> source_2 = target[:, :1] + rng.normal(size=(1000, 2))
        >>> noisier = source_1 + rng.normal(size=(1000, 2))
        >>> before, after = (source_1, source_2, target), (noisier, source_2, target)
        >>> change = compare_pid(before, after, spec=PIDSpec(reduction=NoReduction()), key=jax.random.key(0))
        >>> bool(change.upper.unique_1 < 0), bool(change.p_value.unique_1 < 0.001)
        (True, True)

    Source: docs/decisions/0017 has what was measured.
    """
    if isinstance(spec, CategoricalSpec):
        if blocks is not None:
            raise ValueError("blocks needs None with a CategoricalSpec, whose folds need independent rows.")
        options: dict[str, Any] = {"ids": ids, "resamples": resamples, "level": level, "progress": progress}
        return compare_categorical(baseline, intervention, spec=spec, key=key, **options)
    spec = check_spec(spec)
    check_key(key)
    _check(spec, blocks, resamples, level)
    before = _check_conditions(baseline, intervention, ids, share_reduction)
    latents, estimates = [], []
    with use_devices():
        for_estimate, for_rows = jax.random.split(key)
        reduced, leading, for_latents = reduce_variables(*baseline, spec=spec, key=for_estimate, condition="baseline ")
        base = before if share_reduction else None
        others, own, _ = reduce_variables(
            *intervention, spec=spec, key=for_estimate, fitted_on=base, condition="intervention "
        )
        join_axis_labels([("baseline", leading.labels), ("intervention", own.labels)])
        for place, variables in enumerate((reduced, others)):
            found, for_bias = map_to_latents(variables, spec, for_latents, part_of(progress, place, 3))
            latents.append(found)
            estimates += estimate_latents(found, variables, spec, (spec.redundancy,), for_bias, level=level)
        length, warned = choose_length(np.concatenate([x.values for x in latents], axis=-1), blocks, _SO)
        differences = infer_differences(
            latents,
            estimates,
            spec.redundancy,
            block_length=length,
            resamples=resamples,
            level=level,
            key=for_rows,
            progress=part_of(progress, 2, 3),
        )
    notes = [note for one in estimates for note in one.notes] + [*warned, *differences.pop("notes")]
    if any(x.fit is not None for x in latents):
        notes.append(_FITTED)
    comparison = PIDComparison(
        **differences,
        baseline=estimates[0],
        intervention=estimates[1],
        level=level,
        notes=tuple(dict.fromkeys(notes)),
        settings={
            "spec": spec_to_dict(spec),
            "resamples": int(resamples),
            "level": level,
            "blocks": None if blocks is None else spec_to_dict(blocks),
            "share_reduction": share_reduction,
        },
    )
    return leave_out(leave_out(comparison, reduced), others).on(leading)


def _check(spec: PIDSpec, blocks: object, resamples: int, level: float) -> None:
    if blocks is not None and not isinstance(blocks, Block):
        raise TypeError(f"blocks needs Block(length) or None, got {blocks!r}.")
    if not isinstance(spec.covariance, SampleCovariance) or isinstance(spec.bias_correction, NoCorrection):
        raise ValueError(
            "spec needs covariance=SampleCovariance() and a bias_correction, got "
            f"{type(spec.covariance).__name__} and {type(spec.bias_correction).__name__}: without them both conditions "
            "are biased, and so are differences between conditions that have different biases."
        )
    check_correction(spec.redundancy, spec.bias_correction)
    check_positive_int("resamples", resamples)
    if resamples < FEWEST_RESAMPLES:
        raise ValueError(
            f"resamples={resamples} are too few for standard errors: use at least {FEWEST_RESAMPLES}, better 400."
        )
    check_between("level", level, 0, 1)


def _check_conditions(baseline: Condition, intervention: Condition, ids: object, share_reduction: bool) -> _Arrays:
    """Return the arrays of the baseline after checking that both conditions can be compared."""
    pair = []
    for name, condition in (("baseline", baseline), ("intervention", intervention)):
        if not isinstance(condition, (tuple, list)) or len(condition) != len(VARIABLES):
            raise TypeError(f"{name} needs (source_1, source_2, target), got {type(condition).__name__}.")
        pair.append([read_samples(f"{name} {label}", x) for label, x in zip(VARIABLES, condition, strict=True)])
    if ids is not None:
        check_same_ids(ids, pair[0][0].shape[-2])
    given = zip(("baseline", "intervention"), (baseline, intervention), strict=True)
    check_same_labels(
        [(f"{name} {label}", x) for name, some in given for label, x in zip(VARIABLES, some, strict=True)]
    )
    for label, one, other in zip(VARIABLES, *pair, strict=True):
        if one.shape[-2] != other.shape[-2]:
            raise ValueError(
                f"intervention {label} has {other.shape[-2]} samples, that of the baseline has {one.shape[-2]}; they "
                "must be paired: row i of both from the same sample. Leave out what only one of them has."
            )
        if one.shape[:-2] != other.shape[:-2]:
            raise ValueError(
                f"intervention {label} has leading axes {other.shape[:-2]}, that of the baseline has {one.shape[:-2]}; "
                "they must be equal."
            )
        if share_reduction and one.shape[-1] != other.shape[-1]:
            raise ValueError(
                f"intervention {label} has {other.shape[-1]} features, that of the baseline has {one.shape[-1]}: they "
                "cannot be projected on the same components; use share_reduction=False for two models."
            )
    source_1, source_2, target = pair[0]
    return source_1, source_2, target
