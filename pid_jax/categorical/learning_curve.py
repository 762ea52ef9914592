"""Information about an answer at growing numbers of samples, and how much classifiers have not learned yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from pid_jax.categorical.answers import class_shares
from pid_jax.categorical.assemble import COMBINED, information_of, standard_error
from pid_jax.categorical.estimate import predict_classified
from pid_jax.categorical.result import PREDICTORS
from pid_jax.categorical.samples import Classified, read_classified
from pid_jax.categorical.unseen import Unseen
from pid_jax.decompose.dataset import Result
from pid_jax.decompose.result import INFORMATION, describe_status, span
from pid_jax.discrete.tables import entropy_of
from pid_jax.gaussian.information import Information
from pid_jax.runtime.checks import check_key
from pid_jax.runtime.devices import use_devices
from pid_jax.runtime.progress import Progress, no_progress, part_of
from pid_jax.settings.categorical import CategoricalSpec
from pid_jax.settings.estimate import spec_to_dict

_AT_SIZES = ("size", ...)
_LABELS = dict(zip(INFORMATION, PREDICTORS, strict=True))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LearningCurve(
    Result,
    amounts=("entropy", "information", "held_out", "learning", "standard_error", "change", "change_error"),
    axes={
        "samples": ("size",),
        "information": _AT_SIZES,
        "held_out": _AT_SIZES,
        "learning": _AT_SIZES,
        "standard_error": _AT_SIZES,
    }
    | dict.fromkeys(INFORMATION, _AT_SIZES),
    flat=("information",),
):
    """Informations about a categorical answer at growing numbers of samples, of which each has the fewer ones in it.

    Attributes:
        entropy: Entropy of the answer of all samples, with the leading axes of the input.
        status: `Status` of each problem.
        samples: Numbers of samples (sizes,).
        information: I_1, I_2, I_12 with the correction (sizes, ...).
        held_out: Informations by the held-out likelihood alone.
        learning: What was added to `held_out`: half its distance from the same on the training samples, which is about
            what classifiers of so many samples have not learned yet.
        standard_error: Standard errors of `information`.
        change: By how much `information` moves from the last but one number of samples to the last (...).
        change_error: Standard errors of that.
        level: Confidence at which a change counts as more than its error.
        notes: What was pooled, left out, or done differently than asked, in plain words.
        settings: Everything that was chosen, JSON-ready.
        unit: "nats" or "bits".
    """

    entropy: np.ndarray
    status: np.ndarray
    samples: np.ndarray
    information: Information
    held_out: Information
    learning: Information
    standard_error: Information
    change: Information
    change_error: Information
    level: float
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    unit: str = "nats"

    @property
    def moves(self) -> Information:
        """Flags of estimates that change between the last two numbers of samples by more than their error.

        An estimate that does not change may still be wrong: the change may be small, or the samples too few to show it.
        """
        return Information(
            **{
                name: np.abs(getattr(self.change, name)) > self._reach * getattr(self.change_error, name)
                for name in INFORMATION
            }
        )

    @property
    def _reach(self) -> float:
        """Standard errors from which on a change counts."""
        return float(norm.ppf((1 + self.level) / 2))

    @property
    def statements(self) -> tuple[str, ...]:
        """Sentences on source_1, source_2 and both: what is added for learning, and what the last samples changed."""
        return tuple(self._state(name) for name in INFORMATION)

    def __repr__(self) -> str:
        """Show informations at all numbers of samples, and what they say."""
        count = self.status.size
        lines = [f"LearningCurve of {count} problem{'s' * (count != 1)}, in {self.unit}"]
        lines.append(f"  {'n':>9}  " + "".join(f"{name:>24}" for name in INFORMATION))
        for index, samples in enumerate(self.samples):
            cells = (span(getattr(self.information, name)[index]) for name in INFORMATION)
            lines.append(f"  {samples:>9}  " + "".join(f"{cell:>24}" for cell in cells))
        lines += [f"  {statement}" for statement in self.statements]
        lines += describe_status(self.status)
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])

    def _state(self, name: str) -> str:
        fewer, all_ = self.samples[-2:]
        change, moves = getattr(self.change, name), getattr(self.moves, name)
        known = int(np.isfinite(change).sum())
        if not known:
            return f"{_LABELS[name]}: no estimate"
        missing = span(getattr(self.learning, name)[-1], ".3f")
        limit = span(self._reach * getattr(self.change_error, name), ".3f")
        where = f", in {int(moves.sum())} of {known} problems" if change.size > 1 and moves.any() else ""
        return (
            f"{_LABELS[name]}: {missing} {self.unit} are added for what classifiers of {all_} samples have not learned "
            f"yet; from {fewer} to {all_} samples the estimate changes by {span(change, '+.3f')}, "
            f"{'more' if moves.any() else 'no more'} than the {limit} that chance explains ({self.level:.0%}){where}"
        )


def learning_curve(
    source_1: ArrayLike,
    source_2: ArrayLike,
    answer: Any,
    *,
    spec: CategoricalSpec | None = None,
    key: jax.Array,
    fractions: Sequence[float] = (0.25, 0.5, 1.0),
    progress: Progress = no_progress,
) -> LearningCurve:
    """Estimate the information of sources about a categorical answer at growing numbers of samples.

    What a classifier has not learned yet is missing from its held-out information, and half the distance between
    held-out and training likelihood is added for it. Where the corrected information still grows with the samples, the
    correction is too small, and more samples, or a simpler classifier, are needed. A change within its error does not
    show that it has ended.

    Args:
        source_1: Samples (..., n, p1), as in `estimate_categorical_pid`.
        source_2: Samples (..., n, p2).
        answer: Classes (..., n).
        spec: The settings, `CategoricalSpec()` if not given.
        key: A JAX random key.
        fractions: Shares of the samples, growing; of each class about the same share is drawn, and samples stay in.
        progress: Called with steps done and all there are.

    Returns:
        Informations in nats at every number of samples; `statements` says what they mean.

    Raises:
        TypeError: As `estimate_categorical_pid`.
        ValueError: For fractions that do not grow, are not in (0, 1] or leave too few samples for the folds, and as
            `estimate_categorical_pid`.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> from pid_jax import CategoricalSpec, LinearClassifier, learning_curve
        >>> rng = np.random.default_rng(0)
        >>> bits = rng.integers(0, 2, size=(2, 800))
        >>> image, text = (2 * bit[:, None] + rng.normal(size=(800, 4)) for bit in bits)
        >>> spec = CategoricalSpec(classifier=LinearClassifier())
        >>> curve = learning_curve(image, text, bits[0], spec=spec, key=jax.random.key(0), fractions=(0.5, 1.0))
        >>> curve.samples.tolist(), bool(curve.moves.i_1)
        ([400, 800], False)
    """
    spec = CategoricalSpec() if spec is None else spec
    if not isinstance(spec, CategoricalSpec):
        raise TypeError(f"spec needs a CategoricalSpec, got {type(spec).__name__}.")
    check_key(key)
    shares = _check_fractions(fractions)
    with use_devices():
        samples = read_classified(source_1, source_2, answer, spec)
        subsets = _nested(samples, shares, key)
        _check_sizes([len(rows) for rows in subsets], len(samples.classes), spec)
        keys = jax.random.split(jax.random.fold_in(key, 0), 3)
        points = [
            _point(_part(samples, rows), spec, keys, part_of(progress, index, len(subsets)))
            for index, rows in enumerate(subsets)
        ]
    return _curve(points, samples, [len(rows) for rows in subsets], spec, shares).on(samples.leading)


def _check_fractions(fractions: Sequence[float]) -> tuple[float, ...]:
    if isinstance(fractions, (str, int, float)) or len(fractions) < 2:
        raise ValueError(f"fractions needs two numbers at least, got {fractions!r}: (0.5, 1.0) compares with half.")
    shares = tuple(float(one) for one in fractions)
    if shares[0] <= 0 or shares[-1] > 1 or any(one >= other for one, other in pairwise(shares)):
        raise ValueError(f"fractions needs numbers that grow, above 0 and 1 at most, got {fractions!r}.")
    return shares


def _check_sizes(sizes: Sequence[int], classes: int, spec: CategoricalSpec) -> None:
    if sizes[0] < 2 * spec.folds or sizes[0] <= classes:
        raise ValueError(
            f"fractions needs more samples in its first one, got {sizes[0]} for {classes} classes and {spec.folds} "
            "folds: begin with a larger fraction."
        )


def _nested(samples: Classified, shares: Sequence[float], key: jax.Array) -> list[np.ndarray]:
    """Return rows of growing subsets with about the same share of every class, of the first problem's answer."""
    codes = samples.codes[0]
    rank = np.random.default_rng(np.asarray(jax.random.key_data(key))).random(len(codes))
    position = np.empty(len(codes))
    for one in np.unique(codes):
        own = np.flatnonzero(codes == one)
        position[own[np.argsort(rank[own])]] = (np.arange(len(own)) + 0.5) / len(own)
    order = np.argsort(position, kind="stable")
    return [np.sort(order[: round(share * len(order))]) for share in shares]


def _part(samples: Classified, rows: np.ndarray) -> Classified:
    one, two = (x[:, rows] for x in samples.sources)
    return replace(samples, sources=(one, two), codes=samples.codes[:, rows], kept=samples.kept[rows])


def _point(
    samples: Classified, spec: CategoricalSpec, keys: jax.Array, progress: Progress
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return informations (B, 3) of one subset, and notes."""
    predicted = predict_classified(samples, spec, keys, progress)
    pointwise = predicted.pointwise
    none = np.zeros(len(predicted.codes))
    unseen = Unseen(
        learning=pointwise.learning,
        freedom=predicted.shared_freedom,
        response=np.zeros((len(none), 2)),
        width=none,
        noise=none,
    )
    errors = [
        standard_error(pointwise.each[:, index], unseen.variance(COMBINED[name]))
        for index, name in enumerate(INFORMATION)
    ]
    return {
        "information": pointwise.information,
        "held_out": pointwise.held_out,
        "learning": pointwise.learning,
        "standard_error": np.stack(errors, axis=-1),
    }, predicted.notes


def _curve(
    points: Sequence[tuple[dict[str, np.ndarray], tuple[str, ...]]],
    samples: Classified,
    sizes: Sequence[int],
    spec: CategoricalSpec,
    shares: Sequence[float],
) -> LearningCurve:
    values = {name: np.stack([point[name] for point, _ in points]) for name in points[0][0]}
    before, last = values["standard_error"][-2:]
    # Samples stay in: the variance of the difference of two nested means is the difference of their variances.
    apart = np.sqrt(np.maximum(before**2 - last**2, 0))
    parts: dict[str, Any] = {
        name: Information(**dict(zip(INFORMATION, np.moveaxis(x, -1, 0), strict=True))) for name, x in values.items()
    }
    notes = (*samples.notes, *(note for _, some in points for note in some))
    return LearningCurve(
        entropy=_entropy(samples),
        status=samples.status,
        samples=np.asarray(sizes),
        **parts,
        change=information_of(values["information"][-1] - values["information"][-2]),
        change_error=information_of(apart),
        level=spec.level,
        notes=tuple(dict.fromkeys(notes)),
        settings={"spec": spec_to_dict(spec), "fractions": list(shares)},
    ).without(samples.status)


def _entropy(samples: Classified) -> np.ndarray:
    """Return the entropy of the answer in each problem."""
    codes = np.broadcast_to(samples.codes, (len(samples.status), samples.codes.shape[-1]))
    return entropy_of(class_shares(codes, len(samples.classes)), 1)
