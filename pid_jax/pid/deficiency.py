"""Deficiency of one source relative to the other, and the decomposition δ-PID that follows from it."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from pid_jax.gaussian.information import information_of
from pid_jax.gaussian.linalg import cholesky, invert_lower, solve_lower
from pid_jax.gaussian.whitened import WhitenedGaussian
from pid_jax.pid.atoms import PIDSolution, solution
from pid_jax.pid.measure import Measure, Redundancy

# Largest dims after reduction to those of the target; Newton's method takes matrices of 1.5 dims² rows.
LARGEST_DIM = 16
# Weight of the barrier: its factor from stage to stage, and its last value as a power of the precision of numbers.
WEIGHT_FACTOR = 0.1
LAST_POWER = 0.65
MOST_STEPS = 100
# Squared Newton decrement in units of the weight below which a stage is done.
CENTERED = 0.05
# Step sizes that are compared in every step.
STEPS = tuple(0.5**power for power in range(12))


@dataclass(frozen=True)
class Deficiency(Redundancy):
    """δ-PID by weighted output deficiency (Venkatesh & Schamberg 2022), minimized over Gaussian channels.

    Attributes:
        rank_cut: Directions of a variable whose variance is below this fraction of its largest are dropped.
    """


def deficiency_of(whitened: WhitenedGaussian) -> PIDSolution:
    """Decompose whitened variables by the deficiencies of the sources.

    The deficiency of source_2 with respect to source_1 is what the best Gaussian channel from source_2 to source_1
    misses of p(source_1 | target), as the expected Kullback-Leibler divergence; it is zero where source_2 makes
    source_1 superfluous. With δ_1 this deficiency and δ_2 that of source_1 with respect to source_2,

        R = min(I_1 − δ_1, I_2 − δ_2),   U_k = I_k − R.

    Returns:
        The decomposition in nats. `gap` bounds by how much the minima may be lower. First derivatives are those at the
        best channels, which are constants to first order.

    Raises:
        ValueError: If a source and the target both have more than `LARGEST_DIM` dims.

    Source: Venkatesh & Schamberg (2022), IEEE International Symposium on Information Theory.
    """
    information = information_of(whitened)
    gain_1, gain_2 = (_gain(cross) for cross in whitened.cross)
    missed_1, gap_1 = simulation_cost(gain_1, gain_2)
    missed_2, gap_2 = simulation_cost(gain_2, gain_1)
    redundancy = jnp.minimum(information.i_1 - missed_1, information.i_2 - missed_2)
    unique_1, unique_2 = jnp.subtract(information.i_1, redundancy), jnp.subtract(information.i_2, redundancy)
    return solution(information, unique_1, unique_2, whitened, gap=jnp.maximum(gap_1, gap_2))


def simulation_cost(
    wanted: Float[Array, "dx dt"], given: Float[Array, "dy dt"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Compute the least expected divergence of a channel with gain H_x from one that is made of another with H_y.

    Target and noises are white. A channel N(T y, S) after y = H_y t + noise gives N(T H_y t, Σ) with Σ = T Tᵀ + S. In
    the precision Λ = Σ⁻¹ and N = Λ T the divergence is convex, and S ⪰ 0 is the linear matrix inequality
    [[Λ, N], [Nᵀ, I]] ⪰ 0. It is minimized by a barrier method.

    Returns:
        The divergence in nats, and how much lower its minimum may be.
    """
    fixed_wanted, fixed_given = lax.stop_gradient(wanted), lax.stop_gradient(given)
    precision, mixing, gap = _minimize(fixed_wanted, fixed_given)
    return jnp.maximum(_divergence(precision, mixing, wanted, given), 0), gap


def _gain(cross: Float[Array, "dt d"]) -> Float[Array, "r dt"]:
    """Return the gain of a source relative to white noise, with no more rows than the target has dims."""
    target, size = cross.shape
    if min(target, size) > LARGEST_DIM:
        raise ValueError(
            f"Deficiency needs sources or a target of up to {LARGEST_DIM} dims, got {size} and {target}: reduce them "
            "by PCA, or use BROJA()."
        )
    noise = jnp.eye(size, dtype=cross.dtype) - cross.T @ cross
    gain = solve_lower(cholesky(noise), cross.T)
    if size <= target:
        return gain
    axes = jnp.linalg.svd(lax.stop_gradient(gain), full_matrices=False)[0]
    return axes.T @ gain


def _divergence(
    precision: Float[Array, "dx dx"],
    mixing: Float[Array, "dx dy"],
    wanted: Float[Array, "dx dt"],
    given: Float[Array, "dy dt"],
) -> Float[Array, ""]:
    """Return ½ (tr Λ (I + H_x H_xᵀ) − 2 tr H_xᵀ N H_y + tr H_yᵀ Nᵀ Λ⁻¹ N H_y − log |Λ| − dx)."""
    factor = cholesky(precision)
    mean = solve_lower(factor, mixing @ given)
    error = factor.T @ wanted - mean  # Λ^½ (H_x − T H_y), without the cancellation of the three terms
    log_det = 2 * jnp.log(jnp.diag(factor)).sum()
    return 0.5 * ((error**2).sum() + jnp.trace(precision) - log_det - len(precision))


def _minimize(
    wanted: Float[Array, "dx dt"], given: Float[Array, "dy dt"]
) -> tuple[Float[Array, "dx dx"], Float[Array, "dx dy"], Float[Array, ""]]:
    """Minimize the divergence over channels by Newton's method on a barrier whose weight falls."""
    dx, dy, dtype = len(wanted), len(given), wanted.dtype
    rows, columns = jnp.tril_indices(dx)
    split = len(rows)

    def unpack(values: Array) -> tuple[Array, Array]:
        lower = jnp.zeros((dx, dx), dtype).at[rows, columns].set(values[:split])
        return lower + jnp.tril(lower, -1).T, values[split:].reshape(dx, dy)

    def objective(values: Array, weight: Array) -> Array:
        precision, mixing = unpack(values)
        slack = cholesky(precision - mixing @ mixing.T)
        barrier = -2 * jnp.log(jnp.diag(slack)).sum()
        return _divergence(precision, mixing, wanted, given) + weight * barrier

    def step(state: tuple[Array, Array, Array, Array, Bool[Array, ""]]) -> tuple:
        values, weight, count, _, _ = state
        slope, curvature = jax.grad(objective)(values, weight), jax.hessian(objective)(values, weight)
        scale = 1 / jnp.sqrt(jnp.maximum(jnp.diag(curvature), jnp.finfo(dtype).tiny))
        factor = jnp.linalg.cholesky(curvature * scale[:, None] * scale[None, :])
        move = -scale * jax.scipy.linalg.cho_solve((factor, True), scale * slope)
        move = jnp.where(jnp.isfinite(move).all(), move, 0)
        decrement = jnp.maximum(-slope @ move, 0) / weight
        tried = jax.vmap(lambda size: objective(values + size * move, weight))(sizes)
        best = jnp.nanargmin(jnp.where(jnp.isnan(tried), jnp.inf, tried))
        better = tried[best] <= objective(values, weight)
        values = jnp.where(better, values + sizes[best] * move, values)
        is_done = (decrement <= CENTERED) | ~better
        ended = is_done & (weight <= last)
        return (
            values,
            jnp.where(is_done, jnp.maximum(weight * WEIGHT_FACTOR, last), weight),
            count + 1,
            decrement,
            ended,
        )

    sizes = jnp.asarray(STEPS, dtype)
    last = jnp.asarray(float(jnp.finfo(dtype).eps) ** LAST_POWER, dtype)
    inverse = invert_lower(cholesky(jnp.eye(dx, dtype=dtype) + wanted @ wanted.T))
    start = jnp.concatenate([(inverse.T @ inverse)[rows, columns], jnp.zeros(dx * dy, dtype)])
    state = (start, jnp.ones((), dtype), jnp.zeros((), int), jnp.asarray(jnp.inf, dtype), jnp.asarray(False))
    values, weight, _, decrement, _ = lax.while_loop(lambda s: ~s[-1] & (s[2] < MOST_STEPS), step, state)
    return *unpack(values), weight * (dx + dy) * (1 + jnp.sqrt(decrement))


MEASURE = Measure(
    settings=Deficiency,
    name="deficiency",
    label="δ",
    solve=deficiency_of,
    remark="counts as unique what is missed when a source is imitated from the other by the best Gaussian channel.",
)
