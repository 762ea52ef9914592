"""Redundancy as the common change in surprisal, I_ccs, for jointly Gaussian variables."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import block_diag
from jax.scipy.special import gammainc, gammaln
from jaxtyping import Array, Bool, Float
from scipy.special import ndtri
from scipy.stats import qmc

from pid_jax.gaussian.information import Information, information_of
from pid_jax.gaussian.linalg import cholesky, solve_lower, symmetric_eigen, symmetrize
from pid_jax.gaussian.whitened import WhitenedGaussian
from pid_jax.pid.atoms import PIDSolution, solution
from pid_jax.pid.measure import Measure, Redundancy

# Directions of the quadrature: scrambled Sobol sequences, whose scatter is its standard error.
SEQUENCES, POINTS = 8, 4096
# Informations in nats below which a source tells nothing: the square of what rounding leaves in correlations.
NOTHING = 1e-20
# Half squared radii beyond which no probability is left in up to some hundred dimensions.
FARTHEST = 1e4
# Directions of both sources together with less than this fraction of the largest variance are dropped.
RANK_CUT = 1e-12


@dataclass(frozen=True)
class ICCS(Redundancy):
    """Common change in surprisal, I_ccs (Ince 2017), for jointly Gaussian variables. Atoms may be negative.

    Attributes:
        rank_cut: Directions of a variable whose variance is below this fraction of its largest are dropped.
    """


def iccs_of(whitened: WhitenedGaussian) -> PIDSolution:
    """Decompose whitened variables by I_ccs.

    With the pointwise informations i_1, i_2, i_12 and c = i_1 + i_2 − i_12, redundancy is the mean of c over those
    outcomes where all four have the same sign. The mean is over the distribution of largest entropy that keeps the
    pairs (source, target) and the joint distribution of the sources, which for Gaussian variables is their own.

    Along a ray the pointwise informations are linear in half the squared radius s, which has a Gamma distribution, so
    that the integral over s is exact; over the directions it is a mean of 8 × 4096 points of scrambled Sobol sequences.
    This makes the mean continuous in the covariance, and its derivative that of the integrals.

    Returns:
        The decomposition in nats. `gap` is the standard error of the quadrature. Where I_12 is infinite no outcome
        changes surprisal in common, and R = 0. A source that tells nothing has R = 0; the limit of weak sources is
        another, since the sign of i_k stays what it is.

    Source: Ince (2017), Entropy 19(7), 318.
    """
    information = information_of(whitened)
    is_defined = whitened.has_union & ~whitened.determines[-1]
    tells = is_defined & (jnp.minimum(information.i_1, information.i_2) > NOTHING)
    finite = jax.tree.map(lambda value: jnp.where(is_defined, value, 1), information)
    slopes_along = _slopes(whitened, is_defined)
    # One sequence at a time, so that batches of problems fit into memory.
    units = jnp.asarray(directions(len(whitened.cov)), whitened.cov.dtype)
    means = lax.map(lambda unit: _mean(finite, slopes_along(unit), len(whitened.cov)), units)
    redundancy = jnp.asarray(jnp.where(tells, means.mean(), 0))
    error = jnp.asarray(jnp.where(tells, means.std(ddof=1) / SEQUENCES**0.5, 0))
    unique_1, unique_2 = jnp.subtract(information.i_1, redundancy), jnp.subtract(information.i_2, redundancy)
    return solution(information, unique_1, unique_2, whitened, gap=lax.stop_gradient(error))


@lru_cache(maxsize=32)
def directions(dim: int) -> np.ndarray:
    """Return unit vectors (SEQUENCES, POINTS, dim) that fill the sphere evenly."""
    parts = []
    for seed in range(SEQUENCES):
        uniform = qmc.Sobol(dim, scramble=True, rng=np.random.default_rng(seed)).random(POINTS)
        normal = ndtri(np.clip(uniform, 1e-12, 1 - 1e-12))
        parts.append(normal / np.linalg.norm(normal, axis=1, keepdims=True))
    return np.stack(parts)


def _slopes(whitened: WhitenedGaussian, is_defined: Bool[Array, ""]) -> Callable[[Array], Information]:
    """Return a function of directions (n, D) that gives the slope of each pointwise information along each.

    Slopes are by half the squared radius: i_k = I_k + ½ (|t|² − |residual of source k|²), with the residual in units of
    its standard deviations.
    """
    target, first = len(whitened.target_map), whitened.cross[0].shape[1]
    maps = block_diag(*whitened.source_maps)
    root, back = _factor_any_rank(symmetrize(maps @ whitened.cov[: len(maps), : len(maps)] @ maps.T))
    explained = jnp.where(is_defined, jnp.concatenate(whitened.cross, axis=1) @ back.T, 0)
    left = [_left(cross) for cross in (*whitened.cross, explained)]
    predictors = [cross @ rows for cross, rows in zip(whitened.cross, (root[:first], root[first:]), strict=True)]

    def along(unit: Array) -> Information:
        white, noise = unit[:, :-target], unit[:, -target:]
        values = white @ explained.T + noise @ left[-1].T
        square = (values**2).sum(axis=1)
        each = [
            square - (solve_lower(rest, (values - white @ predictor.T).T) ** 2).sum(axis=0)
            for rest, predictor in zip(left[:-1], predictors, strict=True)
        ]
        return Information(i_1=each[0], i_2=each[1], i_12=square - (noise**2).sum(axis=1))

    return along


def _left(cross: Float[Array, "dt d"]) -> Float[Array, "dt dt"]:
    """Factor what a whitened source leaves of the whitened target."""
    return cholesky(jnp.eye(len(cross), dtype=cross.dtype) - cross @ cross.T)


@jax.custom_jvp
def _factor_any_rank(cov: Float[Array, "n n"]) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    """Return F with F Fᵀ = cov, and its pseudo-inverse."""
    variances, axes = symmetric_eigen(cov)
    keep = variances > RANK_CUT * variances[-1]
    deviations = jnp.sqrt(jnp.where(keep, variances, 1))
    return axes * jnp.where(keep, deviations, 0), jnp.where(keep, 1 / deviations, 0)[:, None] * axes.T


@_factor_any_rank.defjvp
def _factor_any_rank_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Any, Any]:
    """Differentiate one smooth choice of F, so that equal variances do no harm; dropped directions stay dropped."""
    root, back = _factor_any_rank(*primals)
    change = 0.5 * tangents[0] @ back.T
    return (root, back), (change, -back @ change @ back)


def _mean(information: Information, slopes: Information, dim: int) -> Float[Array, ""]:
    """Return the mean of c over the outcomes of common sign.

    On a ray i = I + s q. All are positive from where c is to the first zero, all negative from the last zero on.
    """
    common = jnp.add(information.i_1, information.i_2) - information.i_12
    common_slope = jnp.add(slopes.i_1, slopes.i_2) - slopes.i_12
    zeros = jnp.stack([_zero(getattr(information, name), getattr(slopes, name)) for name in vars(slopes)])
    zero, is_positive = _zero(common, common_slope), common >= 0
    while_positive = jnp.where(is_positive, 0, zero), jnp.where(is_positive, zero, FARTHEST)
    while_negative = jnp.where(is_positive, zero, 0), jnp.where(is_positive, FARTHEST, zero)
    parts = (
        (while_positive[0], jnp.minimum(while_positive[1], zeros.min(axis=0))),
        (jnp.maximum(while_negative[0], zeros.max(axis=0)), while_negative[1]),
    )
    return sum(_integral(common, common_slope, low, jnp.maximum(low, high), dim / 2).mean() for low, high in parts)  # type: ignore[return-value]


def _zero(start: Float[Array, ""], slope: Float[Array, "n"]) -> Float[Array, "n"]:
    """Return where start + s slope changes its sign, or `FARTHEST`."""
    changes = start * slope < 0
    where = jnp.abs(start) / jnp.where(changes, jnp.abs(slope), 1)
    return jnp.where(changes, jnp.minimum(where, FARTHEST), FARTHEST)


def _integral(
    start: Float[Array, ""], slope: Float[Array, "n"], low: Float[Array, "n"], high: Float[Array, "n"], shape: float
) -> Float[Array, "n"]:
    """Integrate start + s slope from low to high under the Gamma density of a shape."""

    def below(s: Array) -> tuple[Array, Array]:
        probability = gammainc(shape, s)
        positive = jnp.where(s > 0, s, 1)
        density = jnp.exp(shape * jnp.log(positive) - positive - gammaln(shape + 1.0))
        return probability, probability - jnp.where(s > 0, density, 0)

    (mass_low, moment_low), (mass_high, moment_high) = below(low), below(high)
    return start * (mass_high - mass_low) + slope * shape * (moment_high - moment_low)


MEASURE = Measure(
    settings=ICCS,
    name="iccs",
    label="I_ccs",
    solve=iccs_of,
    remark="counts as redundant what both sources change in the surprisal of the target in the same direction, outcome "
    "by outcome. Its atoms may be negative.",
)
