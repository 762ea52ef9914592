"""Decomposition by information geometry, I_ig: synergy is the distance from a curve between two Markov chains."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from pid_jax.gaussian.information import information_of
from pid_jax.gaussian.linalg import cholesky, solve_lower, symmetric_eigen, symmetrize
from pid_jax.gaussian.whitened import WhitenedGaussian
from pid_jax.pid.atoms import PIDSolution, solution
from pid_jax.pid.measure import Measure, Redundancy

# Steps of Newton's method, each kept inside a bracket that it shrinks, or halves where Newton leaves it.
STEPS = 60
# Rates below this many roots of the precision of numbers count as none: what they add to an atom is of the order of
# their square, while rounding would move the best t without bound.
FLAT = 2.0


@dataclass(frozen=True)
class IIG(Redundancy):
    """Decomposition by information geometry, I_ig (Niu & Quinn 2019), for jointly Gaussian variables.

    Synergy is the smallest Kullback-Leibler divergence of the distribution from those on the exponential curve between
    two models: source_2 independent of the target given source_1, and the reverse.

    Attributes:
        rank_cut: Directions of a variable whose variance is below this fraction of its largest are dropped.
    """


def iig_of(whitened: WhitenedGaussian) -> PIDSolution:
    """Decompose whitened variables by I_ig.

    Both ends of the curve keep the joint distribution of the sources and the pair of one source with the target. On it
    the precision matrices are K_t = t K_1 + (1 − t) K_2, for all t that leave them positive definite, and tr K_t Σ is
    constant, so that the divergence is −½ log |K_t Σ|, which is convex in t. The precisions P_k of the target given
    source k and the covariance V of the difference of both predictions of the target are all that it needs:

        U_1 = ½ max_t log |P_t (I + t (1 − t) P_1 P_t⁻¹ P_2 V)| − I_2,   P_t = t P_1 + (1 − t) P_2.

    Returns:
        The decomposition in nats. `gap` bounds by how much the maximum may be higher. First derivatives are those at
        the best t, which is a constant to first order.

    Source: Niu & Quinn (2019), IEEE International Symposium on Information Theory; Kay (2024), Entropy 26(7), 542, for
    vectors and the range of t.
    """
    information = information_of(whitened)
    cross_1, cross_2 = whitened.cross
    first, second = whitened.cross[0].shape[1], whitened.cross[1].shape[1]
    between = whitened.source_maps[0] @ whitened.cov[:first, first : first + second] @ whitened.source_maps[1].T
    known_1, known_2 = cross_1 @ cross_1.T, cross_2 @ cross_2.T
    predicted = cross_1 @ between @ cross_2.T
    spread = known_1 + known_2 - predicted - predicted.T
    eye = jnp.eye(len(known_1), dtype=known_1.dtype)
    parts = (eye - known_1, eye - known_2, spread)
    rates = _rates(*map(lax.stop_gradient, parts))
    best, gap = _maximize(rates)
    # The value from the eigenvalues has every digit; the derivative is that of the determinant at a constant t.
    value, slope = 0.5 * jnp.log1p(best * rates).sum(), 0.5 * _log_ratio(best, *parts)
    unique_1 = value + (slope - lax.stop_gradient(slope))
    unique_2 = unique_1 - information.i_1 + information.i_2
    return solution(information, unique_1, unique_2, whitened, gap)


def _rates(
    left_1: Float[Array, "dt dt"], left_2: Float[Array, "dt dt"], spread: Float[Array, "dt dt"]
) -> Float[Array, "n"]:
    """Return μ with log |K_t| = log |K_0| + Σ log (1 + t μ).

    The target minus its prediction from source_2, in units of what that leaves, and the white variable that the
    difference of predictions is made of, have the precision I + t N.
    """
    factor_1, factor_2 = cholesky(left_1), cholesky(left_2)
    variances, axes = symmetric_eigen(symmetrize(spread))
    root = axes * jnp.sqrt(jnp.maximum(variances, 0))
    by_spread, by_rest = solve_lower(factor_1, root), solve_lower(factor_1, factor_2)
    both = jnp.concatenate([by_spread, -by_rest], axis=1)
    size = len(left_1)
    own = jnp.diag(jnp.concatenate([jnp.zeros(size), jnp.ones(size)]).astype(spread.dtype))
    return symmetric_eigen(symmetrize(both.T @ both - own))[0]


def _maximize(rates: Float[Array, "n"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Find the t at which Σ log (1 + t μ) is largest, and a bound on what is missing to the largest ½ Σ.

    The derivative falls from ∞ to −∞ between the poles −1 / max μ and −1 / min μ.
    """
    scale = jnp.maximum(jnp.abs(rates).max(), jnp.finfo(rates.dtype).tiny)
    mu = rates / scale
    largest, smallest = jnp.maximum(mu.max(), 1e-3 * _eps(mu)), jnp.minimum(mu.min(), -1e-3 * _eps(mu))

    def slope(t: Array) -> Array:
        return (mu / (1 + t * mu)).sum()

    def step(_: int, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        t, low, high = state
        value = slope(t)
        low, high = jnp.where(value > 0, t, low), jnp.where(value > 0, high, t)
        newton = t + value / jnp.maximum(((mu / (1 + t * mu)) ** 2).sum(), jnp.finfo(mu.dtype).tiny)
        inside = (newton > low) & (newton < high)
        return jnp.where(inside, newton, 0.5 * (low + high)), low, high

    ends = (-1 / largest, -1 / smallest)
    t, low, high = lax.fori_loop(0, STEPS, step, (jnp.zeros((), mu.dtype), *ends))
    value = slope(t)
    gap = 0.5 * jnp.abs(value) * jnp.where(value > 0, high - t, t - low)
    is_flat = scale <= FLAT * _eps(mu) ** 0.5
    return jnp.asarray(jnp.where(is_flat, 0, t / scale)), jnp.asarray(jnp.where(is_flat, 0, gap))


def _log_ratio(
    t: Float[Array, ""], left_1: Float[Array, "dt dt"], left_2: Float[Array, "dt dt"], spread: Float[Array, "dt dt"]
) -> Float[Array, ""]:
    """Compute log |K_t| − log |K_0| from what each source leaves of the target and the spread of the predictions."""
    eye = jnp.eye(len(left_1), dtype=left_1.dtype)
    precision_1 = jax.scipy.linalg.cho_solve((cholesky(left_1), True), eye)
    pull, rest = spread @ precision_1, precision_1 @ left_2
    whole = jnp.block([[eye + t * pull, -t * pull @ left_2], [-t * precision_1, t * rest + (1 - t) * eye]])
    return jnp.linalg.slogdet(whole)[1]


def _eps(array: Array) -> float:
    return float(jnp.finfo(array.dtype).eps)


MEASURE = Measure(
    settings=IIG,
    name="iig",
    label="I_ig",
    solve=iig_of,
    remark="counts as synergy the divergence of the data from the nearest distribution between two Markov chains, in "
    "each of which one source tells all that both tell.",
)
