"""Multinomial logistic regression along a path of penalties, for all folds at once."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

_STEPS = 100  # of accelerated gradient descent at each penalty, at most
_CLOSE = 1e-6  # nats by which the objective may be above its minimum
_POWER_STEPS = 20
_SAFETY = 1.1  # by which the largest eigenvalue may be underestimated
_TINY = 1e-9


class _Coefficients(NamedTuple):
    weights: Float[Array, "F K p"]
    offsets: Float[Array, "F K"]


def fit_path(
    features: Float[Array, "F n p"],
    answer: Int[Array, "n"],
    training: Float[Array, "F n"],
    penalties: Float[Array, "L"],
    classes: int,
) -> Float[Array, "F n K"]:
    """Fit classifiers of falling penalty until the held-out likelihood falls, and return the best of them.

    Args:
        features: Features of the samples, of each fold.
        answer: Class of each sample.
        training: 1 where a sample is in the training part of a fold, else 0.
        penalties: Weights of half the squared coefficients, of features in units of their standard deviation, against
            the mean negative log likelihood; the largest first.
        classes: Number of classes.

    Returns:
        Log probabilities of the classes for all samples, by the classifier of each fold.
    """
    path = _prepare(features, answer, training, classes)

    def goes_on(carry: tuple) -> Bool[Array, ""]:
        return (carry[0] < len(penalties)) & carry[1]

    def next_penalty(carry: tuple) -> tuple:
        index, _, at, best, best_score = carry
        at = path.fit(at, penalties[index])
        found = path.predict(at)
        score = held_out_score(found, answer, training)
        is_better = score > best_score
        return (
            index + 1,
            is_better | (index == 0),
            at,
            jnp.where(is_better, found, best),
            jnp.maximum(score, best_score),
        )

    known = path.predict(path.start)
    first = (0, True, path.start, known, held_out_score(known, answer, training))
    return lax.while_loop(goes_on, next_penalty, first)[3]


def predict_along_path(
    features: Float[Array, "F n p"],
    answer: Int[Array, "n"],
    training: Float[Array, "F n"],
    own: Int[Array, "n"],
    penalties: Float[Array, "L"],
    classes: int,
) -> Float[Array, "L n K"]:
    """Return the predictions of each sample by the classifier of one fold (`own`), at all penalties.

    No answer of a sample that is not in the training part of that fold is used; see `fit_path` for the arguments.
    """
    path = _prepare(features, answer, training, classes)

    def next_penalty(at: _Coefficients, penalty: Array) -> tuple[_Coefficients, Float[Array, "n K"]]:
        at = path.fit(at, penalty)
        return at, path.predict(at)[own, jnp.arange(len(answer))]

    return lax.scan(next_penalty, path.start, penalties)[1]


class _Path(NamedTuple):
    """What the fits of all folds share. Samples are on the last axis, over which loops are vectorized.

    Attributes:
        features: Standardized features.
        wanted: 1 for the class of each sample.
        shares: Weight of each sample in its fold's likelihood.
        curvature: Bound of the likelihood's curvature.
        start: The classifier that knows the frequencies only.
    """

    features: Float[Array, "F p n"]
    wanted: Float[Array, "K n"]
    shares: Float[Array, "F 1 n"]
    curvature: Float[Array, "F"]
    start: _Coefficients

    def predict(self, at: _Coefficients) -> Float[Array, "F n K"]:
        """Return the log probabilities of the classes."""
        return jnp.swapaxes(jax.nn.log_softmax(self._logits(at), axis=1), 1, 2)

    def fit(self, at: _Coefficients, penalty: Array) -> _Coefficients:
        """Fit with one penalty by accelerated gradient descent, from other coefficients.

        Source: Nesterov (1983), Sov. Math. Dokl. 27, 372; restarts of O'Donoghue & Candès (2015), Found. Comput. Math.
        15, 715.
        """
        rate = (1 / (self.curvature + penalty))[:, None, None]

        def is_open(carry: tuple) -> Bool[Array, ""]:
            # By strong convexity the objective is at most |slope|² / (2 penalty) above its minimum.
            return (carry[0] < _STEPS) & (carry[1] > 2 * penalty * _CLOSE)

        def step(carry: tuple) -> tuple:
            steps, _, at, before, momentum = carry
            faster = (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2
            share = ((momentum - 1) / faster)[:, None]
            ahead = _Coefficients(
                at.weights + share[:, :, None] * (at.weights - before.weights),
                at.offsets + share * (at.offsets - before.offsets),
            )
            slope = self._gradient(ahead, penalty)
            new = _Coefficients(ahead.weights - rate * slope.weights, ahead.offsets - slope.offsets)
            moved = _Coefficients(new.weights - at.weights, new.offsets - at.offsets)
            momentum = jnp.where(_inner(slope, moved) > 0, 1.0, faster)
            return steps + 1, _inner(slope, slope).max(), new, at, momentum

        ones = jnp.ones_like(self.curvature)
        return lax.while_loop(is_open, step, (0, jnp.full_like(ones[0], jnp.inf), at, at, ones))[2]

    def _logits(self, at: _Coefficients) -> Float[Array, "F K n"]:
        return at.weights @ self.features + at.offsets[:, :, None]

    def _gradient(self, at: _Coefficients, penalty: Array) -> _Coefficients:
        excess = (jax.nn.softmax(self._logits(at), axis=1) - self.wanted) * self.shares
        return _Coefficients(excess @ jnp.swapaxes(self.features, 1, 2) + penalty * at.weights, excess.sum(2))


def _inner(one: _Coefficients, other: _Coefficients) -> Float[Array, "F"]:
    return jnp.sum(one.weights * other.weights, axis=(1, 2)) + jnp.sum(one.offsets * other.offsets, axis=1)


def _prepare(
    features: Float[Array, "F n p"], answer: Int[Array, "n"], training: Float[Array, "F n"], classes: int
) -> _Path:
    """Prepare the classifiers of all folds."""
    count = training.sum(1)[:, None, None]
    weights = training[:, :, None]
    mean = (weights * features).sum(1, keepdims=True) / count
    spread = jnp.sqrt((weights * (features - mean) ** 2).sum(1, keepdims=True) / count)
    features = (features - mean) / jnp.where(spread > _TINY, spread, 1)
    wanted = jax.nn.one_hot(answer, classes, dtype=features.dtype, axis=0)
    zero = jnp.zeros((len(features), classes, features.shape[2]), features.dtype)
    return _Path(
        features=jnp.swapaxes(features, 1, 2),
        wanted=wanted,
        shares=training[:, None] / count,
        curvature=0.5 * _SAFETY * _largest_eigenvalue(features, training),
        start=_Coefficients(zero, jnp.log(jnp.maximum(training @ wanted.T / count[:, 0], _TINY))),
    )


def held_out_score(
    log_probabilities: Float[Array, "F n K"], answer: Int[Array, "n"], training: Float[Array, "F n"]
) -> Float[Array, ""]:
    """Return the mean log probability of the answers under the classifiers that did not see them."""
    found = jnp.take_along_axis(log_probabilities, answer[None, :, None], axis=2)[..., 0]
    return jnp.sum(found * (1 - training)) / jnp.sum(1 - training)


def _largest_eigenvalue(features: Float[Array, "F n p"], training: Float[Array, "F n"]) -> Float[Array, "F"]:
    """Return the largest eigenvalue of the covariance of the training samples of each fold, by power iteration."""
    shares = (training / training.sum(1, keepdims=True))[:, :, None]

    def step(vector: Float[Array, "F p 1"], _: None) -> tuple[Float[Array, "F p 1"], Float[Array, "F"]]:
        image = jnp.swapaxes(features, 1, 2) @ (shares * (features @ vector))
        size = jnp.sqrt(jnp.sum(image**2, axis=(1, 2)))
        return image / jnp.maximum(size, _TINY)[:, None, None], size

    folds, _, width = features.shape
    start = jnp.full((folds, width, 1), width**-0.5, features.dtype)
    return jnp.maximum(lax.scan(step, start, None, length=_POWER_STEPS)[1][-1], 1.0)
