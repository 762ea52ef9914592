"""Predictions of the answer from each source and from both, out of fold, by the classifier that predicts best."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from pid_jax.categorical.features import bytes_of_fit, features_of, whiten_folds
from pid_jax.categorical.logistic import fit_path
from pid_jax.categorical.network import draw_start, fit_networks, training_rows
from pid_jax.categorical.unseen import alone
from pid_jax.runtime.devices import map_problems, over_devices
from pid_jax.runtime.precision import double_precision, single_precision
from pid_jax.settings.categorical import (
    CategoricalSpec,
    NetworkClassifier,
)

FREQUENCIES = "frequencies"
_TINY = 1e-9
_ROUNDING = 1e-6  # nats that single precision leaves, by which no classifier is better


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Predictions of all samples by the classifiers of all folds, from one source or from both.

    Attributes:
        log_probabilities: Log probabilities of the classes (B, F, n, K), float32.
        classifier: Name of the classifier chosen for each problem (B,).
    """

    log_probabilities: np.ndarray
    classifier: np.ndarray


def draw_folds(codes: np.ndarray, folds: int, seed: np.ndarray) -> np.ndarray:
    """Assign samples to folds, so that each has about the same number of samples of every class.

    Args:
        codes: Class of each sample (B, n).
        folds: Number of folds.
        seed: Whole numbers that decide the order within classes.

    Returns:
        Fold of each sample (B, n).
    """
    rank = np.random.default_rng(seed).random(codes.shape[-1])
    found = np.empty(codes.shape, int)
    for row, own in zip(found, codes, strict=True):
        row[np.lexsort((rank, own))] = np.arange(len(own)) % folds
    return found


def training_weights(fold: np.ndarray, folds: int) -> np.ndarray:
    """Return 1 where a sample is in the training part of a fold, else 0: (B, F, n), float32."""
    return (fold[:, None] != np.arange(folds)[:, None]).astype(np.float32)


def frequencies(codes: np.ndarray, training: np.ndarray, classes: int) -> np.ndarray:
    """Return the log frequencies of the classes in the training part of every fold, (B, F, K)."""
    is_class = codes[:, :, None] == np.arange(classes)
    shares = np.einsum("bfn,bnk->bfk", training, is_class) / training.sum(2, keepdims=True)
    return np.log(np.maximum(shares, _TINY))


def whiten_source(scores: np.ndarray, training: np.ndarray, components: int) -> np.ndarray:
    """Return the components that classifiers see, (B, F, n, d), float32; see `whiten_folds`."""
    dim = min(components, scores.shape[-1])
    program = partial(whiten_folds, dim=dim)
    size = training.shape[1] * scores.shape[1] * scores.shape[2]
    with double_precision():
        return map_problems(program, scores, training, bytes_each=8 * size, dtype=np.float64)


def predict(
    sources: Sequence[np.ndarray],
    codes: np.ndarray,
    training: np.ndarray,
    spec: CategoricalSpec,
    classes: int,
    key: jax.Array,
    parts: Sequence[Predictions] = (),
) -> Predictions:
    """Fit all candidates for all problems and folds, and choose one for every problem.

    A candidate is chosen if it predicts held-out samples better than the frequencies do and none was before, or if
    it predicts them better than the one chosen before by more than the standard error of their difference (Breiman,
    Friedman, Olshen & Stone 1984, Classification and Regression Trees, for that rule): a network that gains no more
    has often learned its training samples by heart.

    Args:
        sources: Components (B, F, n, d) of one source or of two.
        codes: Class of each sample (B, n).
        training: 1 where a sample is in the training part of a fold, else 0: (B, F, n).
        spec: Candidates and their settings.
        classes: Number of classes.
        key: A JAX random key.
        parts: Predictions from each source alone, which stay where both together predict no better.
    """
    count = len(sources[0])
    known = frequencies(codes, training, classes)
    best = np.broadcast_to(known[:, :, None], (*training.shape, classes)).astype(np.float32)
    best_gain = _held_out(best, codes, training)
    names = np.full(count, FREQUENCIES, dtype="<U32")
    dims = [source.shape[-1] for source in sources]
    rows = training_rows(training)
    for index, candidate in enumerate(spec.candidates):
        size = bytes_of_fit(candidate, dims, classes, training[0].size)
        start = None
        with single_precision():
            if isinstance(candidate, NetworkClassifier):
                start = draw_start(candidate, sum(dims), classes, rows.shape[-1], jax.random.fold_in(key, index))
            program = partial(_fit, start=start, candidate=candidate, classes=classes)
            found = map_problems(program, tuple(sources), codes, training, rows, bytes_each=size)
        gain = _held_out(found, codes, training)
        more = gain - best_gain
        needed = np.where(names == FREQUENCIES, _ROUNDING, more.std(axis=1) / np.sqrt(more.shape[1]))
        chosen = more.mean(axis=1) > needed
        best, best_gain, names = _replaced((best, best_gain, names), chosen, (found, gain, type(candidate).__name__))
    for number, part in enumerate(parts):
        gain = _held_out(part.log_probabilities, codes, training)
        chosen = gain.mean(axis=1) > best_gain.mean(axis=1) + _ROUNDING
        kept = (part.log_probabilities, gain, alone(number))
        best, best_gain, names = _replaced((best, best_gain, names), chosen, kept)
    return Predictions(log_probabilities=best, classifier=names)


def _replaced(old: tuple, chosen: np.ndarray, new: tuple) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log probabilities, gains and names, new ones where these are chosen."""
    return (
        np.where(chosen[:, None, None, None], new[0], old[0]),
        np.where(chosen[:, None], new[1], old[1]),
        np.where(chosen, new[2], old[2]),
    )


@partial(jax.jit, static_argnames=("candidate", "classes", "mesh"))
def _fit(
    sources: tuple[Float[Array, "B F n d"], ...],
    codes: Int[Array, "B n"],
    training: Float[Array, "B F n"],
    rows: Int[Array, "B F m"],
    *,
    start: Any,
    candidate: Any,
    classes: int,
    mesh: Mesh | None,
) -> Float[Array, "B F n K"]:
    is_path = not isinstance(candidate, NetworkClassifier)

    def one(sources: Any, codes: Array, training: Array, rows: Array) -> Array:
        seen = features_of(candidate, sources)
        if is_path:
            return fit_path(seen, codes, training, jnp.asarray(candidate.penalties, jnp.float32), classes)
        return fit_networks(seen, codes, training, rows, start, candidate, classes)

    def every(*batch: Array) -> Array:
        # The path of each problem ends where its own likelihood falls, so problems are solved one by one.
        return lax.map(lambda problem: one(*problem), batch) if is_path else jax.vmap(one)(*batch)

    return over_devices(every, mesh)(sources, codes, training, rows)


def _held_out(found: np.ndarray, codes: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Return the log probability of every answer (B, n) under the classifier that did not see it."""
    rows, columns = np.arange(len(codes))[:, None], np.arange(codes.shape[1])
    return found[rows, np.argmin(training, axis=1), columns, codes].astype(np.float64)
