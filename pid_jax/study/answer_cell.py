"""One cell of a study about answers: all layers of one task under one condition."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import xarray as xr
from scipy.special import ndtri

from pid_jax.categorical.estimate import Classified, estimate_classified
from pid_jax.categorical.result import SOURCES, CategoricalPID
from pid_jax.decompose.dataset import STATUS_FLAGS
from pid_jax.decompose.result import ATOMS, INFORMATION
from pid_jax.gaussian.status import Status
from pid_jax.inference.multiplicity import family_wise_by_maximum
from pid_jax.pid.broja import BROJA
from pid_jax.pid.measure import Redundancy
from pid_jax.pid.mmi import MMI
from pid_jax.pid.registry import measure_of
from pid_jax.runtime.progress import Progress
from pid_jax.study.cell import NATS, ONE, accuracy_of
from pid_jax.study.scores import Scores
from pid_jax.study.spec import StudySpec

FLIPS = 400
_FLIPS_SEED = 0
# Layers whose pointwise values are kept for single questions.
KEPT_LAYERS = ("last", "largest_unique_1", "largest_unique_2", "largest_synergy")


@dataclass(frozen=True, kw_only=True)
class AnswerData:
    """What a cell about answers is made from.

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


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Atoms by one measure as averages over samples.

    Attributes:
        each: Share of every sample in each atom (layer, n); the atoms are their means.
        error: Standard errors of the atoms (layer,).
        gap: Width of the certified interval (layer,); NaN where the measure needs none.
    """

    each: Mapping[str, np.ndarray]
    error: Mapping[str, np.ndarray]
    gap: np.ndarray


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
    solved = next((one for one in measures if isinstance(one, BROJA)), measures[0])
    settings = dataclasses.replace(spec.categorical, redundancy=solved)
    found = estimate_classified(_classified(cell, kept, spec), settings, key, progress)
    by_measure = [_shares(found, measure) for measure in measures]
    data = _estimated(found, by_measure, cell) | accuracy_of(cell.answered, cell.weights)
    data["findings"] = ((), json.dumps([*cell.notes, *found.notes, *_left_out(spec.measures)]))
    weights = cell.weights[:, kept]
    if spec.tested is not None:
        data |= _tested(by_measure[0], weights) | _added(found)
    data |= _pointwise(by_measure[0], kept, len(cell.codes))
    names = {"measure": [measure_of(one).name for one in measures], "predictor": list(SOURCES)}
    return xr.Dataset(data, coords=names | {"at": list(KEPT_LAYERS)})


def usable_measures(measures: Sequence[Redundancy]) -> list[Redundancy]:
    """Return the measures that answers can be decomposed by.

    Raises:
        ValueError: If there is none.
    """
    usable: list[Redundancy] = [one for one in measures if isinstance(one, BROJA | MMI)]
    if not usable:
        names = [measure_of(one).name for one in measures]
        raise ValueError(f"answers are decomposed by broja and mmi, got measures {names}: add one of these")
    return usable


def _left_out(measures: Sequence[Redundancy]) -> list[str]:
    names = [measure_of(one).name for one in measures if not isinstance(one, BROJA | MMI)]
    return [f"answers are not decomposed by {' and '.join(names)}"] if names else []


def _classified(cell: AnswerData, kept: np.ndarray, spec: StudySpec) -> Classified:
    """Check the answers of this condition, and put them next to the scores."""
    codes = cell.codes[kept]
    if len(np.unique(codes)) < 2:
        raise ValueError("the answer is the same in all samples of this condition, so there is nothing to tell")
    if len(codes) < max(2 * spec.categorical.folds, len(cell.classes) + 1):
        raise ValueError(f"{len(codes)} samples are too few for {len(cell.classes)} classes: add samples")
    first, second = (np.ascontiguousarray(one.values[:, kept]) for one in cell.sources)
    return Classified(
        sources=(first, second),
        codes=codes[None],
        classes=cell.classes,
        kept=kept,
        leading=(len(first),),
        status=np.full(len(first), Status.OK),
        notes=(),
    )


def _shares(found: CategoricalPID, measure: Redundancy) -> Shares:
    if isinstance(measure, MMI):
        return _smaller_information(found)
    each = {name: getattr(found.pointwise, name) for name in ATOMS}
    return Shares(each=each, error={name: getattr(found.standard_error, name) for name in ATOMS}, gap=found.gap)


def _smaller_information(found: CategoricalPID) -> Shares:
    """Decompose by MMI: redundancy is the smaller information, R = min(I_1, I_2)."""
    i_1, i_2, i_12 = (getattr(found.pointwise, name) for name in INFORMATION)
    learning = [_not_of_samples(found, name) for name in INFORMATION]
    is_first = i_1.mean(axis=-1, keepdims=True) <= i_2.mean(axis=-1, keepdims=True)
    lower, higher = np.where(is_first, i_1, i_2), np.where(is_first, i_2, i_1)
    small, large = (np.where(is_first[:, 0], *pair) for pair in (learning[:2], learning[1::-1]))
    zero, over = np.zeros_like(i_1), higher - lower
    each = {
        "redundancy": lower,
        "unique_1": np.where(is_first, zero, over),
        "unique_2": np.where(is_first, over, zero),
        "synergy": i_12 - higher,
    }
    extra = {"redundancy": small, "synergy": learning[2] + large}
    extra |= {"unique_1": np.where(is_first[:, 0], 0, small + large)}
    extra |= {"unique_2": np.where(is_first[:, 0], small + large, 0)}
    count = i_1.shape[-1]
    error = {name: np.sqrt(each[name].var(axis=-1, ddof=1) / count + extra[name]) for name in ATOMS}
    return Shares(each=each, error=error, gap=np.full(len(i_1), np.nan))


def _not_of_samples(found: CategoricalPID, name: str) -> np.ndarray:
    """Return the part of the variance of an information that is not the scatter of samples: what is not learned yet."""
    scatter = getattr(found.pointwise, name).var(axis=-1, ddof=1) / found.samples
    return np.maximum(getattr(found.standard_error, name) ** 2 - scatter, 0)


def _estimated(found: CategoricalPID, by_measure: Sequence[Shares], cell: AnswerData) -> dict[str, Any]:
    """Label atoms with intervals, informations, and what is known of classifiers and reduction."""
    dims, reach = ("measure", "layer"), ndtri((1 + found.level) / 2)
    is_known = found.status == Status.OK
    data: dict[str, Any] = {}
    for name in ATOMS:
        value = np.stack([one.each[name].mean(axis=-1) for one in by_measure])
        error = np.stack([one.error[name] for one in by_measure])
        for end, sign in (("", 0), ("_lower", -1), ("_upper", 1)):
            data[name + end] = (dims, np.where(is_known, value + sign * reach * error, np.nan), NATS)
    data["gap"] = (dims, np.stack([one.gap for one in by_measure]), NATS)
    data["status"] = (dims, np.broadcast_to(found.status, (len(by_measure), len(found.status))).copy(), STATUS_FLAGS)
    data |= {name: ("layer", getattr(found.information, name), NATS) for name in INFORMATION}
    data["target_entropy"] = ((), float(found.entropy[0]), NATS)
    data["classified_by"] = (("predictor", "layer"), found.classifier.T.astype(object))
    for suffix, variable in zip(("1", "2"), cell.sources, strict=True):
        data[f"explained_variance_{suffix}"] = ("layer", variable.explained_variance, ONE)
        data[f"reduction_angle_{suffix}"] = ("layer", variable.angle, {"units": "rad"})
    return data


def _tested(shares: Shares, weights: np.ndarray) -> dict[str, Any]:
    """Average the shares of samples anew with the weights of every replicate.

    The shares are what each sample contributes to first order, so that this is how the atoms scatter.
    """
    scaled = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
    data: dict[str, Any] = {}
    for name, each in shares.each.items():
        value = each.mean(axis=-1)
        drawn = each @ scaled.T
        drawn += (value - drawn.mean(axis=-1))[:, None]
        data[f"tested_{name}"] = ("layer", value, NATS)
        data[f"replicate_{name}"] = (("layer", "replicate"), drawn.astype(np.float32), NATS)
    return data


def _added(found: CategoricalPID) -> dict[str, Any]:
    """Test at which layers each source tells more than the other alone: gains of all samples, with signs flipped.

    What a source adds on average is counted in standard errors, which have the part of learning too; the signs of all
    layers of a sample flip together, so that layers stay as dependent as they are.
    """
    p_values, family_wise = [], []
    signs = np.random.default_rng(_FLIPS_SEED).choice([-1.0, 1.0], (FLIPS, found.samples))
    for other in ("i_2", "i_1"):
        gain = found.pointwise.i_12 - getattr(found.pointwise, other)
        plain = gain.std(axis=-1, ddof=1) / np.sqrt(found.samples)
        error = np.sqrt(plain**2 + _not_of_samples(found, "i_12") + _not_of_samples(found, other))
        statistic = gain.mean(axis=-1) / np.where(error > 0, error, 1)
        flipped = (signs @ gain.T / found.samples) / np.where(plain > 0, plain, 1)
        p_values.append((1 + (flipped >= statistic).sum(axis=0)) / (1 + FLIPS))
        family_wise.append(family_wise_by_maximum(statistic, flipped))
    dims = ("source", "layer")
    return {"added_p": (dims, np.stack(p_values), ONE), "added_family_wise": (dims, np.stack(family_wise), ONE)}


def _pointwise(shares: Shares, kept: np.ndarray, count: int) -> dict[str, Any]:
    """Keep the shares of single samples at the layers that a reader asks about; NaN where a sample is left out."""
    means = {name: each.mean(axis=-1) for name, each in shares.each.items()}
    peaks = [int(np.nan_to_num(means[n], nan=-np.inf).argmax()) for n in ("unique_1", "unique_2", "synergy")]
    places = [len(means["synergy"]) - 1, *peaks]
    data: dict[str, Any] = {"kept_layer": ("at", np.array(places))}
    for name, each in shares.each.items():
        values = np.full((len(places), count), np.nan, np.float32)
        values[:, kept] = each[places]
        data[f"pointwise_{name}"] = (("at", "sample"), values, NATS)
    return data
