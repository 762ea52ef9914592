"""Shares of information about a class compared with those of random tables of the same information."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from pid_jax.decompose.result import ATOMS
from pid_jax.discrete.measures import class_measure_of
from pid_jax.discrete.tables import entropy_of, information_of_table
from pid_jax.gaussian.information import Information
from pid_jax.pid.atoms import compose_atoms
from pid_jax.pid.measure import Redundancy
from pid_jax.runtime.devices import use_devices
from pid_jax.runtime.precision import double_precision

DRAWS = 100
# Cells of each source, and classes: rarer ones are pooled, and information counts as a part of the entropy.
CELLS = CLASSES = 8
# How strongly scores decide the class: drawn uniformly in the logarithm, and reached in as many steps.
LEAST_STRENGTH, MOST_STRENGTH, STAGES = 3.0, 60.0, 6
# Part of the samples whose class follows the table; the class of all others is drawn by its probabilities alone.
KEPT = np.array([0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 1.0])
# Steps that fit the class probabilities at each stage, starting from those of the one before.
STEPS = 200
# Width of the bounds of the union information in nats: a tenth of a percent of a bit and less.
TOLERANCE = 1e-4


class NullTables(NamedTuple):
    """Shares of random tables, each at several amounts of noise.

    Attributes:
        part: I_12 as a part of the entropy of the class (draws, amounts), ascending.
        share: Shares (draws, amounts, 4) in the order of `PIDAtoms`.
    """

    part: np.ndarray
    share: np.ndarray


def null_tables(probabilities: ArrayLike, redundancy: Redundancy, key: jax.Array, draws: int = DRAWS) -> NullTables:
    """Decompose random tables whose class has given probabilities.

    The class follows from random scores: one of the cell of each source, one of the pair of cells, with random weights
    of the three, and of random strength; cells of both sources are equal with a random probability, else independent.
    Noise draws some classes anew, as often as the information asks for.

    Args:
        probabilities: Of the classes.
        redundancy: Settings of a measure for classes.
        key: A JAX random key.
        draws: Number of random tables.
    """
    classes = pool(np.asarray(probabilities, float))
    with double_precision():
        keys = jax.random.split(key, draws)
        joint = np.asarray(_tables(keys, jnp.asarray(classes), jnp.asarray(KEPT)))
    i_12 = information_of_table(joint.reshape(*joint.shape[:2], -1, joint.shape[-1]))
    p_1, p_2 = joint.sum(axis=-2), joint.sum(axis=-3)
    i_1, i_2 = information_of_table(p_1), information_of_table(p_2)
    with use_devices():
        union = class_measure_of(redundancy).union(p_1, p_2, TOLERANCE)
    middle = np.clip(0.5 * (union.lower + union.upper), np.maximum(i_1, i_2), np.minimum(i_1 + i_2, i_12))
    atoms = compose_atoms(Information(i_1=i_1, i_2=i_2, i_12=i_12), 2 * middle - i_1 - i_2)
    share = np.stack([getattr(atoms, name) / i_12 for name in ATOMS], axis=-1)
    entropy = entropy_of(p_1.sum(axis=-2), 1)  # that of rare classes is not reached exactly
    part = np.maximum.accumulate(i_12 / entropy, axis=1)
    return NullTables(part, share)


def pool(probabilities: Float[np.ndarray, "K"]) -> Float[np.ndarray, "k"]:
    """Pool the rarest of more than `CLASSES` classes into one, and leave out those that do not occur."""
    ordered = -np.sort(-probabilities[probabilities > 0])
    if len(ordered) > CLASSES:
        ordered = np.append(ordered[: CLASSES - 1], ordered[CLASSES - 1 :].sum())
    return ordered / ordered.sum()


def null_shares_of_answers(null: NullTables, part: Float[np.ndarray, "..."]) -> Float[np.ndarray, "draws ... 4"]:
    """Interpolate the shares of random tables at given parts of the entropy; the ends hold beyond."""
    found = [
        np.stack([np.interp(part, own, share[:, k]) for k in range(len(ATOMS))], axis=-1)
        for own, share in zip(null.part, null.share, strict=True)
    ]
    return np.where(np.isfinite(part)[..., None], np.stack(found), np.nan)


@jax.jit
def _tables(keys: Array, classes: Float[Array, "K"], kept: Float[Array, "s"]) -> Float[Array, "draws s cells cells K"]:
    return jax.vmap(partial(_table, classes=classes, kept=kept))(keys)


def _table(key: Array, classes: Float[Array, "K"], kept: Float[Array, "s"]) -> Float[Array, "s cells cells K"]:
    own, other, pair, weight, equal, how_strong = jax.random.split(key, 6)
    size = len(classes)
    parts = jnp.abs(jax.random.normal(weight, (3,)))
    parts = parts / jnp.sqrt((parts**2).sum())
    scores = (
        parts[0] * jax.random.normal(own, (CELLS, 1, size))
        + parts[1] * jax.random.normal(other, (1, CELLS, size))
        + parts[2] * jax.random.normal(pair, (CELLS, CELLS, size))
    )
    alike = jax.random.uniform(equal)
    cells = alike * jnp.eye(CELLS) / CELLS + (1 - alike) / CELLS**2
    largest = jax.random.uniform(how_strong, minval=np.log(LEAST_STRENGTH), maxval=np.log(MOST_STRENGTH))
    strengths = jnp.exp(jnp.linspace(0.0, largest, STAGES))

    def fit(shift: Array, strength: Array) -> tuple[Array, None]:
        def step(_: int, shift: Array) -> Array:
            given = jax.nn.log_softmax(strength * scores + shift, axis=-1)
            found = jax.nn.logsumexp(given + jnp.log(cells)[..., None], axis=(0, 1))
            return shift + jnp.log(classes) - found

        return jax.lax.fori_loop(0, STEPS, step, shift), None

    shift, _ = jax.lax.scan(fit, jnp.log(classes), strengths)
    table = cells[..., None] * jax.nn.softmax(strengths[-1] * scores + shift, axis=-1)
    noise = cells[..., None] * table.sum(axis=(0, 1))
    kept = kept[:, None, None, None]
    return kept * table + (1 - kept) * noise
