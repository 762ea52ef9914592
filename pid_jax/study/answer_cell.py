"""One cell of a study about answers: all layers of one task under one condition."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import xarray as xr

from pid_jax.categorical.closed_union import with_measure
from pid_jax.categorical.estimate import Classified, estimate_classified
from pid_jax.categorical.result import PREDICTORS, CategoricalPID
from pid_jax.decompose.dataset import STATUS_FLAGS
from pid_jax.decompose.result import ATOMS, INFORMATION
from pid_jax.discrete.measures import CLASS_MEASURES, class_measure_of, takes_samples
from pid_jax.gaussian.status import Status
from pid_jax.inference.multiplicity import family_wise_by_maximum
from pid_jax.pid.atoms import PIDAtoms
from pid_jax.pid.measure import Redundancy
from pid_jax.pid.registry import MEASURES, measure_of
from pid_jax.runtime.leading import LeadingAxes
from pid_jax.runtime.progress import Progress
from pid_jax.study.cell import NATS, ONE, accuracy_of, replicates_of
from pid_jax.study.null_spectra import class_probabilities
from pid_jax.study.scores import Scores
from pid_jax.study.spec import StudySpec

FLIPS = 400
_FLIPS_SEED = 0
# Layers whose pointwise values are kept for single questions.
KEPT_LAYERS = ("last", "largest_unique_1", "largest_unique_2", "largest_synergy")


@dataclass(frozen=True, kw_only=True)
class AnswerData:
    """The input of a cell about answers.

    Attributes:
        sources: Scores of source_1 and source_2.
        codes: Class of the answer of each sample (n,); -1 where it is left out.
        classes: Names of the classes.
        notes: What was pooled or left out.
        weights: Weights of the samples in every replicate (replicates, n).
        answered: Which gold answers were given (n,); NaN where there is none.
    """

    sources: Sequence[Scores]
    codes: np.ndarray
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    weights: np.ndarray
    answered: np.ndarray


def solve_answers(cell: AnswerData, spec: StudySpec, key: jax.Array, progress: Progress) -> xr.Dataset:
    """Estimate all layers of a task and condition, and draw what is tested again.

    Args:
        cell: The samples.
        spec: The settings.
        key: A JAX random key.
        progress: Called with steps done and all there are.

    Returns:
        The variables of docs/study_dataset.md that belong to one model, task and condition, and the shares of every
        sample at the layers `KEPT_LAYERS`.

    Raises:
        ValueError: If there are too few samples, the answer is the same in all of them, or no measure can be used.
    """
    measures = usable_measures(spec.measures)
    kept = np.flatnonzero(cell.codes >= 0)
    solved = next((one for one in measures if class_measure_of(one).redundant is None), measures[0])
    settings = dataclasses.replace(spec.categorical, redundancy=solved)
    found = estimate_classified(_classified(cell, kept, spec), settings, key, progress)
    by_measure = [with_measure(found, one) if class_measure_of(one).redundant else found for one in measures]
    data = _estimated(found, by_measure, cell) | accuracy_of(cell.answered, cell.weights)
    data["findings"] = ((), json.dumps([*cell.notes, *found.notes, *_left_out(spec.measures)]))
    weights = cell.weights[:, kept]
    if spec.is_tested:
        data |= replicates_of(_drawn(by_measure[0], weights)) | _added(found)
    data |= _pointwise(by_measure[0], kept, len(cell.codes)) | class_probabilities(cell.codes[kept])
    names = {"measure": [measure_of(one).name for one in measures], "predictor": list(PREDICTORS)}
    return xr.Dataset(data, coords=names | {"at": list(KEPT_LAYERS)})


def usable_measures(measures: Sequence[Redundancy]) -> list[Redundancy]:
    """Return the measures that answers can be decomposed by.

    Raises:
        ValueError: If there is none.
    """
    usable = [one for one in measures if takes_samples(one)]
    if not usable:
        names = [measure_of(one).name for one in measures]
        known = " or ".join(name for name, one in CLASS_MEASURES.items() if one.takes_samples and name in MEASURES)
        raise ValueError(f"answers are decomposed by {known}, got measures {names}: add one of these")
    return usable


def _left_out(measures: Sequence[Redundancy]) -> list[str]:
    names = [measure_of(one).name for one in measures if not takes_samples(one)]
    return [f"answers are not decomposed by {' and '.join(names)}"] if names else []


def _classified(cell: AnswerData, kept: np.ndarray, spec: StudySpec) -> Classified:
    """Check the answers of this condition, and put them next to the scores."""
    codes = cell.codes[kept]
    if len(np.unique(codes)) < 2:
        raise ValueError("all samples of this condition have the same answer, about which nothing can be known")
    if len(codes) < max(2 * spec.categorical.folds, len(cell.classes) + 1):
        raise ValueError(f"{len(codes)} samples are too few for {len(cell.classes)} classes: add samples")
    first, second = (np.ascontiguousarray(one.values[:, kept]) for one in cell.sources)
    return Classified(
        sources=(first, second),
        codes=codes[None],
        classes=cell.classes,
        kept=kept,
        leading=LeadingAxes(shape=(len(first),)),
        status=np.full(len(first), Status.OK),
        notes=(),
    )


def _estimated(found: CategoricalPID, by_measure: Sequence[CategoricalPID], cell: AnswerData) -> dict[str, Any]:
    """Label atoms with intervals, informations, and what is known of classifiers and reduction."""
    dims = ("measure", "layer")
    data: dict[str, Any] = {}
    for name in ATOMS:
        for end, part in (("", "atoms"), ("_lower", "lower"), ("_upper", "upper")):
            data[name + end] = (dims, np.stack([getattr(getattr(one, part), name) for one in by_measure]), NATS)
    # Only what is cut into cells has temperatures, and a gap.
    gap = [np.where(np.isnan(one.temperature[:, 0]), np.nan, one.gap) for one in by_measure]
    data["gap"] = (dims, np.stack(gap), NATS)
    data["status"] = (dims, np.broadcast_to(found.status, (len(by_measure), len(found.status))).copy(), STATUS_FLAGS)
    data |= {name: ("layer", getattr(found.information, name), NATS) for name in INFORMATION}
    data["target_entropy"] = ((), float(found.entropy[0]), NATS)
    data["classified_by"] = (("predictor", "layer"), found.classifier.T.astype(object))
    for suffix, variable in zip(("1", "2"), cell.sources, strict=True):
        data[f"explained_variance_{suffix}"] = ("layer", variable.explained_variance, ONE)
        data[f"reduction_angle_{suffix}"] = ("layer", variable.angle, {"units": "rad"})
    return data


def _drawn(found: CategoricalPID, weights: np.ndarray) -> PIDAtoms:
    """Average the shares of samples with the weights of every replicate (layers, replicates), around the estimate.

    The shares are what each sample contributes to first order, so that this is how the atoms scatter.
    """
    scaled = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
    drawn = {}
    for name in ATOMS:
        average = getattr(found.pointwise, name) @ scaled.T
        drawn[name] = average + (getattr(found.atoms, name) - average.mean(axis=-1))[:, None]
    return PIDAtoms(**drawn)


def _added(found: CategoricalPID) -> dict[str, Any]:
    """Test at which layers each source tells more than the other alone: gains of all samples, with signs flipped.

    The gain of both sources over the other one is counted in standard errors of its mean. Where a source adds nothing,
    the classifier of both is mostly that of the other alone, or gains less than its own errors are, so that the test
    rejects less often than its level. The signs of all layers of a sample flip together, so that layers stay as
    dependent as they are.
    """
    p_values, family_wise = [], []
    signs = np.random.default_rng(_FLIPS_SEED).choice([-1.0, 1.0], (FLIPS, found.samples))
    for other in ("i_2", "i_1"):
        gain = found.pointwise.i_12 - getattr(found.pointwise, other)
        scale = np.sqrt(found.samples * (gain**2).sum(axis=-1))
        scale = np.where(scale > 0, scale, 1)
        statistic = gain.sum(axis=-1) / scale
        flipped = (signs @ gain.T) / scale
        p_values.append((1 + (flipped >= statistic).sum(axis=0)) / (1 + FLIPS))
        family_wise.append(family_wise_by_maximum(statistic, flipped))
    dims = ("source", "layer")
    return {"added_p": (dims, np.stack(p_values), ONE), "added_family_wise": (dims, np.stack(family_wise), ONE)}


def _pointwise(found: CategoricalPID, kept: np.ndarray, count: int) -> dict[str, Any]:
    """Keep the shares of single samples at the layers that a reader asks about; NaN where a sample is left out."""
    atoms = found.atoms
    peaks = [int(np.nan_to_num(x, nan=-np.inf).argmax()) for x in (atoms.unique_1, atoms.unique_2, atoms.synergy)]
    layers = [len(found.status) - 1, *peaks]
    data: dict[str, Any] = {"kept_layer": ("at", np.array(layers))}
    for name in ATOMS:
        values = np.full((len(layers), count), np.nan, np.float32)
        values[:, kept] = getattr(found.pointwise, name)[layers]
        data[f"pointwise_{name}"] = (("at", "sample"), values, NATS)
    return data
