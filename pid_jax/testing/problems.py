"""Joint covariances to decompose: random families, and ways to make one problem from another."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

Dims = tuple[int, int, int]


class Problem(NamedTuple):
    """A joint covariance in the order source_1, source_2, target, with dims (d1, d2, dt)."""

    cov: np.ndarray
    dims: Dims


Decompose = Callable[[np.ndarray, Dims], Any]
"""A decomposition under test: from covariance and dims to something with `.atoms` and `.information`."""


def block_rows(dims: Sequence[int]) -> list[np.ndarray]:
    """Row numbers of every variable in the joint covariance."""
    ends = np.cumsum(dims)
    return [np.arange(end - d, end) for d, end in zip(dims, ends, strict=True)]


def symmetric(cov: np.ndarray) -> np.ndarray:
    """Remove the asymmetry of rounding."""
    return (cov + cov.T) / 2


def random_channel(rng: np.random.Generator, dims: Dims, gains: tuple[float, float]) -> Problem:
    """Draw two sources that read a white target through noise that both share in part.

    Args:
        rng: Source of randomness.
        dims: (d1, d2, dt).
        gains: Standard deviation of the entries of each channel; the noise has variances around 1.
    """
    d1, d2, dt = dims
    gain = np.concatenate([g * rng.normal(size=(d, dt)) for g, d in zip(gains, (d1, d2), strict=True)])
    mixing = np.eye(d1 + d2) + 0.5 * rng.normal(size=(d1 + d2, d1 + d2)) / np.sqrt(d1 + d2)
    noise = mixing @ mixing.T + 0.1 * np.eye(d1 + d2)
    return Problem(symmetric(np.block([[gain @ gain.T + noise, gain], [gain.T, np.eye(dt)]])), dims)


def random_readout(rng: np.random.Generator, dims: Dims, gains: tuple[float, float]) -> Problem:
    """Draw a target that is made from two correlated sources and white noise.

    Args:
        rng: Source of randomness.
        dims: (d1, d2, dt).
        gains: Standard deviation of the weights of each source.
    """
    d1, d2, dt = dims
    factor = rng.normal(size=(d1 + d2, 2 * (d1 + d2)))
    sources = factor @ factor.T / len(factor[0]) + 0.1 * np.eye(d1 + d2)
    weights = np.concatenate([g * rng.normal(size=(dt, d)) for g, d in zip(gains, (d1, d2), strict=True)], axis=1)
    cross = weights @ sources
    return Problem(symmetric(np.block([[sources, cross.T], [cross, weights @ cross.T + np.eye(dt)]])), dims)


def random_wishart(rng: np.random.Generator, dims: Dims, ratio: float = 4.0) -> Problem:
    """Draw the sample covariance of `ratio` · D white samples, in which everything is a little related."""
    size = sum(dims)
    factor = rng.normal(size=(size, int(ratio * size)))
    return Problem(symmetric(factor @ factor.T / factor.shape[1]), dims)


def random_latent(rng: np.random.Generator, dims: Dims, factors: int) -> Problem:
    """Draw variables that share latent factors, each coordinate with noise of its own."""
    size = sum(dims)
    loadings = rng.normal(size=(size, factors)) / np.sqrt(factors)
    return Problem(symmetric(loadings @ loadings.T + np.diag(rng.uniform(0.1, 1.0, size))), dims)


def linear_map(rng: np.random.Generator, rows: int, columns: int, condition: float) -> np.ndarray:
    """Draw a map of full rank with singular values from 1 down to 1 / condition."""
    rank = min(rows, columns)
    left, right = (np.linalg.qr(rng.normal(size=(d, rank)))[0] for d in (rows, columns))
    return left * np.geomspace(1, 1 / condition, rank) @ right.T


def apply_maps(problem: Problem, maps: Sequence[np.ndarray]) -> Problem:
    """Apply one linear map to each variable."""
    whole = np.zeros((sum(len(m) for m in maps), sum(problem.dims)))
    row = 0
    for at, linear in zip(block_rows(problem.dims), maps, strict=True):
        whole[row : row + len(linear), at] = linear
        row += len(linear)
    d1, d2, dt = (len(m) for m in maps)
    return Problem(symmetric(whole @ problem.cov @ whole.T), (d1, d2, dt))


def swap_sources(problem: Problem) -> Problem:
    """Exchange source_1 and source_2."""
    at_1, at_2, at_t = block_rows(problem.dims)
    order = np.concatenate([at_2, at_1, at_t])
    d1, d2, dt = problem.dims
    return Problem(problem.cov[np.ix_(order, order)], (d2, d1, dt))


def join(first: Problem, second: Problem) -> Problem:
    """Put two independent systems together, variable by variable."""
    d1, d2, dt = (a + b for a, b in zip(first.dims, second.dims, strict=True))
    cov = np.zeros((d1 + d2 + dt, d1 + d2 + dt))
    for problem, is_second in ((first, False), (second, True)):
        whole = block_rows((d1, d2, dt))
        rows = [at[-d:] if is_second else at[:d] for at, d in zip(whole, problem.dims, strict=True)]
        cov[np.ix_(np.concatenate(rows), np.concatenate(rows))] = problem.cov
    return Problem(cov, (d1, d2, dt))


def pad(problem: Problem, dims: Dims, variance: float) -> Problem:
    """Add independent coordinates of the given variance to every variable, up to larger dims.

    They tell nothing, so the atoms stay what they are. Without variance they make the covariance singular.
    """
    cov = np.diag(np.full(sum(dims), float(variance)))
    rows = np.concatenate([at[:d] for at, d in zip(block_rows(dims), problem.dims, strict=True)])
    cov[np.ix_(rows, rows)] = problem.cov
    return Problem(cov, dims)


def padded(decompose: Decompose, dims: Dims, variance: float = 1.0) -> Decompose:
    """Make a decomposition see all problems at the same dims, see `pad`, so that it is compiled only once."""

    def decompose_padded(cov: np.ndarray, own: Dims) -> Any:
        return decompose(*pad(Problem(cov, own), dims, variance))

    return decompose_padded
