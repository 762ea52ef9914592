"""From states on disk to their scores: one layer of one store in memory at a time, one basis for all conditions."""

import dataclasses
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from pid_jax.reduce.pca import Basis, Reduced, project
from pid_jax.reduce.prepare import SinglePrecision
from pid_jax.reduce.solve import fit_reduction, is_exact
from pid_jax.runtime.precision import double_precision
from pid_jax.runtime.processes import ALONE, Processes
from pid_jax.runtime.threads import one_blas_thread
from pid_jax.settings.estimate import PCA, Reduction, is_pca
from pid_jax.store import Activations

# All components that are no rounding noise, rotated also where there are no more columns than components.
ALL_VARIANCE = float(np.nextafter(1, 0))
Read = Callable[[Activations, int | str], np.ndarray]
# Where more of the samples of a task are not finite, the states are wrong, not the samples.
MOST_LOST = 0.5


class LostSamplesError(ValueError):
    """Some samples have states that are not finite, and have to be left out of all layers and conditions.

    Attributes:
        samples: By id, where their states are not finite.
        model: Name of the model, "" where it is not known yet.
    """

    def __init__(self, samples: Mapping[str, str], model: str = "") -> None:
        self.samples, self.model = dict(samples), model
        first, where = next(iter(self.samples.items()))
        more = f" and {len(samples) - 1} more" if len(samples) > 1 else ""
        named = f"model {model!r}: " if model else ""
        super().__init__(f"{named}sample {first!r}{more} left out: NaN or infinite states in {where}")


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One variable of one task and condition in every layer.

    Attributes:
        values: Scores (layer, n, d) in float64; columns without variance are exactly zero.
        rounding: What rounding can have done to them (layer, n), zero where they are the states themselves.
        explained_variance: Fraction of the variance of these states that they keep, for each layer.
        angle: Bound on the angle between the basis and the exact components in radians, for each layer.
        needed: Components that hold the fraction of the variance of the baseline that was asked for, for each layer;
            all where none was.
    """

    values: np.ndarray
    rounding: np.ndarray
    explained_variance: np.ndarray
    angle: np.ndarray
    needed: np.ndarray


def read_scores(
    stores: Sequence[Activations],
    rows: Mapping[str, Sequence[np.ndarray]],
    *,
    name: str,
    layers: Sequence[int | str],
    read: Read,
    reduction: Reduction,
    dim: int | None,
    key: jax.Array,
    processes: Processes = ALONE,
) -> dict[str, list[Scores | str]]:
    """Reduce one variable: components of the first store, task by task and layer by layer, for all stores.

    Where a fraction of the variance is asked for, all layers of a task keep as many components as the layer that needs
    most: layers stay comparable, and of one shape.

    Args:
        stores: The baseline, which the components are fitted on, then the others.
        rows: Rows of every store, by task.
        name: What the variable is called, such as its token group; with task and layer it decides what is drawn.
        layers: Layers, each read once from every store.
        read: Reads the states (n, p) of a store at a layer.
        reduction: `PCA`, or `NoReduction` to keep the states as they are, which then all stay in memory.
        dim: Components wanted; None without a reduction.
        key: A JAX random key; what a task and layer draw does not depend on the other tasks and layers.
        processes: Those that share the layers. Each reads its own, and all return the scores of all layers.

    Returns:
        By task, the scores of every store, or why there are none: states that cannot be read or are mostly not finite.
        Where they are those of the first store, there are none of any store.

    Raises:
        LostSamplesError: If some samples are not finite.
    """
    lost: dict[tuple[str, int], dict[str, str]] = {}
    found: dict[str, list[list[Scores]]] = {task: [[] for _ in stores] for task in rows}
    failed: dict[tuple[str, int], _Reason] = {}
    for position in processes.share(range(len(layers))):
        layer = layers[position]
        bases: dict[str, Basis | None] = {}
        for index, store in enumerate(stores):
            wanted = [task for task in rows if (task, index) not in failed]
            states = _try_read(read, store, layer) if wanted else ""
            where = f"{store.path}, {name} at layer {layer}"
            for task in wanted:
                chosen = states if isinstance(states, str) else _select(states, rows[task][index])
                if isinstance(chosen, str):
                    reason = _Reason(index > 0, position, f"{where}: {chosen}")
                    failed |= {(task, one): reason for one in ([index] if index else range(len(stores)))}
                elif lines := _not_finite(chosen, store.ids[rows[task][index]], where):
                    lost[task, index] = lines | lost.get((task, index), {})
                elif (task, index) not in lost:
                    fold = named_key(key, f"{task}/{name}/{layer}")
                    one, bases[task] = _reduce(chosen, bases.get(task), dim, reduction, fold)
                    found[task][index].append(one)
    failed = _gather_reasons(failed, processes)
    if samples := _gather_lost({key: lines for key, lines in lost.items() if key not in failed}, processes):
        raise LostSamplesError(samples)
    scores: dict[str, list[Scores | str]] = {}
    for task, per_store in found.items():
        usable = {index: one for index, one in enumerate(per_store) if (task, index) not in failed}
        whole = _gather_layers(usable, len(layers), processes)
        if whole and is_pca(reduction) and reduction.variance is not None:
            most = int(max(whole[0].needed))
            whole = {i: leading_scores(one, range(len(layers)), most) for i, one in whole.items()}
        scores[task] = [whole[i] if i in whole else failed[task, i].text for i in range(len(stores))]
    return scores


class _Reason(NamedTuple):
    """Why a store has no scores of a task; of several reasons that of the lowest layer, as in one process."""

    is_own: bool  # not the first store's, which leaves out all
    position: int
    text: str


def _gather_reasons(failed: Mapping[tuple[str, int], _Reason], processes: Processes) -> dict[tuple[str, int], _Reason]:
    own = json.dumps([[*key, *reason] for key, reason in failed.items()])
    together: dict[tuple[str, int], _Reason] = {}
    for content in processes.gather(own.encode()):
        for task, index, *parts in json.loads(content):
            reason = _Reason(*parts)
            together[task, index] = min(reason, together.get((task, index), reason))
    return together


def _gather_layers(usable: Mapping[int, Sequence[Scores]], count: int, processes: Processes) -> dict[int, Scores]:
    """Put the layers of each store, which the processes took in turn, in their order."""
    own = {index: _join(layers) for index, layers in usable.items() if layers}
    if processes.count == 1:
        return own
    names = [field.name for field in fields(Scores)]
    parts = processes.gather_arrays({f"{i} {name}": getattr(one, name) for i, one in own.items() for name in names})
    order = np.argsort(np.concatenate([range(count)[rank :: processes.count] for rank in range(processes.count)]))

    def join(name: str) -> np.ndarray:
        return np.concatenate([part[name] for part in parts if name in part])[order]

    return {index: Scores(**{name: join(f"{index} {name}") for name in names}) for index in usable}


def _try_read(read: Read, store: Activations, layer: int | str) -> np.ndarray | str:
    """Read states, or say why they cannot be read."""
    try:
        return read(store, layer)
    except (ValueError, OSError) as error:
        return str(error)


def _select(states: np.ndarray, rows: np.ndarray) -> np.ndarray | str:
    """Take some rows, or say why they cannot be used."""
    chosen = states[rows]
    bad = (~np.isfinite(chosen)).any(axis=1).sum()
    if bad <= MOST_LOST * len(chosen):
        return chosen
    return (
        f"{bad} of {len(chosen)} samples have NaN or infinite states; run the model in float32 or bfloat16, or leave "
        "these samples out"
    )


def _not_finite(states: np.ndarray, ids: np.ndarray, where: str) -> dict[str, str]:
    """Return where samples are not finite, by id."""
    return {str(one): where for one in ids[~np.isfinite(states).all(axis=1)]}


def _gather_lost(lost: Mapping[tuple[str, int], Mapping[str, str]], processes: Processes) -> dict[str, str]:
    """Put together the samples that all processes lost, by id, in the same order everywhere."""
    own = json.dumps({name: where for lines in lost.values() for name, where in lines.items()})
    parts = [json.loads(content) for content in processes.gather(own.encode())]
    whole = {name: where for part in reversed(parts) for name, where in part.items()}
    return dict(sorted(whole.items()))


def _join(parts: Sequence[Scores]) -> Scores:
    """Concatenate the layers of several scores."""
    names = [field.name for field in fields(Scores)]
    return Scores(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def leading_scores(scores: Scores, layers: Sequence[int], dim: int | None) -> Scores:
    """Take some layers, and the leading components of those that were read for another target too.

    Args:
        scores: Scores of one variable.
        layers: Positions of the layers.
        dim: Components wanted; None for all.
    """
    values = scores.values[list(layers)]
    explained = scores.explained_variance[list(layers)]
    if dim is not None and dim < values.shape[-1]:
        variances = values.var(axis=1)
        total = variances.sum(axis=-1)
        values = np.ascontiguousarray(values[..., :dim])
        explained = explained * variances[:, :dim].sum(axis=-1) / np.where(total > 0, total, 1)
    return Scores(
        values=values,
        rounding=scores.rounding[list(layers)],
        explained_variance=explained,
        angle=scores.angle[list(layers)],
        needed=scores.needed[list(layers)],
    )


def _one_layer(
    values: np.ndarray, rounding: np.ndarray, explained_variance: float, angle: float, needed: int
) -> Scores:
    return Scores(
        values=values[None],
        rounding=rounding[None],
        explained_variance=np.array([explained_variance]),
        angle=np.array([angle]),
        needed=np.array([needed]),
    )


def _reduce(
    states: np.ndarray, basis: Basis | None, dim: int | None, spec: Reduction, key: jax.Array
) -> tuple[Scores, Basis | None]:
    """Project states, in float64 where components are exact, else in single precision; without a basis, fit it."""
    if not is_pca(spec) or dim is None:
        return _one_layer(states.astype(np.float64), np.zeros(len(states)), 1.0, 0.0, states.shape[1]), None
    fraction = spec.variance
    spec = spec if fraction is None else dataclasses.replace(spec, variance=ALL_VARIANCE)
    n, p = states.shape
    dim = min(dim, p, max(n - 1, 1))  # n samples span at most n − 1 dimensions
    is_small = is_exact(states.shape, dim, spec)
    if is_small:
        samples, offset, scale = states.astype(np.float64), 0.0, 1.0
    else:
        single = SinglePrecision(states[None], None if basis is None else np.asarray(basis.mean)[None])
        samples, offset, scale = single[:1][0], single.means[0], single.scales[0]
    unit = np.finfo(np.float32).eps if states.dtype.itemsize <= 4 else np.finfo(np.float64).eps
    with double_precision(), one_blas_thread(min(n, p) if is_small else dim):
        if basis is None:
            fitted, reduced = _fit(samples, key, unit, dim=dim, spec=spec)
            used = jax.tree.map(np.asarray, fitted)
            used = dataclasses.replace(used, mean=offset + scale * used.mean.astype(np.float64))
        else:
            used, here = basis, dataclasses.replace(basis, mean=(basis.mean - offset) / scale)
            reduced = _project(samples, here, unit)
        scores, rounding = (scale * np.asarray(x, np.float64) for x in (reduced.scores, reduced.rounding))
        explained, needed = float(reduced.explained_variance), dim
        if fraction is not None and basis is None:
            needed = _needed(used, explained, fraction)
        return _one_layer(scores, rounding, explained, float(used.angle), needed), used


def _needed(basis: Basis, explained_variance: float, fraction: float) -> int:
    """Count the leading components that hold a fraction of the variance; all, at least one, where all hold less."""
    variances = np.asarray(basis.variances)
    total = variances.sum()
    held = explained_variance * np.cumsum(variances) / (total if total > 0 else 1)
    return max(1, min(int((held < fraction).sum()) + 1, int(basis.rank)))


@partial(jax.jit, static_argnames=("dim", "spec"))
def _fit(samples: jax.Array, key: jax.Array, unit: jax.Array, *, dim: int, spec: PCA) -> tuple[Basis, Reduced]:
    basis = fit_reduction(samples, dim, spec, key)
    return basis, project(samples, basis, unit)


_project = jax.jit(project)


def named_key(key: jax.Array, name: str) -> jax.Array:
    """Derive the key that belongs to a name: what is drawn for one thing does not depend on which others there are."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))
