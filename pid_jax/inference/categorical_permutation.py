"""Permutation tests of what sources tell about a categorical answer, for all leading axes at once."""

from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from pid_jax.categorical.estimate import reduce_sources
from pid_jax.categorical.forward import draw_common_folds, forward_weights, predict_forward
from pid_jax.categorical.predictions import whiten_source
from pid_jax.categorical.samples import read_classified
from pid_jax.gaussian.status import Status
from pid_jax.inference.intervals import SINGLE_ROUNDING, without_rounding
from pid_jax.inference.permutation_result import PIDTest, p_values
from pid_jax.pid.atoms import PIDQuantities
from pid_jax.reduce.pca import Reduced
from pid_jax.runtime.checks import check_key
from pid_jax.runtime.devices import use_devices
from pid_jax.runtime.progress import Progress, no_progress
from pid_jax.settings.categorical import CategoricalSpec
from pid_jax.settings.estimate import spec_to_dict
from pid_jax.settings.inference import ConditionalIndependence, Null

# The first fold is for training only, and the second has no fold before it that classifiers could be chosen by.
_FEWEST_FOLDS = 3
_STEPS = 5
# Gains are multiples of this, so that their sums do not depend on the order and equal ones tie.
_GRAIN = 2.0**-30
_ATOMS = (
    "atoms are not tested by themselves: the p-value of i_12 is for all of them under Independence(), and for unique_k "
    "and synergy together under ConditionalIndependence(source=k)"
)


def permute_categorical(
    source_1: ArrayLike,
    source_2: ArrayLike,
    answer: Any,
    *,
    spec: CategoricalSpec,
    key: jax.Array,
    null: Null,
    resamples: int,
    progress: Progress = no_progress,
) -> PIDTest:
    """Test whether sources tell anything about a categorical answer; see `permutation_test`.

    The statistic is the mean gain in log likelihood over the frequencies of the classes, of source_1, source_2 and
    both, by classifiers that were fitted to, and chosen by, the folds before that of the sample.

    `Independence()`: given all that the predictions for a fold depend on, its answers are exchangeable. They are
    permuted within folds against fixed predictions, which is exact for each fold; no classifier is fitted again. This
    needs folds in a sequence: ordinary folds are in the training parts of each other, so that their gains scatter more
    than permutations against fixed predictions do.

    `ConditionalIndependence(source=k)`: both sources predict no better than the other one alone. Replicates of i_12 are
    those of i_other plus gains of both over the other with the mean taken off and normal multipliers, the same for all
    problems. The other quantities are NaN.

    Args:
        source_1: Samples (..., n, p1).
        source_2: Samples (..., n, p2).
        answer: Classes (..., n).
        spec: The settings; a test needs three folds at least.
        key: A JAX random key.
        null: What is tested.
        resamples: Number of replicates.
        progress: Called with steps done and all there are.

    Raises:
        ValueError: For fewer than three folds, and as `estimate_categorical_pid`.

    Source: Dawid (1984), J. R. Stat. Soc. A 147, 278, for predictions in a sequence.
    """
    check_key(key)
    if spec.folds < _FEWEST_FOLDS:
        raise ValueError(
            f"spec needs folds={_FEWEST_FOLDS} at least for a test, got {spec.folds}: each fold is predicted by "
            "classifiers that were fitted to the folds before it."
        )
    for_reduction, for_folds, for_fits, for_null = jax.random.split(key, 4)
    with use_devices():
        samples = read_classified(source_1, source_2, answer, spec)
        count = len(samples.status)
        codes = np.ascontiguousarray(np.broadcast_to(samples.codes, (count, samples.codes.shape[-1])))
        fold = draw_common_folds(samples.codes, spec.folds, np.asarray(jax.random.key_data(for_folds)))
        reduced = reduce_sources(samples, spec, for_reduction)
        progress(1, _STEPS)
        one, two = (_components(x, fold, count, spec) for x in reduced)
        gains = []
        for number, (own, each) in enumerate(
            zip(([one], [two], [one, two]), jax.random.split(for_fits, 3), strict=True)
        ):
            gains.append(predict_forward(own, codes, fold, spec, len(samples.classes), each))
            progress(2 + number, _STEPS)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(for_null)))
    exact = _in_grains(np.stack(gains), fold)
    if isinstance(null, ConditionalIndependence):
        informations, drawn = _around_the_other(exact, codes, fold, null.source, resamples, rng)
    else:
        informations, drawn = _permuted(exact, codes, fold, resamples, rng)
    informations[:, samples.status != Status.OK] = np.nan  # before p-values are adjusted
    statistic, replicates = _named(informations), _named(drawn)
    progress(_STEPS, _STEPS)
    test = PIDTest(
        status=samples.status,
        **p_values(statistic, replicates),
        replicates=replicates,
        notes=(*samples.notes, *(note for x in reduced for note in x.notes), _ATOMS),
        settings={"spec": spec_to_dict(spec), "null": spec_to_dict(null), "resamples": int(resamples)},
    )
    return test.without(samples.status).on(samples.leading)


def _components(source: Reduced, fold: np.ndarray, count: int, spec: CategoricalSpec) -> np.ndarray:
    """Return what the classifiers of all folds but the first see of a source (B, F - 1, n, d)."""
    scores = np.broadcast_to(source.scores, (count, *source.scores.shape[1:]))
    training = np.broadcast_to(forward_weights(fold, spec.folds), (count, spec.folds - 1, len(fold)))
    return whiten_source(scores, training, spec.components)


def _in_grains(gains: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Round gains (3, B, n, K); those of a class that differ within a fold by rounding alone become equal."""
    rounded = np.round(gains / _GRAIN) * _GRAIN
    for one in np.unique(fold):
        here = np.flatnonzero(fold == one)
        part = rounded[:, :, here]
        is_flat = np.ptp(part, axis=2, keepdims=True) <= SINGLE_ROUNDING
        rounded[:, :, here] = np.where(is_flat, part[:, :, :1], part)
    return rounded


def _permuted(
    gains: np.ndarray, codes: np.ndarray, fold: np.ndarray, resamples: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean gains (3, B), and those of answers permuted within folds, alike in all problems (resamples, 3, B)."""
    tested = np.flatnonzero(fold > 0)
    tested = tested[np.argsort(fold[tested], kind="stable")]
    own, folds = gains[:, :, tested], fold[tested]
    rows, columns = np.arange(len(codes))[:, None], np.arange(len(tested))

    def mean_gain(order: np.ndarray) -> np.ndarray:
        return own[:, rows, columns, codes[:, tested[order]]].mean(axis=-1)

    drawn = [mean_gain(np.lexsort((rng.random(len(tested)), folds))) for _ in range(resamples)]
    return mean_gain(columns), np.stack(drawn)


def _around_the_other(
    gains: np.ndarray,
    codes: np.ndarray,
    fold: np.ndarray,
    source: int,
    resamples: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean gain of both sources (3, B), and replicates where a source adds nothing (resamples, 3, B)."""
    tested = np.flatnonzero(fold > 0)
    reached = np.take_along_axis(gains[:, :, tested], codes[None, :, tested, None], axis=3)[..., 0]
    other = reached[2 - source]
    added = without_rounding(reached[2] - other)
    centered = added - added.mean(axis=1, keepdims=True)
    statistic = np.full((3, len(codes)), np.nan)
    replicates = np.full((resamples, 3, len(codes)), np.nan)
    statistic[2] = other.mean(axis=1) + added.mean(axis=1)
    replicates[:, 2] = other.mean(axis=1) + rng.standard_normal((resamples, len(tested))) @ centered.T / len(tested)
    return statistic, replicates


def _named(informations: np.ndarray) -> PIDQuantities:
    """Name informations (..., 3, B); atoms are NaN."""
    i_1, i_2, i_12 = np.moveaxis(informations, -2, 0)
    unknown = np.full(i_1.shape, np.nan)
    return PIDQuantities(
        redundancy=unknown, unique_1=unknown, unique_2=unknown, synergy=unknown, i_1=i_1, i_2=i_2, i_12=i_12
    )
