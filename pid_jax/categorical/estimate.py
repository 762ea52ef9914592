"""Decompose what two sources tell about a categorical answer, from samples."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from pid_jax.categorical.answers import Answers, read_answers
from pid_jax.categorical.assemble import (
    Pointwise,
    atoms_of,
    information_of,
    intervals,
    pointwise_information,
    quantities,
)
from pid_jax.categorical.predictions import (
    Predictions,
    draw_folds,
    frequencies,
    predict,
    training_weights,
    whiten_source,
)
from pid_jax.categorical.result import CategoricalPID
from pid_jax.categorical.union import number_of_cells, union_information
from pid_jax.estimate.samples import reduce_variable
from pid_jax.gaussian.information import Information
from pid_jax.gaussian.status import Status
from pid_jax.normality.sentences import name_places
from pid_jax.pid.atoms import PIDQuantities
from pid_jax.runtime.checks import check_finite, check_key, check_leading_axes, check_paired, read_samples
from pid_jax.runtime.devices import use_devices
from pid_jax.runtime.progress import Progress, no_progress
from pid_jax.settings.categorical import CategoricalSpec
from pid_jax.settings.estimate import PCA, PIDSpec, spec_to_dict

# Components kept before the folds choose their own, as a multiple of those that classifiers see.
_MARGIN = 4
_SOURCES = ("source_1", "source_2")
_STEPS = 5


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
        0.8 of 1.0 bits from the image only

    Not guaranteed: what no classifier learned is missing from the informations, mostly from synergy.
    """
    spec = CategoricalSpec() if spec is None else spec
    if not isinstance(spec, CategoricalSpec):
        raise TypeError(f"spec needs a CategoricalSpec, got {type(spec).__name__}.")
    check_key(key)
    with use_devices():
        samples = read_classified(source_1, source_2, answer, spec)
        found = estimate_classified(samples, spec, key, progress)
    return found.reshape(samples.leading)


@dataclass(frozen=True, kw_only=True)
class Classified:
    """Checked samples of two sources and an answer, as B problems.

    Attributes:
        sources: Samples (B or 1, n, p) of each source; noise where a problem cannot be used.
        codes: Class of each sample (B or 1, n).
        classes: Names of the classes.
        kept: Rows that are used, of those that were given.
        leading: Leading axes of the input.
        status: `Status` of each problem (B,).
        notes: What was pooled or left out.
    """

    sources: tuple[np.ndarray, np.ndarray]
    codes: np.ndarray
    classes: tuple
    kept: np.ndarray
    leading: tuple[int, ...]
    status: np.ndarray
    notes: tuple[str, ...]


def read_classified(source_1: ArrayLike, source_2: ArrayLike, answer: Any, spec: CategoricalSpec) -> Classified:
    """Check sources and answers, pool or leave out rare answers, and set problems apart that hold NaN."""
    named = [(name, read_samples(name, value)) for name, value in zip(_SOURCES, (source_1, source_2), strict=True)]
    answers = read_answers(answer, spec.rare)
    as_columns = answers.codes[..., None]
    check_paired([*named, ("answer", as_columns)], (source_1, source_2, answer))
    leading = check_leading_axes([*named, ("answer", as_columns)])
    kept = np.flatnonzero((answers.codes.reshape(-1, answers.codes.shape[-1]) >= 0).all(axis=0))
    codes = answers.codes.reshape(-1, answers.codes.shape[-1])[:, kept]
    arrays = [array.reshape(-1, *array.shape[-2:])[:, kept] for _, array in named]
    count = max(*(len(array) for array in arrays), len(codes))
    status, notes = np.full(count, Status.OK), list(answers.notes)
    for index, (name, _) in enumerate(named):
        arrays[index], bad = _without_nan(name, arrays[index], index)
        here = np.broadcast_to(bad, count)
        if here.all():
            check_finite(name, named[index][1])
        if here.any():
            status[here] = Status.NOT_FINITE
            notes.append(f"{name_places(np.flatnonzero(here), 'problem')}: {name} holds NaN or infinity")
    notes += _check_classes(codes, answers, status, spec)
    return Classified(
        sources=(arrays[0], arrays[1]),
        codes=codes,
        classes=answers.classes,
        kept=kept,
        leading=leading,
        status=status,
        notes=tuple(notes),
    )


def _without_nan(name: str, array: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Replace problems that hold NaN by noise, and say which these are."""
    with np.errstate(over="ignore", invalid="ignore"):
        bad = ~np.isfinite(array.sum(axis=(-2, -1), dtype=np.float64))
    bad &= np.array([not np.isfinite(one).all() for one in array])
    if bad.any():
        array = array.copy()
        array[bad] = np.random.default_rng(index).standard_normal(array.shape[-2:])
    return array, bad


def _check_classes(codes: np.ndarray, answers: Answers, status: np.ndarray, spec: CategoricalSpec) -> list[str]:
    """Refuse too few samples for the folds, and mark problems with one class only."""
    count, samples = len(answers.classes), codes.shape[-1]
    if samples < 2 * spec.folds or samples <= count:
        raise ValueError(
            f"{samples} samples are too few for {count} classes and {spec.folds} folds: add samples, or pool answers "
            "(CategoricalSpec(rare=PoolRare(...)))."
        )
    counts = np.stack([np.bincount(one, minlength=count) for one in codes])
    is_single = (counts > 0).sum(axis=1) < 2
    if is_single.all():
        raise ValueError("answer is the same in all samples of every problem, so there is nothing to tell.")
    notes = []
    if is_single.any():
        here = np.broadcast_to(is_single, status.shape)
        status[here & (status == Status.OK)] = Status.CONSTANT
        notes.append(f"{name_places(np.flatnonzero(here), 'problem')}: all samples have the same answer")
    few = (counts > 0) & (counts < spec.folds)
    if few.any():
        name = answers.classes[int(np.argwhere(few)[0][1])]
        notes.append(f"answer {name!r} has fewer samples than folds in some problem: it is hardly ever predicted")
    return notes


def estimate_classified(
    samples: Classified, spec: CategoricalSpec, key: jax.Array, progress: Progress = no_progress
) -> CategoricalPID:
    """Estimate all problems of checked samples; see `estimate_categorical_pid`. There is one leading axis."""
    for_reduction, for_folds, for_fits, for_union = jax.random.split(key, 4)
    pid = PIDSpec(reduction=PCA(dim=_MARGIN * spec.components))
    reduced = [
        reduce_variable(name, x, None, min(_MARGIN * spec.components, x.shape[-1], x.shape[-2] - 1), pid, one)
        for name, x, one in zip(_SOURCES, samples.sources, jax.random.split(for_reduction), strict=True)
    ]
    progress(1, _STEPS)
    count = len(samples.status)
    codes = np.ascontiguousarray(np.broadcast_to(samples.codes, (count, samples.codes.shape[-1])))
    classes = len(samples.classes)
    fold = draw_folds(codes, spec.folds, np.asarray(jax.random.key_data(for_folds)))
    training = training_weights(fold, spec.folds)
    seen = [
        whiten_source(np.broadcast_to(one.scores, (count, *one.scores.shape[1:])), training, spec.components)
        for one in reduced
    ]
    fits = []
    for number, (own, one) in enumerate(zip(([seen[0]], [seen[1]], seen), jax.random.split(for_fits, 3), strict=True)):
        fits.append(predict(own, codes, training, spec, classes, one))
        progress(2 + number, _STEPS)
    dims = np.array([seen[0].shape[-1], seen[1].shape[-1], seen[0].shape[-1] + seen[1].shape[-1]])
    found = decompose_predictions(fits, codes, fold, training, dims, spec, for_union)
    progress(_STEPS, _STEPS)
    notes = (*samples.notes, *(note for one in reduced for note in one.notes))
    return _result(found, fits, samples, codes, dims, notes, spec).without(samples.status)


@dataclass(frozen=True, kw_only=True)
class _Found:
    pointwise: Pointwise
    values: tuple[PIDQuantities, PIDQuantities, PIDQuantities]
    claimed: np.ndarray
    entropy: np.ndarray
    union: Any


def decompose_predictions(
    fits: list[Predictions],
    codes: np.ndarray,
    fold: np.ndarray,
    training: np.ndarray,
    dims: np.ndarray,
    spec: CategoricalSpec,
    key: jax.Array,
) -> _Found:
    """Turn predictions from source_1, source_2 and both, of so many dimensions each, into atoms."""
    classes = fits[0].log_probabilities.shape[-1]
    shares = np.stack([np.bincount(one, minlength=classes) for one in codes]) / codes.shape[1]
    entropy = -np.sum(shares * np.log(np.where(shares > 0, shares, 1)), axis=1)
    logs = [one.log_probabilities for one in fits]
    base = frequencies(codes, training, classes)
    pointwise = pointwise_information(logs, base, codes, fold)
    rows, columns = np.arange(len(codes))[:, None], np.arange(codes.shape[1])
    held_out = [log[rows, fold, columns] for log in logs]
    worth = np.minimum(pointwise.information[:, :2], entropy[:, None] - 1e-9)
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
        values=quantities(pointwise, union, dims * (classes - 1)),
        claimed=claimed,
        entropy=entropy,
        union=union,
    )


def _result(
    found: _Found,
    fits: list[Predictions],
    samples: Classified,
    codes: np.ndarray,
    dims: np.ndarray,
    notes: tuple[str, ...],
    spec: CategoricalSpec,
) -> CategoricalPID:
    estimate, error, shares = found.values
    lower, upper = intervals(estimate, error, spec.level)
    union = found.union
    return CategoricalPID(
        atoms=atoms_of(estimate),
        information=Information(i_1=estimate.i_1, i_2=estimate.i_2, i_12=estimate.i_12),
        entropy=found.entropy,
        status=np.full(len(codes), Status.OK),
        standard_error=error,
        lower=lower,
        upper=upper,
        pointwise=shares,
        answer=codes,
        kept=samples.kept,
        union_lower=union.lower,
        union_upper=union.upper,
        cell_loss=union.loss,
        held_out=information_of(found.pointwise.held_out),
        claimed=information_of(found.claimed),
        learning=information_of(found.pointwise.learning),
        noise=union.noise,
        temperature=union.temperature,
        classifier=np.stack([one.classifier for one in fits], axis=-1),
        classes=samples.classes,
        dims=tuple(dims[:2].tolist()),
        level=spec.level,
        notes=notes,
        settings=spec_to_dict(spec),
    )
