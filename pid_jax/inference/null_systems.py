"""Random Gaussian systems of given size, spectra and information: a null model for shares of information."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pid_jax.gaussian.joint import block_slices
from pid_jax.gaussian.linalg import cholesky, solve_lower, symmetric_eigen
from pid_jax.gaussian.status import Status
from pid_jax.gaussian.whitened import WhitenedGaussian
from pid_jax.pid.atoms import PIDAtoms, PIDSolution

# Sources whose canonical correlation is within this of 1 share a coordinate.
SHARED = 1e-9
# Halvings of the interval in which the logarithm of a signal-to-noise ratio lies, and its half width.
HALVINGS, LARGEST_LOG = 50, 60.0

Solve = Callable[[WhitenedGaussian], PIDSolution]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class SystemSpectra:
    """What a Gaussian system keeps when its coordinates are rotated at random, variable by variable.

    The target is G_1 source_1 + G_2 source_2 + noise, with both sources and the noise white. Zeros add nothing.

    Attributes:
        gains_1: Singular values of G_1, descending.
        gains_2: Singular values of G_2.
        between: Canonical correlations of the two sources.
    """

    gains_1: Float[Array, "... m1"] | np.ndarray
    gains_2: Float[Array, "... m2"] | np.ndarray
    between: Float[Array, "... m"] | np.ndarray


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Orientation:
    """One random arrangement, shared by all problems of the same dims.

    Attributes:
        target: Rotation of the directions of the target that source_2 reaches, against those that source_1 reaches.
        source_1: Rotation of source_1.
        source_2: Rotation of source_2.
        balance: Angle from 0 (only source_1 has gain) to π/2 (only source_2 has).
    """

    target: Float[Array, "dt dt"]
    source_1: Float[Array, "d1 d1"]
    source_2: Float[Array, "d2 d2"]
    balance: Float[Array, ""]


def spectra_of(whitened: WhitenedGaussian) -> SystemSpectra:
    """Compute the spectra of a system; NaN where both sources together determine a direction of the target."""
    d1, d2 = (cross.shape[1] for cross in whitened.cross)
    at_1, at_2, _ = block_slices((d1, d2, whitened.cross_all.shape[0]))
    map_1, map_2 = whitened.source_maps
    between = map_1 @ whitened.cov[at_1, at_2] @ map_2.T
    together = jnp.eye(d1 + d2, dtype=between.dtype).at[:d1, d1:].set(between).at[d1:, :d1].set(between.T)
    values, vectors = symmetric_eigen(together)
    inverse = jnp.where(values > SHARED, 1 / jnp.where(values > SHARED, values, 1), 0)
    cross = jnp.concatenate(whitened.cross, axis=1)
    weights = (cross @ vectors) * inverse @ vectors.T
    left = jnp.eye(len(cross), dtype=cross.dtype) - weights @ cross.T
    gains = solve_lower(cholesky(left), weights)
    of = [jnp.linalg.svd(matrix, compute_uv=False) for matrix in (gains[:, :d1], gains[:, d1:], between)]
    return SystemSpectra(gains_1=of[0], gains_2=of[1], between=jnp.clip(of[2], 0, 1 - SHARED))


def draw_orientation(key: Array, dims: tuple[int, int, int], dtype: jnp.dtype) -> Orientation:
    """Draw rotations by the invariant measure, and the balance uniformly."""
    d1, d2, dt = dims
    keys = jax.random.split(key, 4)
    return Orientation(
        target=_draw_rotation(keys[0], dt, dtype),
        source_1=_draw_rotation(keys[1], d1, dtype),
        source_2=_draw_rotation(keys[2], d2, dtype),
        balance=0.5 * jnp.pi * jax.random.uniform(keys[3], dtype=dtype),
    )


def _draw_rotation(key: Array, size: int, dtype: jnp.dtype) -> Float[Array, "d d"]:
    basis, upper = jnp.linalg.qr(jax.random.normal(key, (size, size), dtype), mode="reduced")
    return basis * jnp.where(jnp.diag(upper) < 0, -1, 1)


def random_system(
    spectra: SystemSpectra, orientation: Orientation, i_12: Float[Array, ""], dims: tuple[int, int, int]
) -> WhitenedGaussian:
    """Arrange spectra at random, and set the noise so that both sources together have the given information.

    The gains of each source keep their proportions. How much gain each source has, and all directions, are random.

    Args:
        spectra: Spectra of one system.
        orientation: A random arrangement.
        i_12: I(target; source_1, source_2) in nats, above zero.
        dims: (d1, d2, dt).

    Returns:
        The system, whitened.
    """
    d1, d2, dt = dims
    k = len(spectra.between)
    between = (orientation.source_1[:, :k] * spectra.between) @ orientation.source_2[:, :k].T
    gain_1 = _diagonal(jnp.cos(orientation.balance) * _proportions(spectra.gains_1), (dt, d1))
    gain_2 = orientation.target @ _diagonal(jnp.sin(orientation.balance) * _proportions(spectra.gains_2), (dt, d2))
    gain = jnp.concatenate([gain_1, gain_2], axis=1)
    sources = jnp.eye(d1 + d2, dtype=gain.dtype).at[:d1, d1:].set(between).at[d1:, :d1].set(between.T)
    root = cholesky(sources)
    signal = gain @ root
    gram = signal @ signal.T
    powers, _ = symmetric_eigen(gram)
    power = jnp.exp(_log_power(jnp.maximum(powers, 0), i_12))
    eye = jnp.eye(dt, dtype=gain.dtype)
    factor = cholesky(eye + power * gram)
    scale = jnp.sqrt(power)
    cross = scale * solve_lower(factor, gain @ sources)
    cross_all = scale * solve_lower(factor, signal)
    cov = jnp.block([[sources, cross.T], [cross, eye]])
    return WhitenedGaussian(
        cross=(cross[:, :d1], cross[:, d1:]),
        cross_all=cross_all,
        target_map=eye,
        source_maps=(jnp.eye(d1, dtype=gain.dtype), jnp.eye(d2, dtype=gain.dtype)),
        cov=cov,
        status=jnp.full((), Status.OK, jnp.int32),
        determines=jnp.zeros(3, bool),
    )


def _proportions(gains: Float[Array, "m"] | np.ndarray) -> Float[Array, "m"]:
    """Scale gains to a sum of squares of 1; equal ones where a source has none."""
    given = jnp.asarray(gains)
    total = jnp.sqrt((given**2).sum())
    equal = jnp.full_like(given, len(given) ** -0.5)
    return jnp.where(total > 0, given / jnp.where(total > 0, total, 1), equal)


def _diagonal(values: Float[Array, "m"], shape: tuple[int, int]) -> Float[Array, "dt d"]:
    rows = jnp.arange(len(values))
    return jnp.zeros(shape, values.dtype).at[rows, rows].set(values)


def _log_power(powers: Float[Array, "dt"], i_12: Float[Array, ""]) -> Float[Array, ""]:
    """Solve ½ Σ log(1 + e^x p_i) = i_12 for x by bisection."""

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        is_low = 0.5 * jnp.log1p(jnp.exp(middle) * powers).sum() < i_12
        return jnp.where(is_low, middle, low), jnp.where(is_low, high, middle)

    limit = jnp.asarray(LARGEST_LOG, powers.dtype)
    low, high = jax.lax.fori_loop(0, HALVINGS, halve, (-limit, limit))
    return 0.5 * (low + high)


def shares_of_random(
    spectra: SystemSpectra, i_12: Float[Array, "P"], keys: Array, dims: tuple[int, int, int], solve: Solve
) -> PIDAtoms:
    """Decompose random systems like each problem, and divide their atoms by I_12.

    Args:
        spectra: Spectra of all problems.
        i_12: Information of each, in nats.
        keys: A JAX random key for each draw; all problems have the same orientations.
        dims: (d1, d2, dt).
        solve: Decomposes one whitened problem.

    Returns:
        Shares (draws, P).
    """

    def draw(key: Array) -> PIDAtoms:
        orientation = draw_orientation(key, dims, i_12.dtype)

        def one(spectra: SystemSpectra, i_12: Array) -> PIDAtoms:
            solved = solve(random_system(spectra, orientation, i_12, dims))
            return jax.tree.map(lambda atom: atom / solved.information.i_12, solved.atoms)

        return jax.vmap(one)(spectra, i_12)

    return jax.lax.map(draw, keys)
