"""Decompose what two sources tell about a categorical answer, from samples."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from pid_jax.categorical.answers import class_shares
from pid_jax.categorical.assemble import (
    Pointwise,
    fields_of,
    information_of,
    pointwise_information,
    quantities,
    union_estimate,
)
from pid_jax.categorical.closed_union import closed_union
from pid_jax.categorical.predictions import (
    Predictions,
    draw_folds,
    frequencies,
    predict,
    training_weights,
    whiten_source,
)
from pid_jax.categorical.result import CategoricalPID
from pid_jax.categorical.samples import SOURCES, Classified, read_classified
from pid_jax.categorical.union import number_of_cells, union_information
from pid_jax.categorical.unseen import shared_freedom
from pid_jax.discrete.measures import sample_measure_of
from pid_jax.discrete.tables import entropy_of
from pid_jax.gaussian.information import Information
from pid_jax.gaussian.status import Status
from pid_jax.pid.atoms import PIDQuantities
from pid_jax.reduce.pca import Reduced
from pid_jax.reduce.variable import reduce_variable
from pid_jax.runtime.checks import check_key
from pid_jax.runtime.devices import use_devices
from pid_jax.runtime.progress import Progress, no_progress
from pid_jax.settings.categorical import CategoricalSpec
from pid_jax.settings.estimate import PCA, PIDSpec, spec_to_dict

# Components kept before the folds choose their own, as a multiple of those that classifiers see.
_MARGIN = 4
_STEPS = 5
# Width of the interval of the union information, as a share of the entropy of the answer, that a note mentions.
_WIDE = 0.1


def estimate_categorical_pid(
    source_1: ArrayLike,
    source_2: ArrayLike,
    answer: Any,
    *,
    spec: CategoricalSpec | None = None,
    key: jax.Array,
    progress: Progress = no_progress,
) -> CategoricalPID:
    """Decompose what two sources tell about a categorical answer, from samples.

    Classifiers predict the answer from each source and from both, out of fold. What they are worth on samples that they
    have not seen, with a correction for what they have not learned yet, is the information of the sources; the
    predictions of each source are calibrated, cut into cells, and their union information is solved for with a
    certificate (`discrete_pid`).

    Args:
        source_1: Samples (..., n, p1), or (n,) for one column, in arrays of NumPy, JAX, PyTorch, pandas, polars, xarray
            or lists. Leading axes are layers, tasks or other problems.
        source_2: Samples (..., n, p2), row i from the same sample as row i of `source_1`.
        answer: Classes (..., n): whole numbers, booleans or strings, also a column of pandas or xarray. It may leave
            out the leading axes, as each source may: it is then the same for all problems.
        spec: The settings, `CategoricalSpec()` if not given.
        key: A JAX random key.
        progress: Called with steps done and all there are.

    Returns:
        Atoms in nats with standard errors and intervals, informations, entropy of the answer, the share of every
        sample, and what was chosen.

    Raises:
        TypeError: For tracers, for sources that hold no real numbers, and for answers that are no classes.
        ValueError: For unpaired samples, leading axes that differ, missing answers, an answer that is the same in all
            samples, or fewer samples of each class than folds. For NaN in all problems: if there are others, those that
            have it get the status `NOT_FINITE`.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> from pid_jax import LinearClassifier, CategoricalSpec, estimate_categorical_pid
        >>> rng = np.random.default_rng(0)
        >>> bits = rng.integers(0, 2, size=(2, 1000))
        >>> image, text = (4 * bit[:, None] + rng.normal(size=(1000, 2)) for bit in bits)
        >>> answer = np.array(["no", "yes"])[bits[0]]
        >>> spec = CategoricalSpec(classifier=LinearClassifier())
        >>> found = estimate_categorical_pid(image, text, answer, spec=spec, key=jax.random.key(0)).in_bits()
        >>> print(f"{found.atoms.unique_1:.1f} of {found.entropy:.1f} bits from the image only")
        1.0 of 1.0 bits from the image only

    Not guaranteed: what no classifier learned is missing from the informations, mostly from synergy.
    """
    spec = CategoricalSpec() if spec is None else spec
    if not isinstance(spec, CategoricalSpec):
        raise TypeError(f"spec needs a CategoricalSpec, got {type(spec).__name__}.")
    check_key(key)
    with use_devices():
        samples = read_classified(source_1, source_2, answer, spec)
        found = estimate_classified(samples, spec, key, progress)
    return found.on(samples.leading)


def reduce_sources(samples: Classified, spec: CategoricalSpec, key: jax.Array) -> list[Reduced]:
    """Project each source on more principal components than classifiers see; the folds choose their own of these."""
    pid = PIDSpec(reduction=PCA(dim=_MARGIN * spec.components))
    return [
        reduce_variable(name, x, None, min(_MARGIN * spec.components, x.shape[-1], x.shape[-2] - 1), pid, one)
        for name, x, one in zip(SOURCES, samples.sources, jax.random.split(key), strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """Predictions of the answers of B problems by classifiers of all folds.

    Attributes:
        fits: Predictions from source_1, source_2 and both.
        codes: Class of each sample (B, n).
        fold: Fold of each sample (B, n).
        training: 1 where a sample is in the training part of a fold, else 0: (B, F, n).
        dims: Components of source_1, source_2 and both (3,).
        notes: What the reduction did differently than asked.
    """

    fits: list[Predictions]
    codes: np.ndarray
    fold: np.ndarray
    training: np.ndarray
    dims: np.ndarray
    notes: tuple[str, ...]

    @property
    def pointwise(self) -> Pointwise:
        """Informations of every sample."""
        logs = [one.log_probabilities for one in self.fits]
        base = frequencies(self.codes, self.training, logs[0].shape[-1])
        return pointwise_information(logs, base, self.codes, self.fold)

    @property
    def classifiers(self) -> np.ndarray:
        """Names of the classifiers of source_1, source_2 and both (B, 3)."""
        return np.stack([one.classifier for one in self.fits], axis=-1)

    @property
    def shared_freedom(self) -> np.ndarray:
        """Covariances of the informations where there is nothing to learn (B, 3, 3)."""
        classes = self.fits[0].log_probabilities.shape[-1]
        return shared_freedom(self.classifiers, self.dims, classes, self.codes.shape[-1])


def predict_classified(
    samples: Classified,
    spec: CategoricalSpec,
    keys: jax.Array,
    progress: Progress = no_progress,
    strata: np.ndarray | None = None,
) -> Predicted:
    """Predict the answers of all problems, given keys for reduction, folds and fits.

    Folds have about equally many samples of each class, or of each group in `strata` (B, n).
    """
    for_reduction, for_folds, for_fits = keys
    reduced = reduce_sources(samples, spec, for_reduction)
    progress(1, _STEPS)
    count, classes = len(samples.status), len(samples.classes)
    codes = np.ascontiguousarray(np.broadcast_to(samples.codes, (count, samples.codes.shape[-1])))
    groups = codes if strata is None else strata
    fold = draw_folds(groups, spec.folds, np.asarray(jax.random.key_data(for_folds)))
    training = training_weights(fold, spec.folds)
    seen = [
        whiten_source(np.broadcast_to(one.scores, (count, *one.scores.shape[1:])), training, spec.components)
        for one in reduced
    ]
    fits = []
    for number, (own, one) in enumerate(zip(([seen[0]], [seen[1]], seen), jax.random.split(for_fits, 3), strict=True)):
        fits.append(predict(own, codes, training, spec, classes, one, fits if number == 2 else ()))
        progress(2 + number, _STEPS)
    widths = [one.shape[-1] for one in seen]
    return Predicted(
        fits=fits,
        codes=codes,
        fold=fold,
        training=training,
        dims=np.array([*widths, sum(widths)]),
        notes=tuple(note for one in reduced for note in one.notes),
    )


def estimate_classified(
    samples: Classified,
    spec: CategoricalSpec,
    key: jax.Array,
    progress: Progress = no_progress,
    strata: np.ndarray | None = None,
) -> CategoricalPID:
    """Estimate all problems of checked samples, with one leading axis; see `estimate_categorical_pid`.

    Folds have about equally many samples of each class, or of each group in `strata` (B, n).
    """
    keys = jax.random.split(key, 4)
    predicted = predict_classified(samples, spec, keys[:3], progress, strata)
    found = _decompose(predicted, spec, keys[3])
    progress(_STEPS, _STEPS)
    result = _result(found, predicted, samples, spec)
    return result.without(samples.status)


@dataclass(frozen=True, kw_only=True)
class _Found:
    pointwise: Pointwise
    values: tuple[PIDQuantities, PIDQuantities, PIDQuantities]
    claimed: np.ndarray
    entropy: np.ndarray
    union: Any


def _decompose(predicted: Predicted, spec: CategoricalSpec, key: jax.Array) -> _Found:
    """Turn predictions into atoms."""
    codes = predicted.codes
    logs = [one.log_probabilities for one in predicted.fits]
    classes = logs[0].shape[-1]
    shares = class_shares(codes, classes)
    entropy = entropy_of(shares, 1)
    pointwise = predicted.pointwise
    rows, columns = np.arange(len(codes))[:, None], np.arange(codes.shape[1])
    held_out = [log[rows, predicted.fold, columns] for log in logs]
    worth = np.minimum(pointwise.information[:, :2], entropy[:, None] - 1e-9)
    measure = sample_measure_of(spec.redundancy)
    if measure.redundant is not None:
        union = closed_union(measure, pointwise, codes)
    else:
        union = union_information(
            (held_out[0], held_out[1]),
            (logs[0] - logs[0].mean(axis=1, keepdims=True), logs[1] - logs[1].mean(axis=1, keepdims=True)),
            shares,
            codes,
            worth,
            number_of_cells(spec.cells, classes, codes.shape[1]),
            spec.perturbations,
            key,
        )
    claimed = np.stack([entropy + np.sum(np.exp(x) * x, axis=2, dtype=np.float64).mean(axis=1) for x in held_out], 1)
    return _Found(
        pointwise=pointwise,
        values=quantities(pointwise, union, predicted.shared_freedom),
        claimed=claimed,
        entropy=entropy,
        union=union,
    )


def _result(found: _Found, predicted: Predicted, samples: Classified, spec: CategoricalSpec) -> CategoricalPID:
    estimate = found.values[0]
    return CategoricalPID(
        **fields_of(found.values, found.union, spec.level),
        information=Information(i_1=estimate.i_1, i_2=estimate.i_2, i_12=estimate.i_12),
        entropy=found.entropy,
        status=np.full(len(predicted.codes), Status.OK),
        answer=predicted.codes,
        kept=samples.kept,
        held_out=information_of(found.pointwise.held_out),
        claimed=information_of(found.claimed),
        learning=information_of(found.pointwise.learning),
        classifier=predicted.classifiers,
        classes=samples.classes,
        dims=tuple(predicted.dims[:2].tolist()),
        level=spec.level,
        notes=(*samples.notes, *predicted.notes, *_describe_width(found, samples, spec.cells)),
        settings=spec_to_dict(spec),
    )


def _describe_width(found: _Found, samples: Classified, cells: int) -> tuple[str, ...]:
    """Return a note on the problems whose cells leave the union information open, or none."""
    width = union_estimate(found.union, found.pointwise.information)[1]
    wide = np.flatnonzero((width > _WIDE * found.entropy) & (samples.status == Status.OK))
    if not len(wide):
        return ()
    classes, count = len(samples.classes), len(samples.kept)
    can_grow = number_of_cells(2 * cells, classes, count) > number_of_cells(cells, classes, count)
    return (
        f"{samples.locate(wide)}the union information, and with it each atom, is only known to within "
        f"±{width[wide].max() / 2:.2g} nats, because cells lose much of what the sources say: "
        f"{'use more cells, or ' if can_grow else ''}pool rare answers, so that there are fewer classes",
    )
