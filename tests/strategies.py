"""Random joint covariances of mixed dims, rank, condition and signal-to-noise ratio, and their batches.

A coordinate without variance tells nothing, so problems of different dims are padded with zeros, block by block, to
common dims and run as one batch of one compiled program.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from hypothesis import strategies as st

from pid_jax.estimate import gaussian_pid
from pid_jax.result import PIDEstimate
from pid_jax.spec import BROJA, Redundancy

Dims = tuple[int, int, int]
SMALL: Dims = (4, 4, 4)
BATCH = 64


class Problem(NamedTuple):
    """A joint covariance in the order source_1, source_2, target."""

    cov: np.ndarray
    dims: Dims


def block_rows(dims: Dims) -> list[np.ndarray]:
    """Row numbers of the three variables."""
    ends = np.cumsum(dims)
    return [np.arange(end - d, end) for d, end in zip(dims, ends, strict=True)]


def pad(problem: Problem, common: Dims) -> np.ndarray:
    """Add coordinates without variance to every variable."""
    rows = np.concatenate([at[:d] for at, d in zip(block_rows(common), problem.dims, strict=True)])
    cov = np.zeros((sum(common), sum(common)))
    cov[np.ix_(rows, rows)] = problem.cov
    return cov


def decompose(
    problems: Sequence[Problem], redundancy: Redundancy = BROJA(), common: Dims = SMALL, batch: int = BATCH
) -> list[PIDEstimate]:
    """Solve problems of any dims up to `common` as one batch of fixed size, and return one estimate each."""
    assert len(problems) <= batch
    covs = np.zeros((batch, sum(common), sum(common)))
    for slot, problem in zip(covs, problems, strict=False):
        slot[:] = pad(problem, common)
    solved = gaussian_pid(covs, common, redundancy=redundancy)
    return [pick(solved, i) for i in range(len(problems))]


def pick(estimate: PIDEstimate, index: int) -> PIDEstimate:
    """Take one problem out of a batch."""
    atoms, information = jax.tree.map(lambda x: x[index], (estimate.atoms, estimate.information))
    return PIDEstimate(
        atoms=atoms,
        information=information,
        status=estimate.status[index],
        gap=estimate.gap[index],
        cov=estimate.cov[index],
        dims=estimate.dims,
    )


def swap_sources(problem: Problem) -> Problem:
    """Exchange source_1 and source_2."""
    at_1, at_2, at_t = block_rows(problem.dims)
    order = np.concatenate([at_2, at_1, at_t])
    d1, d2, dt = problem.dims
    return Problem(problem.cov[np.ix_(order, order)], (d2, d1, dt))


def join(first: Problem, second: Problem) -> Problem:
    """Put two independent systems together, variable by variable."""
    dims = tuple(a + b for a, b in zip(first.dims, second.dims, strict=True))
    cov = np.zeros((sum(dims), sum(dims)))
    for problem, is_second in ((first, False), (second, True)):
        rows = np.concatenate(
            [at[-d:] if is_second else at[:d] for at, d in zip(block_rows(dims), problem.dims, strict=True)]
        )
        cov[np.ix_(rows, rows)] = problem.cov
    return Problem(cov, dims)


def apply_maps(problem: Problem, maps: Sequence[np.ndarray]) -> Problem:
    """Apply one linear map to each variable."""
    whole = np.zeros((sum(len(m) for m in maps), sum(problem.dims)))
    row = 0
    for at, linear in zip(block_rows(problem.dims), maps, strict=True):
        whole[row : row + len(linear), at] = linear
        row += len(linear)
    return Problem(symmetric(whole @ problem.cov @ whole.T), tuple(len(m) for m in maps))


def symmetric(cov: np.ndarray) -> np.ndarray:
    """Remove the asymmetry of rounding."""
    return (cov + cov.T) / 2


def linear_map(rng: np.random.Generator, rows: int, columns: int, condition: float) -> np.ndarray:
    """Draw a map of full rank with singular values from 1 down to 1 / condition."""
    rank = min(rows, columns)
    left, right = (np.linalg.qr(rng.normal(size=(d, rank)))[0] for d in (rows, columns))
    return left * np.geomspace(1, 1 / condition, rank) @ right.T


def seeds() -> st.SearchStrategy[int]:
    return st.integers(0, 2**32 - 1)


@st.composite
def problems(draw: st.DrawFn, max_dim: int = 4, target_dim: int | None = None) -> Problem:
    """Draw a problem with finite information.

    The sources read the target through noise that both share in part ("channel"), or the target is made from the
    sources and noise ("readout"). Every variable is then embedded by a map of condition up to 100, which leaves it
    with a rank below its dim at times.
    """
    ranks = [draw(st.integers(1, max_dim), label=name) for name in ("rank_1", "rank_2", "rank_t")]
    if target_dim is not None:
        ranks[2] = target_dim
    dims = [draw(st.integers(rank, max_dim)) for rank in ranks]
    dims[2] = dims[2] if target_dim is None else target_dim
    gains = [10.0 ** draw(st.integers(-2, 1), label=name) for name in ("gain_1", "gain_2")]
    condition = 10.0 ** draw(st.integers(0, 2), label="log condition")
    is_channel = draw(st.booleans(), label="channel")
    rng = np.random.default_rng(draw(seeds(), label="seed"))
    base = (_channel if is_channel else _readout)(rng, ranks, gains)
    maps = [linear_map(rng, d, rank, condition) for d, rank in zip(dims, ranks, strict=True)]
    return apply_maps(base, maps)


def _channel(rng: np.random.Generator, dims: list[int], gains: list[float]) -> Problem:
    d1, d2, dt = dims
    gain = np.concatenate([g * rng.normal(size=(d, dt)) for g, d in zip(gains, (d1, d2), strict=True)])
    mixing = np.eye(d1 + d2) + 0.5 * rng.normal(size=(d1 + d2, d1 + d2)) / np.sqrt(d1 + d2)
    noise = mixing @ mixing.T + 0.1 * np.eye(d1 + d2)
    cov = np.block([[gain @ gain.T + noise, gain], [gain.T, np.eye(dt)]])
    return Problem(symmetric(cov), (d1, d2, dt))


def _readout(rng: np.random.Generator, dims: list[int], gains: list[float]) -> Problem:
    d1, d2, dt = dims
    factor = rng.normal(size=(d1 + d2, 2 * (d1 + d2)))
    sources = factor @ factor.T / len(factor[0]) + 0.1 * np.eye(d1 + d2)
    weights = np.concatenate([g * rng.normal(size=(dt, d)) for g, d in zip(gains, (d1, d2), strict=True)], axis=1)
    cross = weights @ sources
    cov = np.block([[sources, cross.T], [cross, weights @ cross.T + np.eye(dt)]])
    return Problem(symmetric(cov), (d1, d2, dt))
