"""Networks with one hidden layer, whose mean is the classifier of all folds, by Flax and Optax."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Float, Int

from pid_jax.categorical.logistic import held_out_score
from pid_jax.settings.categorical import NetworkClassifier

_CHECKS = 20  # of the held-out likelihood during training
_TINY = 1e-9


class _Network(nn.Module):
    """A hidden layer of rectified units between the features and the logits of the classes.

    Attributes:
        hidden: Units.
        classes: Number of classes.
    """

    hidden: int
    classes: int

    @nn.compact
    def __call__(self, features: Float[Array, "n p"]) -> Float[Array, "n K"]:
        hidden = nn.relu(nn.Dense(self.hidden, kernel_init=nn.initializers.he_normal())(features))
        small = nn.initializers.variance_scaling(0.01, "fan_in", "normal")
        return nn.Dense(self.classes, kernel_init=small)(hidden)


class Start(NamedTuple):
    """Random numbers that the networks of all problems and folds share.

    Attributes:
        parameters: First parameters of every member.
        draws: Training samples of every step, as positions among those of a fold (checks, members, steps, batch).
    """

    parameters: dict[str, Any]
    draws: np.ndarray


def draw_start(spec: NetworkClassifier, width: int, classes: int, fewest: int, key: jax.Array) -> Start:
    """Draw first parameters and batches.

    Args:
        spec: Size of the network and of its training.
        width: Number of features.
        classes: Number of classes.
        fewest: Training samples that every fold has.
        key: A JAX random key.
    """
    network, none = _Network(spec.hidden, classes), np.zeros((1, width), np.float32)
    parameters = jax.vmap(lambda one: network.init(one, none))(jax.random.split(key, spec.members))
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    steps = max(spec.fewest_steps, spec.epochs * fewest / spec.batch)
    shape = (_CHECKS, spec.members, math.ceil(steps / _CHECKS), spec.batch)
    return Start(jax.tree.map(np.asarray, parameters), rng.integers(0, fewest, shape, np.int32))


def training_rows(training: np.ndarray) -> np.ndarray:
    """Return the rows of the training samples of every fold (..., m), as many as every fold has."""
    fewest = int(training.sum(axis=-1).min())
    return np.argsort(-training, axis=-1, kind="stable")[..., :fewest].astype(np.int32)


def fit_networks(
    features: Float[Array, "F n p"],
    answer: Int[Array, "n"],
    training: Float[Array, "F n"],
    rows: Int[Array, "F m"],
    start: Start,
    spec: NetworkClassifier,
    classes: int,
) -> Float[Array, "F n K"]:
    """Train networks for each fold, and return the log probabilities at the step with the best held-out likelihood.

    Args:
        features: Features of the samples, of each fold.
        answer: Class of each sample.
        training: 1 where a sample is in the training part of a fold, else 0.
        rows: Rows of training samples, see `training_rows`.
        start: First parameters and batches.
        spec: Size of the network and of its training.
        classes: Number of classes.

    Returns:
        Log probabilities of the classes for all samples, by the networks of each fold.
    """
    training_of = _prepare(features, answer, training, rows, start, spec, classes)

    def check(carry: tuple, draws: Int[Array, "m s b"]) -> tuple:
        networks, best, best_score = carry
        networks, found = training_of.advance(networks, draws)
        score = held_out_score(found, answer, training)
        return (networks, jnp.where(score > best_score, found, best), jnp.maximum(score, best_score)), None

    nothing = jnp.zeros((*features.shape[:2], classes), features.dtype)
    first = (training_of.first, nothing, jnp.asarray(-jnp.inf, features.dtype))
    return lax.scan(check, first, jnp.asarray(start.draws))[0][1]


def predict_during_training(
    features: Float[Array, "F n p"],
    answer: Int[Array, "n"],
    training: Float[Array, "F n"],
    rows: Int[Array, "F m"],
    own: Int[Array, "n"],
    start: Start,
    spec: NetworkClassifier,
    classes: int,
) -> Float[Array, "C n K"]:
    """Return the predictions of each sample by the networks of one fold (`own`), at all checks of its training.

    No answer of a sample that is not in the training part of that fold is used; see `fit_networks` for the arguments.
    """
    training_of = _prepare(features, answer, training, rows, start, spec, classes)

    def check(networks: tuple, draws: Int[Array, "m s b"]) -> tuple[tuple, Float[Array, "n K"]]:
        networks, found = training_of.advance(networks, draws)
        return networks, found[own, jnp.arange(len(answer))]

    return lax.scan(check, training_of.first, jnp.asarray(start.draws))[1]


class _Training(NamedTuple):
    """The first networks of all folds, and what trains them from one check to the next and predicts."""

    first: tuple
    advance: Callable[[tuple, Array], tuple[tuple, Array]]


def _prepare(
    features: Float[Array, "F n p"],
    answer: Int[Array, "n"],
    training: Float[Array, "F n"],
    rows: Int[Array, "F m"],
    start: Start,
    spec: NetworkClassifier,
    classes: int,
) -> _Training:
    """Prepare the networks of all folds."""
    network = _Network(spec.hidden, classes)
    checks, members, steps, _ = start.draws.shape
    optimizer = optax.adamw(
        optax.cosine_decay_schedule(spec.learning_rate, checks * steps),
        weight_decay=spec.weight_decay,
        mask=lambda parameters: jax.tree.map(lambda x: x.ndim > 1, parameters),
    )
    shares = training @ jax.nn.one_hot(answer, classes, dtype=features.dtype) / training.sum(axis=1, keepdims=True)

    def begin(layers: dict, shares: Float[Array, "K"]) -> tuple:
        last = layers["Dense_1"] | {"bias": jnp.log(jnp.maximum(shares, _TINY))}
        parameters = {"params": layers | {"Dense_1": last}}
        return parameters, optimizer.init(parameters)

    def train(carry: tuple, features: Float[Array, "n p"], rows: Int[Array, "m"], draws: Int[Array, "s b"]) -> tuple:
        def loss(parameters: dict, chosen: Int[Array, "b"]) -> Float[Array, ""]:
            logits: Any = network.apply(parameters, features[chosen])
            return optax.softmax_cross_entropy_with_integer_labels(logits, answer[chosen]).mean()

        def step(carry: tuple, drawn: Int[Array, "b"]) -> tuple:
            parameters, state = carry
            updates, state = optimizer.update(jax.grad(loss)(parameters, rows[drawn]), state, parameters)
            return (optax.apply_updates(parameters, updates), state), None

        carry = lax.scan(step, carry, draws)[0]
        logits: Any = network.apply(carry[0], features)
        return carry, jax.nn.log_softmax(logits)

    def advance(networks: tuple, draws: Int[Array, "m s b"]) -> tuple[tuple, Float[Array, "F n K"]]:
        of_folds = jax.vmap(train, in_axes=(0, 0, 0, None))
        networks, found = jax.vmap(of_folds, in_axes=(0, None, None, 0))(networks, features, rows, draws)
        return networks, jax.nn.logsumexp(found, axis=0) - math.log(members)

    of_folds = jax.vmap(begin, in_axes=(None, 0))
    return _Training(jax.vmap(of_folds, in_axes=(0, None))(start.parameters["params"], shares), advance)
