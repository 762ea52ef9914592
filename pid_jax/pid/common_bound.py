"""The largest error covariance that several sources all allow: a determinant maximization with a certificate.

    maximize log |P|   subject to   P ⪯ A_k for k = 1 ... K

Its dual is: minimize Σ tr(Y_k A_k) − log |Σ Y_k| − n over Y_k ⪰ 0. At the optimum Y_k (A_k − P) = 0 and (Σ Y_k) P = I.
A primal-dual interior point method follows the path Y_k (A_k − P) = μ I, (Σ Y_k) P = I to μ = 0. Both conditions are
linearized as products, so every point on the way is feasible on both sides, and any such pair bounds the optimum from
below and above: the result is certified whatever the iteration did.

Source: Vandenberghe, Boyd & Wu (1998), SIAM J. Matrix Anal. Appl. 19, 499, for the problem; Helmberg, Rendl,
Vanderbei & Wolkowicz (1996), SIAM J. Optim. 6, 342, for the direction; Mehrotra (1992), SIAM J. Optim. 2, 575, for the
predictor.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from pid_jax.gaussian.linalg import cholesky, invert_lower, solve_lower, symmetrize

MAX_STEPS = 60
# Steps without a smaller gap after which rounding is taken to have the last word.
PATIENCE = 8
# How far towards the boundary of the feasible set a step goes.
FRACTION = 0.95
# The gap to stop at, in units of rounding per constraint and dimension: 6e-12 nats for K = 3, n = 16 in float64.
TOLERANCE = 1e3


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class CommonBound:
    """Solution of the determinant maximization.

    Attributes:
        log_det: log |P| of the best P found, which lies inside all bounds.
        gap: The optimal log |P| is at most `log_det` + `gap`.
    """

    log_det: Float[Array, ""]
    gap: Float[Array, ""]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class _Pair:
    """P and the Y_k, feasible both."""

    inner: Float[Array, "n n"]
    dual: Float[Array, "K n n"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class _State:
    """Where the iteration is, and the best pair so far with its gap."""

    here: _Pair
    best: _Pair
    gap: Float[Array, ""]
    steps: Int[Array, ""]
    stalled: Int[Array, ""]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class _Move:
    """Changes of P, of the slacks Z_k = I − N_k P N_kᵀ and of the Y_k."""

    inner: Float[Array, "n n"]
    slack: Float[Array, "K n n"]
    dual: Float[Array, "K n n"]


@jax.custom_jvp
def largest_common_bound(bounds: Float[Array, "K n n"]) -> CommonBound:
    """Maximize log |P| subject to P ⪯ A_k for all k.

    The derivative of log |P| is Σ tr(Y_k dA_k) with the optimal Y_k; where they are not unique, the optimum has a kink
    and the Y_k in the middle of all optimal ones, to which the method leads, give a derivative between all one-sided
    ones. The gap counts as a constant.

    Args:
        bounds: A_k, positive definite.

    Returns:
        The optimum with its gap. Both are NaN if the A_k are not positive definite.
    """
    return _solve(bounds)[0]


@largest_common_bound.defjvp
def _largest_common_bound_jvp(
    primals: tuple[Float[Array, "K n n"]], tangents: tuple[Float[Array, "K n n"]]
) -> tuple[CommonBound, CommonBound]:
    bound, multipliers = _solve(*primals)
    change = (multipliers * symmetrize(tangents[0])).sum()
    return bound, CommonBound(log_det=change, gap=jnp.zeros_like(bound.gap))


def _solve(bounds: Float[Array, "K n n"]) -> tuple[CommonBound, Float[Array, "K n n"]]:
    """Find the optimum and its multipliers Y_k.

    The problem is brought to coordinates in which Σ A_k⁻¹ = I, so that with A_k⁻¹ = N_kᵀ N_k every constraint reads
    N_k P N_kᵀ ⪯ I and no matrix has entries above 1, whatever the condition of the A_k.
    """
    count, size = bounds.shape[:2]
    roots = jax.vmap(invert_lower)(jax.vmap(cholesky)(bounds))
    scale = cholesky(_pull(jnp.broadcast_to(jnp.eye(size, dtype=bounds.dtype), bounds.shape), roots))
    maps = _transpose(jax.vmap(solve_lower, in_axes=(None, 0))(scale, _transpose(roots)))
    tolerance = TOLERANCE * jnp.finfo(bounds.dtype).eps * count * size

    def goes_on(state: _State) -> Array:
        return (state.steps < MAX_STEPS) & (state.stalled < PATIENCE) & (state.gap > tolerance)

    final = lax.while_loop(goes_on, lambda state: _advance(state, maps), _start(maps))
    bound = CommonBound(log_det=_log_det(cholesky(final.best.inner)) - _log_det(scale), gap=final.gap)
    return bound, _transpose(roots) @ final.best.dual @ roots


def _start(maps: Float[Array, "K n n"]) -> _State:
    """Begin halfway to the boundary along P ∝ I; (Σ N_kᵀ Y_k N_k) P = I holds with Y_k ∝ I, because Σ N_kᵀ N_k = I."""
    eye = jnp.eye(maps.shape[-1], dtype=maps.dtype)
    level = 2 * jnp.linalg.eigvalsh(_transpose(maps) @ maps).max()
    zero = jnp.zeros((), jnp.int32)
    pair = _Pair(inner=eye / level, dual=jnp.broadcast_to(eye * level, maps.shape))
    return _State(
        here=pair,
        best=pair,
        gap=jnp.full((), jnp.inf, maps.dtype),
        steps=zero,
        stalled=zero,
    )


def _advance(state: _State, maps: Float[Array, "K n n"]) -> _State:
    """Take one predictor-corrector step and keep the best point."""
    count, size = maps.shape[:2]
    inner, dual, slack = state.here.inner, state.here.dual, _slack(state.here.inner, maps)
    factors = cholesky(inner), jax.vmap(cholesky)(slack), jax.vmap(cholesky)(dual)
    inverse, slack_inverse = _inverse(factors[0]), jax.vmap(_inverse)(factors[1])
    pulled = [_transpose(maps) @ x @ maps for x in (slack_inverse, dual)]
    system = product_matrix(inverse, pulled[1].sum(axis=0)) + jax.vmap(product_matrix)(*pulled).sum(axis=0)
    system_factor = cholesky(system), True

    def move(target: Array, ahead: _Move) -> _Move:
        """Solve for the path at μ = target, with the second-order terms of the move `ahead`."""
        second = symmetrize(slack_inverse @ ahead.slack @ ahead.dual)
        second_inner = symmetrize(inverse @ ahead.inner @ _pull(ahead.dual, maps))
        right = inverse - second_inner - target * pulled[0].sum(axis=0) + _pull(second, maps)
        d_inner = unpack(jax.scipy.linalg.cho_solve(system_factor, pack(right)), size)
        d_slack = -maps @ d_inner @ _transpose(maps)
        d_dual = target * slack_inverse - dual - symmetrize(slack_inverse @ d_slack @ dual) - second
        return _Move(inner=d_inner, slack=d_slack, dual=d_dual)

    def lengths(step: _Move, fraction: float) -> tuple[Array, Array]:
        far = jnp.minimum(_longest(factors[0], step.inner), jax.vmap(_longest)(factors[1], step.slack).min())
        far_dual = jax.vmap(_longest)(factors[2], step.dual).min()
        return jnp.minimum(1, fraction * far), jnp.minimum(1, fraction * far_dual)

    nothing = _Move(inner=jnp.zeros_like(inner), slack=jnp.zeros_like(slack), dual=jnp.zeros_like(dual))
    predictor = move(jnp.zeros((), dual.dtype), nothing)
    primal, other = lengths(predictor, 1.0)
    mean = (slack * dual).sum() / (count * size)
    ahead = ((slack + primal * predictor.slack) * (dual + other * predictor.dual)).sum() / (count * size)
    corrector = move(jnp.clip((ahead / mean) ** 2, 1e-6, 1) * mean, predictor)
    primal, other = lengths(corrector, FRACTION)
    reached = _Pair(inner=inner + primal * corrector.inner, dual=dual + other * corrector.dual)
    return _keep_best(state, reached, maps)


def _keep_best(state: _State, reached: _Pair, maps: Float[Array, "K n n"]) -> _State:
    gap = _gap(reached, maps)
    is_better = gap < state.gap
    return _State(
        here=reached,
        best=jax.tree.map(lambda new, old: jnp.where(is_better, new, old), reached, state.best),
        gap=jnp.where(is_better, gap, state.gap),
        steps=state.steps + 1,
        stalled=jnp.where(is_better, 0, jnp.where(jnp.isfinite(gap), state.stalled + 1, PATIENCE)),
    )


def _gap(pair: _Pair, maps: Float[Array, "K n n"]) -> Float[Array, ""]:
    """Compute dual minus primal value: Σ tr(Y_k Z_k) + (tr X − log |X| − n), X = Lᵀ (Σ N_kᵀ Y_k N_k) L, P = L Lᵀ.

    Both parts are sums of what is never negative. It is NaN where a point is not feasible.
    """
    inner, dual = pair.inner, pair.dual
    factor = cholesky(inner)
    near_one = factor.T @ _pull(dual, maps) @ factor
    slack = _slack(inner, maps)
    is_feasible = jnp.isfinite(jax.vmap(cholesky)(slack)).all() & jnp.isfinite(jax.vmap(cholesky)(dual)).all()
    excess = jnp.trace(near_one) - inner.shape[0] - _log_det(cholesky(near_one))
    return jnp.where(is_feasible, (dual * slack).sum() + excess, jnp.nan)


def _slack(inner: Float[Array, "n n"], maps: Float[Array, "K n n"]) -> Float[Array, "K n n"]:
    return jnp.eye(inner.shape[0], dtype=inner.dtype) - maps @ inner @ _transpose(maps)


def _pull(dual: Float[Array, "K n n"], maps: Float[Array, "K n n"]) -> Float[Array, "n n"]:
    """Compute Σ N_kᵀ Y_k N_k."""
    return (_transpose(maps) @ dual @ maps).sum(axis=0)


def _longest(factor: Float[Array, "n n"], move: Float[Array, "n n"]) -> Float[Array, ""]:
    """Find the largest step for which L Lᵀ + step · move stays positive semidefinite."""
    relative = solve_lower(factor, solve_lower(factor, move).T)
    lowest = jnp.linalg.eigvalsh(symmetrize(relative))[0]
    return lax.select(lowest < 0, -1 / lowest, jnp.full_like(lowest, jnp.inf))


def _inverse(factor: Float[Array, "n n"]) -> Float[Array, "n n"]:
    root = invert_lower(factor)
    return root.T @ root


def _log_det(factor: Float[Array, "n n"]) -> Float[Array, ""]:
    return 2 * jnp.log(jnp.diag(factor)).sum()


def _transpose(matrices: Float[Array, "K n m"]) -> Float[Array, "K m n"]:
    return jnp.swapaxes(matrices, -1, -2)


def pack(symmetric: Float[Array, "n n"]) -> Float[Array, "m"]:
    """List the upper triangle, entries off the diagonal times √2, so that inner products stay what they are."""
    size = symmetric.shape[0]
    return symmetric[np.triu_indices(size)] * _weights(size)


def unpack(packed: Float[Array, "m"], size: int) -> Float[Array, "n n"]:
    """Undo `pack`."""
    upper = jnp.zeros((size, size), packed.dtype).at[np.triu_indices(size)].set(packed / _weights(size))
    return upper + upper.T - jnp.diag(jnp.diag(upper))


def product_matrix(left: Float[Array, "n n"], right: Float[Array, "n n"]) -> Float[Array, "m m"]:
    """Compute the matrix of X ↦ ½ (left X right + right X left) on packed matrices, for symmetric left and right."""
    i, j = np.triu_indices(left.shape[0])

    def half(a: Array, b: Array) -> Array:
        return a[i][:, i] * b[j][:, j] + a[i][:, j] * b[j][:, i] + a[j][:, i] * b[i][:, j] + a[j][:, j] * b[i][:, i]

    weights = _weights(left.shape[0])
    return (half(left, right) + half(right, left)) * (weights[:, None] * weights[None, :] / 8)


def _weights(size: int) -> np.ndarray:
    i, j = np.triu_indices(size)
    return np.where(i == j, 1.0, np.sqrt(2.0))
