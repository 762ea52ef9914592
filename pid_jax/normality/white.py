"""Samples of unit covariance: of one variable, of what others do not predict, and of what each of two has alone.

In NumPy: a program for every number of samples would take a hundred times longer to compile than to run.
"""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float

# Directions with less than this fraction of a unit variance hold rounding noise, or what another variable determines.
SMALLEST_VARIANCE = 1e-10


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class White:
    """Samples that are white where they vary.

    Attributes:
        values: White coordinates, and zeros for directions without variance.
        rank: Number of directions with variance.
    """

    values: Float[np.ndarray, "n d"]
    rank: float


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Apart:
    """Two white variables in canonical coordinates, each without what the other predicts.

    Coordinate i of one correlates by −ρ_i with coordinate i of the other, and with nothing else.

    Attributes:
        one: What the second variable does not predict of the first (n, d1), white.
        two: What the first variable does not predict of the second (n, d2), white.
        correlations: Canonical correlations ρ; zero for what both share completely, which neither part holds.
        shared: Number of these shared directions.
    """

    one: Float[np.ndarray, "n d1"]
    two: Float[np.ndarray, "n d2"]
    correlations: Float[np.ndarray, "p"]
    shared: float


def whiten_samples(samples: Float[np.ndarray, "n d"]) -> White:
    """Whiten samples with the covariance of 1/n on its range, whatever the units of the columns are."""
    peak = np.abs(samples).max(axis=0)
    scaled = samples / np.where(peak > 0, peak, 1)  # squares of huge values would overflow
    centered = scaled - scaled.mean(axis=0)
    is_constant = np.ptp(samples, axis=0) == 0
    spread = np.where(is_constant, 1, centered.std(axis=0))
    return _whiten(np.where(is_constant, 0, centered / spread))


def whiten_residual(white: White, *others: White) -> White:
    """Whiten what other variables do not predict of a white one."""
    known = others[0] if len(others) == 1 else _whiten(np.concatenate([one.values for one in others], axis=1))
    return _whiten(white.values - known.values @ (known.values.T @ white.values) / white.values.shape[0])


def take_apart(one: White, two: White) -> Apart:
    """Whiten what neither of two variables predicts of the other, in canonical coordinates."""
    n, count = one.values.shape[0], min(one.values.shape[1], two.values.shape[1])
    left, correlations, right = np.linalg.svd(one.values.T @ two.values / n)
    first, second = one.values @ left, two.values @ right.T
    free = 1 - correlations**2
    has_own = free > _floor(first)
    scale = np.where(has_own, 1 / np.sqrt(np.where(has_own, free, 1)), 0)
    head_1, head_2 = first[:, :count], second[:, :count]
    return Apart(
        one=np.concatenate([(head_1 - correlations * head_2) * scale, first[:, count:]], axis=1),
        two=np.concatenate([(head_2 - correlations * head_1) * scale, second[:, count:]], axis=1),
        correlations=np.where(has_own, correlations, 0),
        shared=float((~has_own).sum()),
    )


def _whiten(centered: Float[np.ndarray, "n d"]) -> White:
    """Whiten samples of zero mean, whose columns have unit variance or are parts of such."""
    if not np.isfinite(centered).all():
        return White(values=np.full_like(centered, np.nan), rank=float(centered.shape[1]))
    values, vectors = np.linalg.eigh(centered.T @ centered / centered.shape[0])
    is_kept = values > _floor(centered)
    scale = np.where(is_kept, 1 / np.sqrt(np.where(is_kept, values, 1)), 0)
    return White(values=centered @ (vectors * scale), rank=float(is_kept.sum()))


def _floor(samples: Float[np.ndarray, "n d"]) -> float:
    return max(SMALLEST_VARIANCE, 10 * samples.shape[1] * float(np.finfo(samples.dtype).eps))
