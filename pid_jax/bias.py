"""Bias of estimated decompositions, measured on replicates of the covariance, and taken off; intervals from both."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pid_jax.decompose import solve_pid
from pid_jax.gaussian.linalg import symmetric_eigen
from pid_jax.pid.atoms import PIDAtoms, PIDSolution
from pid_jax.precision import double_precision
from pid_jax.spec import Redundancy

# Memory for the replicates that are decomposed at a time.
BUDGET_BYTES = 2**28
# Intervals hold the truth with this probability where sampling is the only error, and z is its normal quantile.
INTERVAL_LEVEL, INTERVAL_Z = 0.9, 1.645


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """A decomposition without its estimated bias.

    Attributes:
        found: The corrected decomposition.
        bias: Bias of the atoms that was taken off.
        lower: Lower ends of the intervals of the atoms.
        upper: Upper ends.
    """

    found: PIDSolution
    bias: PIDAtoms
    lower: PIDAtoms
    upper: PIDAtoms


def subtract_bias(
    found: PIDSolution, replicates: PIDSolution, spread: PIDAtoms, other: PIDSolution | None = None, share: float = 0.0
) -> Corrected:
    """Correct a decomposition by what replicates show: θ − (mean θ* − θ).

    The correction is linear, so all identities between atoms and informations stay.

    Args:
        found: The decomposition of the estimated covariances.
        replicates: Mean decomposition of covariances estimated from samples of the estimated model; see
            `mean_over_draws`.
        spread: Standard deviations of the atoms from the sampling of the covariance.
        other: The same of a simpler model. How far the corrections by both are apart says how much the model matters:
            the intervals reach that far to both sides, and `INTERVAL_Z` standard deviations farther.
        share: Part of the bias taken off that the simpler model says.
    """
    first = jax.tree.map(_mirror, (found.atoms, found.information), (replicates.atoms, replicates.information))
    if other is None:
        second = first
    else:
        second = jax.tree.map(_mirror, (found.atoms, found.information), (other.atoms, other.information))
    atoms, information = jax.tree.map(lambda one, two: one + share * (two - one), first, second)
    reach = jax.tree.map(lambda one, two, sd: np.abs(one - two) + INTERVAL_Z * sd, first[0], second[0], spread)
    return Corrected(
        found=PIDSolution(atoms=atoms, information=information, status=found.status, gap=found.gap),
        bias=jax.tree.map(lambda value, corrected: value - corrected, found.atoms, atoms),
        lower=jax.tree.map(lambda value, half: value - half, atoms, reach),
        upper=jax.tree.map(lambda value, half: value + half, atoms, reach),
    )


def _mirror(value: np.ndarray, star: np.ndarray) -> np.ndarray:
    return 2 * value - star


def wishart_moments(
    cov: np.ndarray, dims: tuple[int, ...], samples: int, redundancy: Redundancy, draws: int, key: jax.Array
) -> tuple[PIDSolution, PIDAtoms]:
    """Decompose sample covariances of n Gaussian samples with the given covariances; mean, and spread of the atoms.

    Args:
        cov: Covariances (..., D, D).
        dims: (d1, d2, dt).
        samples: Number n of samples behind each.
        redundancy: The measure.
        draws: Number of replicates.
        key: A JAX random key; all problems use the same white noise.
    """
    leading, size = cov.shape[:-2], cov.shape[-1]
    flat = cov.reshape(-1, size, size)
    block = max(1, min(draws, BUDGET_BYTES // (flat.nbytes + 1)))
    total, squares = None, None
    for first in range(0, draws, block):
        with double_precision():
            keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(first, min(first + block, draws)))
            drawn = np.asarray(_draw_wishart(keys, jnp.asarray(flat), jnp.asarray(float(samples - 1))))
        solved = solve_pid(drawn, dims, redundancy)
        total, squares = _add(total, solved), _add(squares, jax.tree.map(np.square, solved.atoms))
    mean, square = (jax.tree.map(lambda x: (x / draws).reshape(leading), added) for added in (total, squares))
    spread = jax.tree.map(lambda sq, m: np.sqrt(np.maximum(sq - m**2, 0)), square, mean.atoms)
    return mean, spread


def mean_over_draws(cov: np.ndarray, dims: tuple[int, ...], redundancy: Redundancy) -> PIDSolution:
    """Decompose replicates of covariances (draws, ..., D, D), and average."""
    return jax.tree.map(lambda value: value.mean(axis=0), solve_pid(cov, dims, redundancy))


def _add(total: Any, solved: Any) -> Any:
    summed = jax.tree.map(lambda value: value.sum(axis=0), solved)
    return summed if total is None else jax.tree.map(np.add, total, summed)


@jax.jit
def _draw_wishart(keys: Array, cov: Float[Array, "B D D"], freedom: Float[Array, ""]) -> Float[Array, "draws B D D"]:
    """Draw Wishart matrices over their degrees of freedom, by Bartlett's decomposition.

    Source: Bartlett (1933), Proc. R. Soc. Edinb. 53, 260.
    """
    root = jax.vmap(_square_root)(cov)
    return jax.vmap(lambda key: _quadratic(root @ _bartlett(key, cov.shape[-1], freedom)) / freedom)(keys)


def _bartlett(key: jax.Array, size: int, freedom: Float[Array, ""]) -> Float[Array, "D D"]:
    for_diagonal, for_rest = jax.random.split(key)
    chi_square = 2 * jax.random.gamma(for_diagonal, 0.5 * (freedom - jnp.arange(size)))
    normal = jax.random.normal(for_rest, (size, size))
    return jnp.tril(normal, -1) + jnp.diag(jnp.sqrt(chi_square))


def _square_root(cov: Float[Array, "D D"]) -> Float[Array, "D D"]:
    """Find A with A Aᵀ = cov, also for singular covariances, in which what has no variance stays exactly without."""
    values, vectors = symmetric_eigen(cov)
    return vectors * jnp.sqrt(jnp.maximum(values, 0))


def _quadratic(root: Float[Array, "B D D"]) -> Float[Array, "B D D"]:
    return root @ jnp.swapaxes(root, -1, -2)
