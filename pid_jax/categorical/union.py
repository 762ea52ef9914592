"""Union information about the answer, from calibrated predictions of each source: cut into cells, and solved."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from pid_jax.categorical.calibrate import calibrate, claimed_information, rake, raked_information
from pid_jax.categorical.cells import find_cells, table_of
from pid_jax.discrete.batch import solve_unions
from pid_jax.runtime.devices import map_problems, over_devices
from pid_jax.runtime.precision import double_precision

# Cells times classes: the linear systems of the solver have as many unknowns. The larger bound is for as many cells as
# classes, without which no cell can stand for each of them.
LARGEST_SYSTEM, LARGEST_FOR_CLASSES = 640, 1280
FEWEST_CELLS = 8
# Gaps in nats at which the solver stops: of the estimate, of perturbed copies of it, and of posteriors without error.
# The middle of the first two is within 4e-4 nats of the optimum; samples leave fifty times that.
_TOLERANCE, _ROUGH, _FINE = 5e-4, 1.5e-3, 1e-6
_COPIES = 8
# Perturbed copies have twice the variance of the errors of predictions. What errors add to the union information grows
# with that variance where it is smooth, so that it is once what copies add, and with its root where it has a kink
# (2.4 times). In between, on the systems of benchmarks/categorical.py with other seeds, is what fits best.
_ERRORS_PER_COPY = 2.0


@dataclass(frozen=True, kw_only=True)
class Union:
    """Union information of B problems with n samples, from their predictions.

    Attributes:
        lower: Certified lower bound of the union information that the calibrated predictions have (B,), in nats.
        upper: Certified upper bound: that of the cells, and what each source loses by them.
        each: Union information of each sample (B, n): λ(a, y) + μ(b, y) − log p(y) at its cells and answer.
        noise: By how much errors of the predictions raise it (B,).
        loss: Information of each source that is lost by cells (B, 2).
        temperature: Temperature of each source's predictions (B, 2).
    """

    lower: np.ndarray
    upper: np.ndarray
    each: np.ndarray
    noise: np.ndarray
    loss: np.ndarray
    temperature: np.ndarray


class _Cut(NamedTuple):
    tables: Float[Array, "V M K"]
    cell: Int[Array, "n"]
    loss: Float[Array, "V"]
    temperature: Float[Array, ""]


def number_of_cells(cells: int, classes: int, samples: int) -> int:
    """Return how many cells each source gets, of those asked for."""
    of_classes = min(classes, LARGEST_FOR_CLASSES // classes)
    return min(cells, samples, max(FEWEST_CELLS, LARGEST_SYSTEM // classes, of_classes))


def union_information(
    held_out: tuple[np.ndarray, np.ndarray],
    deviations: tuple[np.ndarray, np.ndarray],
    classes: np.ndarray,
    codes: np.ndarray,
    information: np.ndarray,
    cells: int,
    perturbations: int,
    key: jax.Array,
) -> Union:
    """Bound the union information of predictions, and estimate how much of it is noise of the predictions.

    Args:
        held_out: Log probabilities of the classes (B, n, K) by classifiers that did not see the sample, of each source.
        deviations: Directions (B, F, n, K) in which the classifiers of the folds differ; none are used where
            `perturbations` is 0.
        classes: Frequencies of the classes (B, K).
        codes: Class of each sample (B, n).
        information: What each source's predictions are worth (B, 2), in nats.
        cells: Cells of each source.
        perturbations: Perturbed copies.
        key: A JAX random key.
    """
    cuts = []
    for index in (0, 1):
        own = np.asarray(jax.random.key_data(jax.random.fold_in(key, index)))
        keys = np.broadcast_to(own, (len(classes), *own.shape))  # the same for all problems, so that these compare
        size = 8 * _COPIES * held_out[index][0].size * (1 + perturbations) + 8 * len(codes[0]) * cells * 4
        program = partial(_cut, cells=cells, perturbations=perturbations)
        batches = (held_out[index], deviations[index], classes, information[:, index])
        with double_precision():
            wide = [x.astype(np.float64) for x in batches]
            cuts.append(map_problems(program, *wide, keys, bytes_each=size))
    first, second = (cut.tables.reshape(-1, *cut.tables.shape[2:]) for cut in cuts)
    tolerance = np.tile(np.array([_TOLERANCE] + [_ROUGH] * perturbations), len(classes))
    solved = solve_unions(first, second, tolerance)
    lower, upper, lam, mu = (
        np.reshape(x, (len(classes), 1 + perturbations, *x.shape[1:])) for x in map(np.asarray, solved[:4])
    )
    rows = np.arange(len(classes))[:, None]
    each = lam[rows, 0, cuts[0].cell, codes] + mu[rows, 0, cuts[1].cell, codes] - np.log(classes[rows, codes])
    loss = np.stack([cut.loss for cut in cuts], axis=-1)  # (B, copies, 2)
    ends = lower, upper + loss.sum(axis=-1)
    middle = (ends[0] + ends[1]) / 2
    noise = np.zeros(len(classes))
    if perturbations:
        noise = _ERRORS_PER_COPY * (middle[:, 1:].mean(axis=1) - middle[:, 0])
    return Union(
        lower=ends[0][:, 0],
        upper=ends[1][:, 0],
        each=each,
        noise=noise,
        loss=loss[:, 0],
        temperature=np.stack([cut.temperature for cut in cuts], axis=-1),
    )


def union_of_posteriors(
    posteriors: np.ndarray, answers: np.ndarray, cells: int, key: jax.Array
) -> tuple[Union, np.ndarray]:
    """Bound the union information of calibrated posteriors about answers that are distributions.

    Args:
        posteriors: Class probabilities (2, n, K) of source_1 and source_2, whose means are the frequencies of classes.
        answers: Probabilities of the answer of each sample (n, K); every class has some.
        cells: Cells of each source.
        key: A JAX random key, which both sources use, so that exchanging them exchanges the result.

    Returns:
        Union information of one problem (B = 1) in nats, where that of a sample is its mean over the answer's
        distribution; and the dual variables λ and μ at the cells of each sample (2, n, K).
    """
    classes = answers.mean(axis=0)
    both = np.broadcast_to(classes, (2, len(classes)))
    keys = np.broadcast_to(np.asarray(jax.random.key_data(key)), (2, *jax.random.key_data(key).shape))
    with double_precision():
        tables, cell, loss = map_problems(partial(_cut_calibrated, cells=cells), posteriors, both, keys)
    solved = solve_unions(tables[:1], tables[1:], np.array([_FINE]))
    lower, upper, lam, mu = map(np.asarray, solved[:4])
    duals = np.stack([lam[0, cell[0]], mu[0, cell[1]]])
    is_possible = answers > 0  # where the answer is impossible its λ + μ may be −inf
    own = np.where(is_possible, duals.sum(axis=0), 0) - np.log(classes)
    union = Union(
        lower=lower,
        upper=upper + loss.sum(),
        each=np.sum(answers * own, axis=1)[None],
        noise=np.zeros(1),
        loss=loss[None],
        temperature=np.ones((1, 2)),
    )
    return union, duals


@partial(jax.jit, static_argnames=("cells", "mesh"))
def _cut_calibrated(
    posteriors: Float[Array, "B n K"], classes: Float[Array, "B K"], keys: Array, *, cells: int, mesh: Mesh | None
) -> tuple:
    def one(posteriors: Float[Array, "n K"], classes: Float[Array, "K"], key: Array) -> tuple:
        return _cells_of(posteriors, classes, cells, jax.random.wrap_key_data(key))

    return over_devices(jax.vmap(one), mesh)(posteriors, classes, keys)


@partial(jax.jit, static_argnames=("cells", "perturbations", "mesh"))
def _cut(
    held_out: Float[Array, "B n K"],
    deviations: Float[Array, "B F n K"],
    classes: Float[Array, "B K"],
    information: Float[Array, "B"],
    keys: Array,
    *,
    cells: int,
    perturbations: int,
    mesh: Mesh | None,
) -> _Cut:
    """Calibrate the predictions of one source, and perturbed copies of them, and cut each into cells."""

    def one(
        held_out: Float[Array, "n K"],
        deviations: Float[Array, "F n K"],
        classes: Float[Array, "K"],
        information: Float[Array, ""],
        key: Array,
    ) -> _Cut:
        for_cells, for_noise = jax.random.split(jax.random.wrap_key_data(key))

        def cut(log_probabilities: Float[Array, "n K"]) -> tuple:
            posteriors, temperature = calibrate(log_probabilities, classes, information)
            return *_cells_of(posteriors, classes, cells, for_cells), temperature

        table, cell, loss, temperature = cut(held_out)
        folds = len(deviations)
        # In pairs of opposite signs, so that what is linear in a perturbation cancels.
        drawn = jax.random.normal(for_noise, ((perturbations + 1) // 2, folds), held_out.dtype)
        weights = jnp.concatenate([drawn, -drawn])[:perturbations] * np.sqrt((folds - 1) / folds)
        found = lax.map(lambda w: cut(held_out + jnp.tensordot(w, deviations, 1)), weights) if perturbations else None
        tables = table[None] if found is None else jnp.concatenate([table[None], found[0]])
        losses = loss[None] if found is None else jnp.concatenate([loss[None], found[2]])
        return _Cut(tables, cell, losses, temperature)

    return over_devices(jax.vmap(one), mesh)(held_out, deviations, classes, information, keys)


def _cells_of(posteriors: Float[Array, "n K"], classes: Float[Array, "K"], cells: int, key: Array) -> tuple:
    """Return the joint table of cell and class, the cell of each sample, and the information that cells lose."""
    cell = find_cells(posteriors, cells, key)
    table = rake(table_of(posteriors, cell, cells), classes)
    loss = claimed_information(posteriors, classes) - raked_information(table, classes)
    return table, cell, jnp.maximum(loss, 0)
