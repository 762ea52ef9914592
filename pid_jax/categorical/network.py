"""A network with one hidden layer as the classifier of all folds, by Flax and Optax."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float, Int

from pid_jax.categorical.logistic import held_out_score
from pid_jax.settings.categorical import NetworkClassifier

_CHECKS = 20  # of the held-out likelihood during training
_TINY = 1e-9


class _Network(nn.Module):
    """A hidden layer of rectified units between the features and the log probabilities of the classes.

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


def fit_networks(
    features: Float[Array, "F n p"],
    answer: Int[Array, "n"],
    training: Float[Array, "F n"],
    spec: NetworkClassifier,
    classes: int,
    key: jax.Array,
) -> Float[Array, "F n K"]:
    """Train a network for each fold, and return the log probabilities at the step with the best held-out likelihood.

    Args:
        features: What each fold sees of the samples.
        answer: Class of each sample.
        training: 1 where a sample is in the training part of a fold, else 0.
        spec: Size of the network and of its training.
        classes: Number of classes.
        key: A JAX random key.

    Returns:
        Log probabilities of the classes for all samples, by the network of each fold.
    """
    network = _Network(spec.hidden, classes)
    every = -(-spec.steps // _CHECKS)
    optimizer = optax.adamw(
        optax.cosine_decay_schedule(spec.learning_rate, _CHECKS * every),
        weight_decay=spec.weight_decay,
        mask=lambda parameters: jax.tree.map(lambda x: x.ndim > 1, parameters),
    )

    def start(features: Float[Array, "n p"], own: Float[Array, "n"], key: jax.Array) -> tuple:
        parameters = network.init(key, features[:1])
        frequencies = own @ jax.nn.one_hot(answer, classes, dtype=features.dtype) / own.sum()
        last = parameters["params"]["Dense_1"] | {"bias": jnp.log(jnp.maximum(frequencies, _TINY))}
        parameters = {"params": parameters["params"] | {"Dense_1": last}}
        return parameters, optimizer.init(parameters)

    def train(carry: tuple, features: Float[Array, "n p"], own: Float[Array, "n"], key: jax.Array) -> tuple:
        rows = jnp.argsort(-own)  # training samples first

        def loss(parameters: dict, chosen: Int[Array, "b"]) -> Float[Array, ""]:
            logits = network.apply(parameters, features[chosen])
            return optax.softmax_cross_entropy_with_integer_labels(logits, answer[chosen]).mean()

        def step(carry: tuple, key: jax.Array) -> tuple:
            parameters, state = carry
            chosen = rows[jax.random.randint(key, (spec.batch,), 0, own.sum().astype(int))]
            updates, state = optimizer.update(jax.grad(loss)(parameters, chosen), state, parameters)
            return (optax.apply_updates(parameters, updates), state), None

        carry = lax.scan(step, carry, jax.random.split(key, every))[0]
        return carry, jax.nn.log_softmax(network.apply(carry[0], features))

    def check(carry: tuple, key: jax.Array) -> tuple:
        networks, best, best_score = carry
        keys = jax.random.split(key, len(features))
        networks, found = jax.vmap(train)(networks, features, training, keys)
        score = held_out_score(found, answer, training)
        return (networks, jnp.where(score > best_score, found, best), jnp.maximum(score, best_score)), None

    for_start, for_steps = jax.random.split(key)
    networks = jax.vmap(start)(features, training, jax.random.split(for_start, len(features)))
    nothing = jnp.zeros((*features.shape[:2], classes), features.dtype)
    first = (networks, nothing, jnp.asarray(-jnp.inf, features.dtype))
    return lax.scan(check, first, jax.random.split(for_steps, _CHECKS))[0][1]
