"""The loops around the compiled steps of a fit: problem by problem, or all problems as one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array

from pid_jax.flow.memory import memory_of_fit
from pid_jax.flow.similarity import layer_coordinates
from pid_jax.flow.train import FitState, Samples, Training, advance_fit, rejected_steps, start_fit
from pid_jax.flow.weights import FlowWeights, init_weights
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


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What a fit leaves, as NumPy arrays.

    Attributes:
        weights: Of each variable, one flow a problem on the leading axis, or one for all.
        train: Negative log-likelihood of the training samples (problems, evaluations); NaN where there was none.
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
    batch: int | None,
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
        batch: Problems of a batch where there are batches; None for as many as fit into the memory of the layout.
        key: A JAX random key.
        progress: Called with the evaluations done and all there can be.
    """
    count, layout = max(len(x) for x in scores), current_layout()
    report = StepCounter(progress, count * training.evaluations)
    devices = layout.devices
    is_cpu = is_on_cpu(devices)
    start = partial(_run, key, training=training, report=report)

    def run_one(place: int) -> Fitted:
        mixing = tuple(np.ones((1, 1), np.float32) for _ in scores)
        chosen = [x[[place]] if len(x) > 1 else x for x in scores]
        samples = _samples(chosen, is_held_out, mixing, is_free[place])
        return _with_axis(start(samples))

    def run_batch(first: int, size: int) -> Fitted:
        rows = np.minimum(np.arange(first, first + size), count - 1)  # the last batch is filled up
        chosen = [x[rows] if len(x) > 1 else np.broadcast_to(x, (size, *x.shape[1:])) for x in scores]
        mixing = tuple(np.ones((size, 1, 1), np.float32) for _ in scores)
        samples = _samples([x[:, None] for x in chosen], is_held_out, mixing, is_free[rows])
        own = min(size, count - first)
        fitted = start(samples, batch=own, mapped=one_each if is_cpu else jax.vmap, mesh=mesh_of(size, layout))
        return jax.tree.map(lambda leaf: leaf[:own], fitted)

    if is_cpu and len(devices) == 1:
        batches = in_threads(run_one, range(count))
    else:
        most = part_size(min(batch or count, count), memory_of_fit(training, len(is_held_out)), layout)
        batches = in_parts(run_batch, count, min(most, len(devices)) if is_cpu else most, layout)
    return jax.tree.map(lambda *parts: np.concatenate(parts), *batches)


def _with_axis(fitted: Fitted) -> Fitted:
    """Give what has no axis of problems one of length one; weights have one, of the parts that they add up from."""
    return Fitted(
        weights=tuple(FlowWeights(blocks=w.blocks, permutation=w.permutation[None]) for w in fitted.weights),
        train=fitted.train[None],
        held_out=fitted.held_out[None],
        density=fitted.density,
        rejected=fitted.rejected[None],
    )


def fit_together(
    scores: Sequence[np.ndarray],
    is_free: np.ndarray,
    is_held_out: np.ndarray,
    training: Training,
    key: jax.Array,
    progress: Progress,
) -> Fitted:
    """Fit the flows of all problems as one, with weights that vary along coordinates found from the samples.

    Args:
        scores: Of each variable (problems or 1, n, d), in single precision.
        is_free: Whether the flow of a variable is learned (problems, variables).
        is_held_out: Samples held out (n,).
        training: Shape of the program.
        key: A JAX random key.
        progress: Called with the evaluations done and all there can be.
    """
    along = [layer_coordinates(x, 1) if len(x) > 1 else np.zeros((1, 0)) for x in scores]
    count = max(len(x) for x in scores)
    places = next((c[:, 0] for c in along if len(c) > 1), np.zeros(1))
    order = np.argsort(places, kind="stable")  # sums over problems do not depend on the order they came in
    sort = partial(_sort, order=order)
    mixing = tuple(sort(np.concatenate([np.ones((len(c), 1)), c], axis=1).astype(np.float32)) for c in along)
    samples = _samples([sort(x) for x in scores], is_held_out, mixing, np.asarray(is_free.all(axis=0)))
    fitted = _run(key, samples, training, StepCounter(progress, training.evaluations))
    mixed = tuple(
        FlowWeights(
            blocks=jax.tree.map(lambda leaf, c=c: np.tensordot(c, leaf, axes=1), flow.blocks),
            permutation=np.broadcast_to(flow.permutation, (len(c), *flow.permutation.shape)),
        )
        for flow, c in zip(fitted.weights, mixing, strict=True)
    )
    back = np.argsort(order)
    curves = {"train": fitted.train, "held_out": fitted.held_out}
    return Fitted(
        weights=jax.tree.map(lambda leaf: leaf[back] if len(leaf) == count else leaf, mixed),
        density=fitted.density[back],
        rejected=np.broadcast_to(fitted.rejected, count),
        **{name: np.broadcast_to(curve, (count, training.evaluations)) for name, curve in curves.items()},
    )


def _sort(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    return values[order] if len(values) > 1 else values


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
        is_mapped = batch is not None
        samples = jax.tree.map(jnp.asarray, samples) if mesh is None else place_batches(samples, mesh)
        for_steps, *for_flows = jax.random.split(key, len(training.architectures) + 1)
        flows = tuple(_init(k, a) for k, a in zip(for_flows, training.architectures, strict=True))
        permutations = tuple(flow.permutation for flow in flows)
        start, advance = _start, _advance
        if is_mapped:
            start, advance = (partial(f, mapped=mapped, mesh=mesh) for f in (_start_batch, _advance_batch))
        state = start(for_steps, flows, samples, training)
        curves, waited = [], np.zeros(())
        while len(curves) < training.evaluations and (waited < training.patience).any():
            state, losses = advance(state, permutations, samples, training)
            lasting = np.where(waited < training.patience, np.stack([np.asarray(x) for x in losses]), np.nan)
            curves.append(lasting)
            waited = np.asarray(state.waited)
            report.advance(batch or 1)
        report.advance((batch or 1) * (training.evaluations - len(curves)))
        return _finish(state, permutations, np.stack(curves, axis=-1), training, is_mapped)


def _finish(
    state: FitState, permutations: tuple[Array, ...], curves: np.ndarray, training: Training, is_mapped: bool
) -> Fitted:
    padding = np.full((*curves.shape[:-1], training.evaluations - curves.shape[-1]), np.nan, curves.dtype)
    held_out, train = np.concatenate([curves, padding], axis=-1)
    kept = state.best if training.keep_best else state.weights
    take_part = (lambda leaf: np.asarray(leaf)[:, 0]) if is_mapped else np.asarray
    lead = curves.shape[1:-1]
    weights = tuple(
        FlowWeights(
            blocks=jax.tree.map(take_part, blocks),
            permutation=np.broadcast_to(np.asarray(order), (*lead, *order.shape)),
        )
        for blocks, order in zip(kept, permutations, strict=True)
    )
    return Fitted(
        weights=weights,
        train=train,
        held_out=held_out,
        density=take_part(state.best_density),
        rejected=np.asarray(rejected_steps(state)),
    )


def _samples(
    scores: Sequence[np.ndarray], is_held_out: np.ndarray, mixing: tuple[np.ndarray, ...], is_free: np.ndarray
) -> Samples:
    """Divide samples (..., n, d) into what is fitted and what is held out, with samples on the last axis."""
    columns = [x.swapaxes(-1, -2) for x in scores]
    return Samples(
        train=tuple(x[..., ~is_held_out] for x in columns),
        held_out=tuple(x[..., is_held_out] for x in columns),
        mixing=mixing,
        is_free=is_free.astype(np.float32),
    )


_init = jax.jit(init_weights, static_argnums=1)
_start = jax.jit(start_fit, static_argnums=3)
_advance = jax.jit(advance_fit, static_argnums=3)


@partial(jax.jit, static_argnames=("training", "mapped", "mesh"))
def _start_batch(
    key: jax.Array,
    flows: tuple[FlowWeights, ...],
    samples: Samples,
    training: Training,
    *,
    mapped: Map,
    mesh: Mesh | None,
) -> FitState:
    return over_devices(mapped(lambda one: start_fit(key, flows, one, training)), mesh)(samples)


@partial(jax.jit, static_argnames=("training", "mapped", "mesh"))
def _advance_batch(
    state: FitState,
    permutations: tuple[Array, ...],
    samples: Samples,
    training: Training,
    *,
    mapped: Map,
    mesh: Mesh | None,
) -> tuple[FitState, tuple[Array, Array]]:
    advance = mapped(lambda state, samples: advance_fit(state, permutations, samples, training))
    return over_devices(advance, mesh)(state, samples)
