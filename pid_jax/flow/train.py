"""Fitting the flows of one problem: a step, a stretch of steps, and how likely the samples are after it."""

from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.flatten_util import ravel_pytree
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
        every: For each variable (d, n + m), the samples held out behind those for training.
        is_free: For each variable, 1 if its flow is learned, 0 if it stays the identity.
    """

    train: tuple[Array | np.ndarray, ...]
    every: tuple[Array | np.ndarray, ...]
    is_free: Array | np.ndarray


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class FitState:
    """Where a fit stands.

    Attributes:
        weights: For each variable, the learned weights.
        optimizer: The state of the optimizer, for all weights as one vector.
        key: Source of randomness for what comes.
    """

    weights: tuple[Any, ...]
    optimizer: Any
    key: jax.Array


def start_fit(key: jax.Array, flows: tuple[FlowWeights, ...], training: Training) -> FitState:
    """Make the state of a fit before its first step.

    Args:
        key: Source of randomness for the steps.
        flows: Weights as drawn, one flow a variable.
        training: Shape of the program.
    """
    weights = tuple(flow.blocks for flow in flows)
    return FitState(weights=weights, optimizer=_optimizer(training).init(ravel_pytree(weights)[0]), key=key)


def advance_fit(state: FitState, permutations: tuple[Array, ...], samples: Samples, training: Training) -> FitState:
    """Take the steps up to the next evaluation."""
    key, for_rows, for_noise = jax.random.split(state.key, 3)
    joined = jnp.concatenate(samples.train)
    dims = np.array([x.shape[0] for x in samples.train])
    noise = training.input_noise * jnp.repeat(jnp.asarray(samples.is_free), dims, total_repeat_length=dims.sum())
    flat, unravel = ravel_pytree(state.weights)
    free = zip(state.weights, samples.is_free, strict=True)
    is_free, _ = ravel_pytree([jax.tree.map(partial(jnp.full_like, fill_value=one), leaves) for leaves, one in free])
    optimizer = _optimizer(training)

    def loss(flat: Array, rows: Array, key: jax.Array) -> Array:
        batch = joined[:, rows] if rows.shape[0] < joined.shape[1] else joined
        batch += noise[:, None] * jax.random.normal(key, batch.shape, batch.dtype)
        parts = tuple(jnp.split(batch, np.cumsum(dims)[:-1]))
        z, log_det = flow_latents(unravel(flat), permutations, parts, training.architectures)
        return (joint_loss if training.is_joint else marginal_loss)(z, log_det)

    def step(carry: tuple[Array, Any], at: tuple[Array, jax.Array]) -> tuple[tuple[Array, Any], None]:
        flat, optimizer_state = carry
        update, optimizer_state = optimizer.update(is_free * jax.grad(loss)(flat, *at), optimizer_state, flat)
        return (cast(Array, optax.apply_updates(flat, update)), optimizer_state), None

    rows = _batches(for_rows, joined.shape[1], training)
    noise_keys = jax.random.split(for_noise, training.steps)
    (flat, optimizer_state), _ = lax.scan(step, (flat, state.optimizer), (rows, noise_keys))
    return FitState(weights=unravel(flat), optimizer=optimizer_state, key=key)


def score_latents(
    latents: tuple[Float[Array, "d n"], ...], log_dets: tuple[Float[Array, "n"], ...], count: int, is_joint: bool
) -> tuple[Float[Array, "m"], Float[Array, ""]]:
    """Compute how likely samples are under the Gaussian with the moments of the training latents.

    Args:
        latents: Of each variable, the training samples first.
        log_dets: Log |det| of each map.
        count: Number of training samples.
        is_joint: See `Training`; a standard normal instead if not.

    Returns:
        Log-densities of the held-out samples in nats, and the negative log-likelihood of the others in nats a sample.
    """
    z, log_det = jnp.concatenate(latents).T, jnp.stack(log_dets).sum(axis=0)
    mean, cov = (moments if is_joint else standard_moments)(z[:count])
    density = log_density(z, log_det, mean, cov)
    return density[count:], -density[:count].mean()


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
    return optax.apply_if_finite(chained, max_consecutive_errors=training.steps * training.evaluations)
