"""Predictions of every fold by classifiers of the folds before it: the next answers are always new to them."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from pid_jax.categorical.features import bytes_of_fit, features_of
from pid_jax.categorical.logistic import predict_along_path
from pid_jax.categorical.network import draw_start, predict_during_training
from pid_jax.categorical.predictions import frequencies
from pid_jax.runtime.devices import map_problems, over_devices
from pid_jax.runtime.precision import single_precision
from pid_jax.settings.categorical import (
    CategoricalSpec,
    Classifier,
    NetworkClassifier,
)


def draw_common_folds(codes: np.ndarray, folds: int, seed: np.ndarray) -> np.ndarray:
    """Assign samples to the same folds in all problems, with about equally many of every class of the first one.

    Args:
        codes: Class of each sample (B, n).
        folds: Number of folds.
        seed: Whole numbers that decide the order within classes.

    Returns:
        Fold of each sample (n,).
    """
    rank = np.random.default_rng(seed).random(codes.shape[-1])
    different = np.unique(codes, axis=0, return_index=True)[1]
    fold = np.empty(codes.shape[-1], int)
    fold[np.lexsort((rank, *codes[np.sort(different)][::-1]))] = np.arange(len(fold)) % folds
    return fold


def forward_weights(fold: np.ndarray, folds: int) -> np.ndarray:
    """Return 1 where a sample is in a fold before that of the row, which are all but the first: (F - 1, n), float32."""
    return (fold < np.arange(1, folds)[:, None]).astype(np.float32)


def predict_forward(
    sources: Sequence[np.ndarray],
    codes: np.ndarray,
    fold: np.ndarray,
    spec: CategoricalSpec,
    classes: int,
    key: jax.Array,
) -> np.ndarray:
    """Predict every fold but the first by classifiers that were fitted to the folds before it.

    Penalty, number of steps and kind of the classifier are those with the best likelihood on all folds before that were
    predicted; the first prediction is that of the first candidate with the largest penalty. So nothing in a prediction
    depends on answers of its own fold, or of later ones.

    Args:
        sources: Components (B, F - 1, n, d) of one source or of two.
        codes: Class of each sample (B, n).
        fold: Fold of each sample (n,), the same in all problems.
        spec: Candidates and their settings.
        classes: Number of classes.
        key: A JAX random key.

    Returns:
        Gains in log probability over the frequencies of the classes before (B, n, K), in float64; 0 in the first fold.
    """
    count, folds = codes.shape[0], spec.folds
    training = np.broadcast_to(forward_weights(fold, folds), (count, folds - 1, len(fold)))
    own = np.maximum(fold - 1, 0)
    found = [
        _candidate(one, sources, codes, training, own, classes, jax.random.fold_in(key, index))
        for index, one in enumerate(spec.candidates)
    ]
    gains = np.concatenate(found, axis=1) - frequencies(codes, training, classes)[:, None, own]
    reached = np.take_along_axis(gains, codes[:, None, :, None], axis=3)[..., 0]  # (B, C, n)
    sums = np.stack([reached[..., fold == one].sum(axis=-1) for one in range(1, folds)], axis=-1)
    before = np.cumsum(sums, axis=-1) - sums  # of the folds before, 0 for the first one that is predicted
    best = before.argmax(axis=1)  # (B, F - 1)
    chosen = gains[np.arange(count)[:, None], best[:, own], np.arange(len(fold))]
    return np.where((fold > 0)[:, None], chosen, 0)


def _candidate(
    candidate: Classifier,
    sources: Sequence[np.ndarray],
    codes: np.ndarray,
    training: np.ndarray,
    own: np.ndarray,
    classes: int,
    key: jax.Array,
) -> np.ndarray:
    """Return the predictions of one candidate at all of its penalties or numbers of steps (B, C, n, K)."""
    dims = [source.shape[-1] for source in sources]
    rows = np.stack([np.resize(np.flatnonzero(one), len(own)) for one in training[0]]).astype(np.int32)
    start = None
    with single_precision():
        if isinstance(candidate, NetworkClassifier):
            start = draw_start(candidate, sum(dims), classes, len(own), key)
        program = partial(_fit, own=own, rows=rows, start=start, candidate=candidate, classes=classes)
        size = bytes_of_fit(candidate, dims, classes, training[0].size)
        return map_problems(program, tuple(sources), codes, training, bytes_each=size)


@partial(jax.jit, static_argnames=("candidate", "classes", "mesh"))
def _fit(
    sources: tuple[Float[Array, "B F n d"], ...],
    codes: Int[Array, "B n"],
    training: Float[Array, "B F n"],
    *,
    own: Int[Array, "n"],
    rows: Int[Array, "F n"],
    start: Any,
    candidate: Any,
    classes: int,
    mesh: Mesh | None,
) -> Float[Array, "B C n K"]:
    def one(sources: tuple, codes: Array, training: Array) -> Array:
        seen = features_of(candidate, sources)
        if isinstance(candidate, NetworkClassifier):
            return predict_during_training(seen, codes, training, rows, own, start, candidate, classes)
        penalties = jnp.asarray(candidate.penalties, jnp.float32)
        return predict_along_path(seen, codes, training, own, penalties, classes)

    def every(*batch: Array) -> Array:
        return lax.map(lambda problem: one(*problem), batch)

    return over_devices(every, mesh)(sources, codes, training)
