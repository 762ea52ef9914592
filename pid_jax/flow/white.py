"""Samples of unit covariance: of one variable, of what others do not predict, and of what each of two has alone."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pid_jax.gaussian.linalg import symmetric_eigen

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

    values: Float[Array, "n d"]
    rank: Float[Array, ""]


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

    one: Float[Array, "n d1"]
    two: Float[Array, "n d2"]
    correlations: Float[Array, "p"]
    shared: Float[Array, ""]


def whiten_samples(samples: Float[Array, "n d"]) -> White:
    """Whiten samples with the covariance of 1/n on its range, whatever the units of the columns are."""
    peak = jnp.abs(samples).max(axis=0)
    scaled = samples / jnp.where(peak > 0, peak, 1)  # squares of huge values would overflow
    centered = scaled - scaled.mean(axis=0)
    is_constant = jnp.ptp(samples, axis=0) == 0
    spread = jnp.where(is_constant, 1, centered.std(axis=0))
    return _whiten(jnp.where(is_constant, 0, centered / spread))


def whiten_residual(white: White, *others: White) -> White:
    """Whiten what other variables do not predict of a white one."""
    known = others[0] if len(others) == 1 else _whiten(jnp.concatenate([one.values for one in others], axis=1))
    return _whiten(white.values - known.values @ (known.values.T @ white.values) / white.values.shape[0])


def take_apart(one: White, two: White) -> Apart:
    """Whiten what neither of two variables predicts of the other, in canonical coordinates."""
    n, count = one.values.shape[0], min(one.values.shape[1], two.values.shape[1])
    left, correlations, right = jnp.linalg.svd(one.values.T @ two.values / n)
    first, second = one.values @ left, two.values @ right.T
    free = 1 - correlations**2
    has_own = free > _floor(first)
    scale = jnp.where(has_own, 1 / jnp.sqrt(jnp.where(has_own, free, 1)), 0)
    head_1, head_2 = first[:, :count], second[:, :count]
    return Apart(
        one=first.at[:, :count].set((head_1 - correlations * head_2) * scale),
        two=second.at[:, :count].set((head_2 - correlations * head_1) * scale),
        correlations=jnp.where(has_own, correlations, 0),
        shared=(~has_own).sum().astype(first.dtype),
    )


def _whiten(centered: Float[Array, "n d"]) -> White:
    """Whiten samples of zero mean, whose columns have unit variance or are parts of such."""
    values, vectors = symmetric_eigen(centered.T @ centered / centered.shape[0])
    is_kept = values > _floor(centered)
    scale = jnp.where(is_kept, 1 / jnp.sqrt(jnp.where(is_kept, values, 1)), 0)
    is_finite = jnp.isfinite(values).all()
    return White(
        values=jnp.where(is_finite, centered @ (vectors * scale), jnp.nan),
        rank=is_kept.sum().astype(centered.dtype),
    )


def _floor(samples: Float[Array, "n d"]) -> float:
    return max(SMALLEST_VARIANCE, 10 * samples.shape[1] * float(jnp.finfo(samples.dtype).eps))
