"""The loops around the compiled steps of a fit, problem by problem or in batches of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array

from pid_jax.flow.train import FitState, Samples, Training, advance_fit, rejected_steps, score_latents, start_fit
from pid_jax.flow.weights import Architecture, FlowWeights, flow_forward, init_weights, run_forward
from pid_jax.runtime.devices import (
    current_layout,
    in_parts,
    in_threads,
    is_on_cpu,
    mesh_of,
    one_each,
    over_devices,
    part_size,
    place_batches,
)
from pid_jax.runtime.precision import single_precision
from pid_jax.runtime.progress import Progress, StepCounter

# How a function of one problem becomes one of a batch: `jax.vmap` or `one_each`.
Map = Callable[[Callable[..., Any]], Callable[..., Any]]
# Single-precision numbers kept per unit and coordinate: of a sample in a step, for the gradient, and in an evaluation.
IN_STEP, IN_EVALUATION = 8, 3
# The weights, their gradient, the two moments of the optimizer, and copies on the way.
OF_WEIGHTS = 8
# All samples, those for training once more, and their latents.
OF_SAMPLES = 4
BYTES = 4
# XLA keeps to vectors of 256 bits otherwise; a step then takes a third longer where a core has wider ones.
ON_CPU = {"xla_cpu_prefer_vector_width": 512}


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What a fit leaves, as NumPy arrays.

    Attributes:
        weights: Of each variable, one flow a problem on the leading axis.
        train: Negative log-likelihood of the training samples (problems, evaluations).
        held_out: The same of the held-out samples.
        density: Log-densities of the held-out samples at the best evaluation (problems, m), in nats.
        rejected: Steps left out in each problem.
    """

    weights: tuple[FlowWeights, ...]
    train: np.ndarray
    held_out: np.ndarray
    density: np.ndarray
    rejected: np.ndarray


def fit_separately(
    scores: Sequence[np.ndarray],
    is_free: np.ndarray,
    is_held_out: np.ndarray,
    training: Training,
    key: jax.Array,
    progress: Progress,
) -> Fitted:
    """Fit the flows of every problem by themselves.

    On a CPU one after another by the same compiled program, in as many threads as there are cores, or one on each
    device if there are several: the numbers are the same for any batch and any number of devices. On others in batches,
    each mapped by one program and divided among all devices. All have the same key, so that one does not depend on
    which others there are.

    Args:
        scores: Of each variable (problems or 1, n, d), in single precision.
        is_free: Whether the flow of a variable is learned (problems, variables).
        is_held_out: Samples held out (n,).
        training: Shape of the program.
        key: A JAX random key.
        progress: Called with the evaluations done and all there can be.
    """
    count, layout = max(len(x) for x in scores), current_layout()
    report = StepCounter(progress, count * training.evaluations)
    devices = layout.devices
    is_cpu = is_on_cpu(devices)
    start = partial(_run, key, training=training, report=report)

    def run_one(place: int) -> Fitted:
        chosen = [x[place if len(x) > 1 else 0] for x in scores]
        fitted = start(_samples(chosen, is_held_out, is_free[place]))
        return jax.tree.map(lambda leaf: leaf[None], fitted)

    def run_batch(first: int, size: int) -> Fitted:
        rows = np.minimum(np.arange(first, first + size), count - 1)  # the last batch is filled up
        chosen = [x[rows] if len(x) > 1 else np.broadcast_to(x, (size, *x.shape[1:])) for x in scores]
        own = min(size, count - first)
        options: dict[str, Any] = {"mapped": one_each if is_cpu else jax.vmap, "mesh": mesh_of(size, layout)}
        fitted = start(_samples(chosen, is_held_out, is_free[rows]), batch=own, **options)
        return jax.tree.map(lambda leaf: leaf[:own], fitted)

    if is_cpu and len(devices) == 1:
        batches = in_threads(run_one, range(count))
    else:
        most = part_size(count, memory_of_fit(training, len(is_held_out)), layout)
        batches = in_parts(run_batch, count, min(most, len(devices)) if is_cpu else most, layout)
    return jax.tree.map(lambda *parts: np.concatenate(parts), *batches)


def memory_of_fit(training: Training, samples: int) -> float:
    """Estimate the bytes of one fit on an accelerator, from above.

    The figures hold for programs compiled with jax 0.9 (tests/pid_jax/runtime/test_layout.py compares).

    Args:
        training: Shape of the program.
        samples: All samples, those held out among them.
    """
    in_step = min(training.batch_size, samples)
    kept, step, evaluation = 0, 0, 0
    for one in training.architectures:
        units, weights = one.width + one.dim, 3 * one.couplings * one.width * one.dim
        kept += OF_WEIGHTS * weights + OF_SAMPLES * one.dim * samples
        step += IN_STEP * units * one.couplings * in_step
        evaluation = max(evaluation, IN_EVALUATION * units * samples)  # one variable after the other
    return float(BYTES * (kept + max(step, evaluation)))


def _run(
    key: jax.Array,
    samples: Samples,
    training: Training,
    report: StepCounter,
    batch: int | None = None,
    mapped: Map = jax.vmap,
    mesh: Mesh | None = None,
) -> Fitted:
    """Take a fit, or a batch of them divided among devices, from start to end."""
    with single_precision():
        samples = jax.tree.map(jnp.asarray, samples) if mesh is None else place_batches(samples, mesh)
        for_steps, *for_flows = jax.random.split(key, len(training.architectures) + 1)
        flows = tuple(_init(k, a) for k, a in zip(for_flows, training.architectures, strict=True))
        permutations = tuple(flow.permutation for flow in flows)
        advance, forward, score, state = _advance, run_forward, _score, _start(for_steps, flows, training)
        if batch is not None:
            programs = _advance_on_cpu if mapped is one_each else _advance_batch, _forward_batch, _score_batch
            advance, forward, score = (partial(f, mapped=mapped, mesh=mesh) for f in programs)
            state = _repeat(state, len(samples.is_free))
            state = state if mesh is None else place_batches(state, mesh)
        evaluations = []
        for _ in range(training.evaluations):
            state = advance(state, permutations, samples, training)
            each = zip(_weights(state, permutations), samples.every, training.architectures, strict=True)
            latents, log_dets = zip(*(forward(*one) for one in each), strict=True)
            density, train = score(latents, log_dets, samples.train[0].shape[-1], training.is_joint)
            evaluations.append((np.asarray(density), np.asarray(train)))
            report.advance(batch or 1)
        return _finish(state, permutations, *map(np.stack, zip(*evaluations, strict=True)))


def _weights(state: FitState, permutations: tuple[Array, ...]) -> tuple[FlowWeights, ...]:
    pairs = zip(state.weights, permutations, strict=True)
    return tuple(FlowWeights(blocks=blocks, permutation=order) for blocks, order in pairs)


def _finish(state: FitState, permutations: tuple[Array, ...], densities: np.ndarray, train: np.ndarray) -> Fitted:
    """Collect what a fit leaves; the leading axis of `densities` and `train` are the evaluations."""
    held_out = -densities.mean(axis=-1)
    is_known = ~np.isnan(held_out)
    densities = np.where(is_known[..., None], densities, -np.inf)
    best = np.where(is_known, held_out, np.inf).argmin(axis=0)
    weights = tuple(
        FlowWeights(
            blocks=jax.tree.map(np.asarray, one.blocks),
            permutation=np.broadcast_to(np.asarray(one.permutation), (*best.shape, *one.permutation.shape)),
        )
        for one in _weights(state, permutations)
    )
    return Fitted(
        weights=weights,
        train=np.moveaxis(train, 0, -1),
        held_out=np.moveaxis(held_out, 0, -1),
        density=np.take_along_axis(densities, best[None, ..., None], axis=0)[0],
        rejected=np.asarray(rejected_steps(state)),
    )


def _samples(scores: Sequence[np.ndarray], is_held_out: np.ndarray, is_free: np.ndarray) -> Samples:
    """Divide samples (..., n, d) into what is fitted and what is held out, with samples on the last axis."""
    columns = [x.swapaxes(-1, -2) for x in scores]
    return Samples(
        train=tuple(x[..., ~is_held_out] for x in columns),
        every=tuple(np.concatenate([x[..., ~is_held_out], x[..., is_held_out]], axis=-1) for x in columns),
        is_free=is_free.astype(np.float32),
    )


_init = jax.jit(init_weights, static_argnums=1)
_start = jax.jit(start_fit, static_argnums=2)
_advance = jax.jit(advance_fit, static_argnums=3, compiler_options=ON_CPU)
_score = jax.jit(score_latents, static_argnums=(2, 3))


@partial(jax.jit, static_argnums=1)
def _repeat(state: FitState, size: int) -> FitState:
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (size, *leaf.shape)), state)


def _advance_each(
    state: FitState,
    permutations: tuple[Array, ...],
    samples: Samples,
    training: Training,
    *,
    mapped: Map,
    mesh: Mesh | None,
) -> FitState:
    advance = mapped(lambda state, samples: advance_fit(state, permutations, samples, training))
    return over_devices(advance, mesh)(state, samples)


def _forward_each(
    weights: FlowWeights, x: Array, architecture: Architecture, *, mapped: Map, mesh: Mesh | None
) -> tuple[Array, Array]:
    def forward(blocks: Any, x: Array) -> tuple[Array, Array]:
        return flow_forward(FlowWeights(blocks=blocks, permutation=weights.permutation), x, architecture)

    return over_devices(mapped(forward), mesh)(weights.blocks, x)


def _score_each(
    latents: tuple[Array, ...],
    log_dets: tuple[Array, ...],
    count: int,
    is_joint: bool,
    *,
    mapped: Map,
    mesh: Mesh | None,
) -> tuple[Array, Array]:
    score = mapped(lambda latents, log_dets: score_latents(latents, log_dets, count, is_joint))
    return over_devices(score, mesh)(latents, log_dets)


_of_batches = ("mapped", "mesh")
_advance_batch = jax.jit(_advance_each, static_argnames=("training", *_of_batches))
_advance_on_cpu = jax.jit(_advance_each, static_argnames=("training", *_of_batches), compiler_options=ON_CPU)
_forward_batch = jax.jit(_forward_each, static_argnames=("architecture", *_of_batches))
_score_batch = jax.jit(_score_each, static_argnames=("count", "is_joint", *_of_batches))
