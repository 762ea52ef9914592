"""What the noise of ranks does to atoms whose covariance it was removed from: some bias, and more scatter."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from pid_jax.bias.rank_noise import add_rank_noise, correlation_of, remove_rank_noise, roots_of, share_of_noise
from pid_jax.decompose.pid import solve_quantities
from pid_jax.gaussian.joint import block_slices
from pid_jax.gaussian.wishart import WhiteFactors, numpy_generator
from pid_jax.pid.atoms import PIDQuantities
from pid_jax.pid.measure import Redundancy
from pid_jax.runtime.threads import one_blas_thread

# Data sets drawn for each problem: the standard error that they tell is known to 11 %.
DRAWS = 40
# Where noise has a smaller share of every direction, its removal adds less than 1 % to standard errors (n = 1000).
SMALLEST_SHARE = 0.01


@dataclass(frozen=True, kw_only=True)
class RankErrors:
    """Errors of a decomposition after ranks, beyond those of raw samples, in nats.

    Attributes:
        bias: By how much atoms and informations read high on average.
        deviations: Draws of the rest (draws, problems), with mean zero: independent of the errors of raw samples, and
            so large that both together scatter as decompositions after ranks do.
    """

    bias: PIDQuantities
    deviations: PIDQuantities


def noisy_problems(
    cov: Float[np.ndarray, "problems D D"], samples: int, dims: tuple[int, int, int], is_ranked: np.ndarray
) -> Int[np.ndarray, "k"]:
    """Find the problems in which the noise of ranks matters, from covariances without it, or NaN."""
    rows = np.flatnonzero(is_ranked & np.isfinite(cov).all(axis=(-2, -1)))
    with one_blas_thread(cov.shape[-1]):
        return rows[share_of_noise(cov[rows], samples, dims) > SMALLEST_SHARE] if rows.size else rows


def rank_errors(
    cov: Float[np.ndarray, "problems D D"],
    samples: int,
    dims: tuple[int, int, int],
    redundancy: Redundancy,
    key: jax.Array,
) -> RankErrors:
    """Draw the errors of decompositions after ranks, from covariances without their noise (`remove_rank_noise`).

    All problems use the same white noise.
    """
    pairs = [_decompose(one, [slice(None)], samples, [dims], redundancy, key) for one in cov]
    return _errors_of([(raw[0], ranked[0]) for raw, ranked in pairs])


def rank_errors_of_difference(
    cov: Float[np.ndarray, "problems E E"],
    samples: int,
    dims: Sequence[tuple[int, int, int]],
    redundancy: Redundancy,
    key: jax.Array,
) -> RankErrors:
    """Draw the errors of differences between two conditions of the same samples, after ranks; second minus first.

    As `rank_errors`, with joint covariances of the latents of both conditions, side by side.
    """
    parts = block_slices(tuple(sum(one) for one in dims))
    pairs = []
    for one in cov:
        raw, ranked = _decompose(one, parts, samples, dims, redundancy, key)
        pairs.append(tuple(jax.tree.map(np.subtract, after, before) for before, after in (raw, ranked)))
    return _errors_of(pairs)


def add_rank_errors(drawn: Any, rows: np.ndarray, errors: RankErrors, key: jax.Array) -> Any:
    """Add errors of ranks in some problems to draws (draws, problems) that know of the errors of raw samples alone."""
    count = len(jax.tree.leaves(drawn)[0])
    chosen = numpy_generator(key).integers(DRAWS, size=count)

    def add(name: str, values: np.ndarray) -> np.ndarray:
        changed = values.copy()
        changed[:, rows] += getattr(errors.deviations, name)[chosen]
        return changed

    return type(drawn)(**{name: add(name, values) for name, values in vars(drawn).items()})


def _decompose(
    cov: Float[np.ndarray, "D D"],
    parts: Sequence[slice],
    samples: int,
    dims: Sequence[tuple[int, int, int]],
    redundancy: Redundancy,
    key: jax.Array,
) -> tuple[list[PIDQuantities], list[PIDQuantities]]:
    """Decompose sample covariances of a Gaussian, raw and after ranks, both of the same samples."""
    for_samples, for_noise = jax.random.split(key)
    size = len(cov)
    with one_blas_thread(size):
        whites = _white_factors(for_samples, size, samples)
        noisy = add_rank_noise(correlation_of(cov), samples, DRAWS, numpy_generator(for_noise))
        raw, ranked = (_quadratic(roots_of(model)[0] @ whites) for model in (cov[None], noisy))
        found = [[some[:, part, part] for part in parts] for some in (raw, ranked)]
        found[1] = [remove_rank_noise(some, samples) for some in found[1]]
    each = [[solve_quantities(some, own, redundancy) for some, own in zip(one, dims, strict=True)] for one in found]
    return each[0], each[1]


def _white_factors(key: jax.Array, size: int, samples: int) -> np.ndarray:
    """Draw W with W Wᵀ distributed as the sample covariance of white samples, also of fewer than dimensions."""
    freedom = samples - 1
    if freedom >= size:
        return WhiteFactors(key, size, freedom).draw(DRAWS) / np.sqrt(freedom)
    return numpy_generator(key).standard_normal((DRAWS, size, freedom)) / np.sqrt(freedom)


def _quadratic(root: np.ndarray) -> np.ndarray:
    return root @ np.swapaxes(root, -1, -2)


def _errors_of(pairs: Sequence[tuple[Any, ...]]) -> RankErrors:
    raw, ranked = (jax.tree.map(lambda *some: np.stack(some, axis=1), *one) for one in zip(*pairs, strict=True))
    with np.errstate(invalid="ignore"):  # of two infinite amounts
        bias = jax.tree.map(lambda one, other: (other - one).mean(axis=0), raw, ranked)
    return RankErrors(bias=bias, deviations=jax.tree.map(_deviations, raw, ranked))


def _deviations(raw: np.ndarray, ranked: np.ndarray) -> np.ndarray:
    """Scale the errors of ranks so that their variance is what ranks add to that of raw samples."""
    with np.errstate(invalid="ignore"):  # infinite amounts have no error
        error = ranked - raw
        error = error - error.mean(axis=0)
        added, own = np.sqrt(np.maximum(ranked.var(axis=0) - raw.var(axis=0), 0)), error.std(axis=0)
        return error * np.where(own > 0, added / np.where(own > 0, own, 1), 0)
