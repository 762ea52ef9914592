"""Fitting the flows of one problem: a step, a stretch of steps between two looks at the held-out samples."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Float

from pid_jax.flow.objective import joint_loss, log_density, marginal_loss, moments, standard_moments
from pid_jax.flow.weights import Architecture, FlowWeights, flow_forward

# The one-cycle schedule: the rate rises over this part of the steps, from this fraction of the peak.
RISING, START_FRACTION, END_FRACTION = 0.3, 1 / 25, 1e-3
# Longer gradients are shortened to this length.
CLIP_NORM = 5.0


@dataclass(frozen=True)
class Training:
    """Everything that shapes the compiled program of a fit.

    Attributes:
        architectures: One for each variable.
        is_joint: Whether the objective is the joint likelihood, or that of each variable alone.
        steps: Steps between two evaluations.
        evaluations: How many there are.
        batch_size: Samples a step.
        learning_rate: Peak of the schedule.
        weight_decay: Decoupled decay.
        input_noise: Standard deviation of the noise added to the coordinates.
    """

    architectures: tuple[Architecture, ...]
    is_joint: bool
    steps: int
    evaluations: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    input_noise: float


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Samples:
    """The samples of a fit.

    Attributes:
        train: For each variable (d, n).
        held_out: For each variable (d, m).
        is_free: For each variable, 1 if its flow is learned, 0 if it stays the identity.
    """

    train: tuple[Array | np.ndarray, ...]
    held_out: tuple[Array | np.ndarray, ...]
    is_free: Array | np.ndarray


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class FitState:
    """Where a fit stands.

    Attributes:
        weights: For each variable, the learned weights.
        optimizer: The state of the optimizer.
        best_loss: Lowest negative log-likelihood of the held-out samples so far, in nats a sample.
        best_density: Log-densities of the held-out samples then (m,), in nats.
        key: Source of randomness for what comes.
    """

    weights: tuple[Any, ...]
    optimizer: Any
    best_loss: Float[Array, ""]
    best_density: Float[Array, "m"]
    key: jax.Array


def start_fit(key: jax.Array, flows: tuple[FlowWeights, ...], samples: Samples, training: Training) -> FitState:
    """Make the state of a fit before its first step.

    Args:
        key: Source of randomness for the steps.
        flows: Weights as drawn, one flow a variable.
        samples: The samples of the fit.
        training: Shape of the program.
    """
    weights = tuple(flow.blocks for flow in flows)
    return FitState(
        weights=weights,
        optimizer=_optimizer(training).init(weights),
        best_loss=jnp.full((), jnp.inf, jnp.float32),
        best_density=jnp.full(samples.held_out[0].shape[-1], -jnp.inf, jnp.float32),
        key=key,
    )


def advance_fit(
    state: FitState, permutations: tuple[Array, ...], samples: Samples, training: Training
) -> tuple[FitState, tuple[Float[Array, ""], Float[Array, ""]]]:
    """Take the steps up to the next evaluation, and evaluate.

    Returns:
        The state, and the negative log-likelihood of held-out and training samples in nats a sample.
    """
    key, for_rows, for_noise = jax.random.split(state.key, 3)
    rows = _batches(for_rows, samples.train[0].shape[-1], training)
    optimizer = _optimizer(training)

    def step(carry: tuple[Any, Any], at: tuple[Array, jax.Array]) -> tuple[tuple[Any, Any], None]:
        weights, optimizer_state = carry
        gradient = jax.grad(_loss)(weights, permutations, samples, *at, training)
        gradient = tuple(
            jax.tree.map(lambda leaf, free=free: free * leaf, one)
            for one, free in zip(gradient, samples.is_free, strict=True)
        )
        update, optimizer_state = optimizer.update(gradient, optimizer_state, weights)
        return (optax.apply_updates(weights, update), optimizer_state), None

    noise_keys = jax.random.split(for_noise, training.steps)
    (weights, optimizer_state), _ = lax.scan(step, (state.weights, state.optimizer), (rows, noise_keys))
    density, train = _evaluate(weights, permutations, samples, training)
    held_out = -density.mean()
    is_better = held_out < state.best_loss
    moved = FitState(
        weights=weights,
        optimizer=optimizer_state,
        best_loss=jnp.where(is_better, held_out, state.best_loss),
        best_density=jnp.where(is_better, density, state.best_density),
        key=key,
    )
    return moved, (held_out, train)


def rejected_steps(state: FitState) -> Array:
    """Count the steps that were left out since their gradient was not finite."""
    return state.optimizer.total_notfinite


def flow_latents(
    weights: tuple[Any, ...],
    permutations: tuple[Array, ...],
    samples: tuple[Array | np.ndarray, ...],
    architectures: tuple[Architecture, ...],
) -> tuple[Float[Array, "D n"], Float[Array, "n"]]:
    """Map the samples of every variable; return the latents of all below each other, and log |det| of the whole.

    Variables of one shape go through one piece of the program, which then takes a third of the time to compile.
    """
    groups: dict[Any, list[int]] = {}
    for place, (x, architecture) in enumerate(zip(samples, architectures, strict=True)):
        groups.setdefault((architecture, x.shape), []).append(place)
    found: dict[int, tuple[Array, Array]] = {}
    for (architecture, _), places in groups.items():
        alike = [(FlowWeights(blocks=weights[i], permutation=permutations[i]), samples[i]) for i in places]
        found |= dict(zip(places, _map_alike(alike, architecture), strict=True))
    ordered = [found[place] for place in range(len(samples))]
    return jnp.concatenate([z for z, _ in ordered]), jnp.stack([log_det for _, log_det in ordered]).sum(axis=0)


def _map_alike(variables: list[tuple[Any, ...]], architecture: Architecture) -> list[tuple[Array, Array]]:
    apply = partial(flow_forward, architecture=architecture)
    if len(variables) == 1:
        return [apply(*variables[0])]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *variables)
    is_cpu = jax.default_backend() == "cpu"
    z, log_det = lax.map(lambda args: apply(*args), stacked) if is_cpu else jax.vmap(apply)(*stacked)
    return [(z[place], log_det[place]) for place in range(len(variables))]


def _evaluate(
    weights: tuple[Any, ...], permutations: tuple[Array, ...], samples: Samples, training: Training
) -> tuple[Float[Array, "m"], Float[Array, ""]]:
    """Compute log-densities of held-out samples and the negative log-likelihood of training samples.

    Both are under the Gaussian with the moments of the training latents.
    """
    count = samples.train[0].shape[-1]
    both = tuple(jnp.concatenate(pair, axis=-1) for pair in zip(samples.train, samples.held_out, strict=True))
    z, log_det = flow_latents(weights, permutations, both, training.architectures)

    def one(z: Array, log_det: Array) -> tuple[Array, Array]:
        mean, cov = (moments if training.is_joint else standard_moments)(z[:count])
        density = log_density(z, log_det, mean, cov)
        return density[count:], -density[:count].mean()

    held_out, train = jax.vmap(one)(z.T[None], log_det[None])
    return held_out[0], train[0]


def _loss(
    weights: tuple[Any, ...],
    permutations: tuple[Array, ...],
    samples: Samples,
    rows: Array,
    key: jax.Array,
    training: Training,
) -> Array:
    batch = tuple(x[..., rows] if rows.shape[0] < x.shape[-1] else x for x in samples.train)
    keys = jax.random.split(key, len(batch))
    batch = tuple(
        x + free * training.input_noise * jax.random.normal(k, x.shape, x.dtype)
        for x, k, free in zip(batch, keys, samples.is_free, strict=True)
    )
    z, log_det = flow_latents(weights, permutations, batch, training.architectures)
    # Mapped over an axis of one: XLA rounds a plain product otherwise, and numbers stay those of earlier versions.
    return jax.vmap(joint_loss if training.is_joint else marginal_loss)(z[None], log_det[None]).mean()


def _batches(key: jax.Array, count: int, training: Training) -> Array:
    """Draw the rows of every step: whole passes through the samples, each in an order of its own."""
    size = min(training.batch_size, count)
    if size == count:
        return jnp.broadcast_to(jnp.arange(count), (training.steps, count))
    passes = -(-training.steps // (count // size))
    orders = jax.vmap(lambda k: jax.random.permutation(k, count))(jax.random.split(key, passes))
    return orders[:, : count // size * size].reshape(-1, size)[: training.steps]


def _optimizer(training: Training) -> optax.GradientTransformation:
    schedule = optax.cosine_onecycle_schedule(
        training.steps * training.evaluations,
        training.learning_rate,
        pct_start=RISING,
        div_factor=1 / START_FRACTION,
        final_div_factor=1 / END_FRACTION,
    )
    chained = optax.chain(
        optax.clip_by_global_norm(CLIP_NORM), optax.adamw(schedule, weight_decay=training.weight_decay)
    )
    return optax.apply_if_finite(optax.flatten(chained), max_consecutive_errors=training.steps * training.evaluations)
