"""Shares of null systems on the host, and the position of given shares among them."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float
from scipy.special import ndtri

from pid_jax.inference.null_systems import Solve, SystemSpectra, shares_of_random
from pid_jax.pid.atoms import LEAST_INFORMATION, PIDAtoms
from pid_jax.pid.measure import Redundancy
from pid_jax.pid.registry import measure_of
from pid_jax.runtime.devices import map_problems, over_devices
from pid_jax.runtime.precision import double_precision
from pid_jax.runtime.threads import one_blas_thread

# Shares that differ by less are equal.
EQUAL = 1e-9
DRAWS = 200
SEED = 0


class Positions(NamedTuple):
    """Position of shares among those of null systems.

    Attributes:
        percentile: Fraction of null systems with a smaller share, ties counted half.
        above_chance: Share minus the mean share of null systems.
    """

    percentile: np.ndarray
    above_chance: np.ndarray


def null_shares(
    spectra: SystemSpectra,
    i_12: Float[np.ndarray, "P"],
    dims: tuple[int, int, int],
    redundancy: Redundancy,
    key: jax.Array,
    draws: int = DRAWS,
) -> Float[np.ndarray, "draws P 4"]:
    """Compute shares of random systems with the spectra and the information of each problem.

    Args:
        spectra: Spectra of all problems, NumPy arrays with one leading axis.
        i_12: Information in nats.
        dims: (d1, d2, dt).
        redundancy: Settings of the measure.
        key: A JAX random key. Orientations depend on it and on dims alone, so that positions are comparable between
            problems.
        draws: Number of random systems.

    Returns:
        Shares in the order of `PIDAtoms`; NaN where the spectra are not finite or there is less information than
        `LEAST_INFORMATION`.
    """
    values = jax.tree.map(lambda x: np.asarray(x, float), spectra)
    is_known = np.isfinite(i_12) & (np.nan_to_num(i_12) > LEAST_INFORMATION)
    for part in jax.tree.leaves(values):
        is_known &= np.isfinite(part).all(axis=-1)
    safe = jax.tree.map(lambda x: np.where(is_known[:, None], x, 0), values)
    given = np.where(is_known, i_12, 1.0)
    solve = measure_of(redundancy).solve
    with double_precision(), one_blas_thread(sum(dims)):
        keys = jax.random.split(key, draws)
        run = partial(_shares, keys=keys, dims=dims, solve=solve)
        found = map_problems(run, safe, given, bytes_each=8 * (10 * sum(dims) ** 2 + 4 * draws))
    shares = np.moveaxis(np.stack([*vars(found).values()], axis=-1), 1, 0)
    return np.where(is_known[:, None], shares, np.nan)


@partial(jax.jit, static_argnames=("dims", "solve", "mesh"))
def _shares(
    spectra: SystemSpectra,
    i_12: Float[Array, "P"],
    *,
    keys: Array,
    dims: tuple[int, int, int],
    solve: Solve,
    mesh: Mesh | None,
) -> PIDAtoms:
    def run(spectra: SystemSpectra, i_12: Array) -> PIDAtoms:
        found = shares_of_random(spectra, i_12, keys, dims, solve)
        return jax.tree.map(lambda x: x.T, found)

    return over_devices(run, mesh)(spectra, i_12)


def position_of(share: Float[np.ndarray, "..."], null: Float[np.ndarray, "draws ..."]) -> Positions:
    """Find where shares lie among those of null systems; NaN where either is not known."""
    is_known = np.isfinite(share) & np.isfinite(null).all(axis=0)
    below = (null < share - EQUAL).mean(axis=0)
    above = (null > share + EQUAL).mean(axis=0)
    percentile = np.where(is_known, below + 0.5 * (1 - below - above), np.nan)
    return Positions(percentile, np.where(is_known, share - null.mean(axis=0), np.nan))


def errors_of(positions: Positions, null: Float[np.ndarray, "draws ..."]) -> Positions:
    """Compute Monte Carlo standard errors of positions among so many null systems.

    One system is added on each side, so that a percentile of 0 or 1 has an error too.
    """
    draws = len(null)
    inside = (draws * positions.percentile + 1) / (draws + 2)
    return Positions(np.sqrt(inside * (1 - inside) / draws), null.std(axis=0, ddof=1) / np.sqrt(draws))


def levels_of(i_12: Float[np.ndarray, "P"], replicates: Float[np.ndarray, "R P"]) -> Float[np.ndarray, "3 P"]:
    """Choose informations at which null systems are needed: the least of the replicates, the estimate, the largest."""
    values = np.concatenate([i_12[None], replicates])
    known = np.where(np.isfinite(values) & (values > LEAST_INFORMATION), values, np.nan)
    is_empty = ~np.isfinite(known).any(axis=0)
    known = np.where(is_empty, 1.0, known)
    low, high = np.nanmin(known, axis=0), np.nanmax(known, axis=0)
    return np.where(is_empty, np.nan, np.stack([low, i_12, high]))


def interval_of(
    positions: Positions,
    shares: Float[np.ndarray, "R P 4"],
    i_12: Float[np.ndarray, "R P"],
    levels: Float[np.ndarray, "3 P"],
    null: Float[np.ndarray, "3 draws P 4"],
    level: float,
) -> tuple[Positions, Positions]:
    """Compute intervals of positions from replicates of the system, widened by the error of the null.

    Every replicate is compared with null systems of its own information, interpolated between the three levels.

    Args:
        positions: Those of the estimate.
        shares: Replicates of the shares.
        i_12: Replicates of the information.
        levels: Informations from `levels_of`.
        null: Shares of null systems at each level.
        level: Nominal coverage.

    Returns:
        Lower and upper ends.
    """
    found = [position_of(share, _between(levels, null, one)) for share, one in zip(shares, i_12, strict=True)]
    return ends_of(positions, found, errors_of(positions, null[1]), level)


def ends_of(
    positions: Positions, found: Sequence[Positions], errors: Positions, level: float
) -> tuple[Positions, Positions]:
    """Compute intervals from the positions of replicates and the Monte Carlo errors of the null.

    Args:
        positions: Those of the estimate.
        found: Those of every replicate.
        errors: Standard errors.
        level: Nominal coverage.

    Returns:
        Lower and upper ends; NaN where too many replicates have no share.
    """
    side = 0.5 * (1 - level)
    lower, upper = [], []
    for k, (value, error) in enumerate(zip(positions, errors, strict=True)):
        drawn = np.stack([one[k] for one in found])
        is_known = np.isfinite(drawn).mean(axis=0) > 1 - side
        drawn = np.where(is_known, drawn, 0)
        ends = np.nanquantile(drawn, [side, 1 - side], axis=0)
        own = -ndtri(side) * error
        lower.append(np.where(is_known, value - np.hypot(np.maximum(value - ends[0], 0), own), np.nan))
        upper.append(np.where(is_known, value + np.hypot(np.maximum(ends[1] - value, 0), own), np.nan))
    lower[0], upper[0] = np.maximum(lower[0], 0), np.minimum(upper[0], 1)
    return Positions(*lower), Positions(*upper)


def _between(
    levels: Float[np.ndarray, "3 P"], null: Float[np.ndarray, "3 draws P 4"], i_12: Float[np.ndarray, "P"]
) -> Float[np.ndarray, "draws P 4"]:
    """Interpolate null shares linearly in the information."""
    is_high = i_12 > levels[1]
    first, second = np.where(is_high, levels[1], levels[0]), np.where(is_high, levels[2], levels[1])
    width = second - first
    part = np.clip(np.where(width > 0, (i_12 - first) / np.where(width > 0, width, 1), 0), 0, 1)
    part = np.where(i_12 > LEAST_INFORMATION, part, np.nan)[:, None]
    low = np.where(is_high[:, None], null[1], null[0])
    high = np.where(is_high[:, None], null[2], null[1])
    return (1 - part) * low + part * high
