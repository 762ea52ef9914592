"""Union information of two sources about a class, certified from both sides, by a primal-dual interior-point method."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from pid_jax.discrete.cells import coupled_information, entropy, feasible_duals, pair_cells, round_coupling
from pid_jax.discrete.newton import Pair, cell_sums, newton_solver
from pid_jax.discrete.start import scaled_start

# Entries of a table below this share of tol, divided by the number of entries, get fixed dual variables; the bounds
# count them, and lose less than a hundredth of tol.
SMALLEST_SHARE = 1e-4
# λ + μ of an entry with a fixed variable, at most.
FIXED_LOG = -30.0
# Share of the way to the boundary that a step goes, and the largest change of a dual variable.
TO_BOUNDARY, LARGEST_CHANGE = 0.99, 10.0
# Products r s after the corrector are pushed between these multiples of their target.
CENTRAL = 10.0
# Ridge of the linear systems relative to their diagonal: at first, its growth after a failure, and where to give up.
RIDGE, RIDGE_GROWTH, LAST_RIDGE = 1e-15, 1e3, 1e-3
SHORTEST_STEP = 1e-8


class UnionSolution(NamedTuple):
    """Bounds of the union information in nats, and the dual variables that prove the lower one."""

    lower: Float[Array, ""]
    upper: Float[Array, ""]
    lam: Float[Array, "A K"]
    mu: Float[Array, "B K"]
    steps: Int[Array, ""]


class _Problem(NamedTuple):
    p_1: Float[Array, "K A"]
    p_2: Float[Array, "K B"]
    entropy: Float[Array, ""]
    kept: tuple[Bool[Array, "K A"], Bool[Array, "K B"]]
    has_class: Bool[Array, "A B"]


class _Point(NamedTuple):
    lam: Float[Array, "K A"]
    mu: Float[Array, "K B"]
    mass: Float[Array, "A B"]
    slack: Float[Array, "A B"]


class _State(NamedTuple):
    point: _Point
    best: Pair
    lower: Float[Array, ""]
    upper: Float[Array, ""]
    ridge: Float[Array, ""]
    steps: Int[Array, ""]


def solve_union(
    p_1: Float[Array, "A K"], p_2: Float[Array, "B K"], tol: float | Float[Array, ""] = 1e-9, max_steps: int = 60
) -> UnionSolution:
    """Bound the least information about a class that two pairwise tables allow.

    I_∪ = min over q(y, a, b) with q(y, a) = p_1 and q(y, b) = p_2 of I_q(Y; A, B) equals

        H(Y) + max Σ p_1 λ + Σ p_2 μ    over λ(a, y), μ(b, y) with Σ_y exp(λ_ay + μ_by) ≤ 1 for all a, b,

    which is solved by Newton steps on its optimality conditions, with predictor and correctors. Every iterate bounds
    the optimum: from below after λ and μ are moved until they obey all constraints, from above after its coupling is
    rounded to the right marginals.

    Args:
        p_1: Joint table of source_1's A cells and K classes. Entries, cells and classes may be 0.
        p_2: Joint table of source_2 and the same classes, with the same class probabilities up to rounding.
        tol: Stop when the bounds are this close, in nats.
        max_steps: Stop after so many steps with the bounds that there are.

    Returns:
        Bounds in nats, λ and μ, and the steps taken. `lower` is the value of λ and μ, up to rounding. Where a table has
        an entry of 0 its dual variable is −inf, so that the union information of an event, λ + μ − log p(y), is that of
        an impossible one: sum over entries above 0 only. With NaN in a table the bounds are NaN and no step is taken.
        Needs float64: call it inside `double_precision()`. Map it by `lax.map` on a CPU, where every problem then stops
        after its own number of steps, or by `vmap`.

    Source: Bertschinger, Rauh, Olbrich, Jost & Ay (2014), Entropy 16(4), 2161, for the measure; Mehrotra (1992), SIAM
    Journal on Optimization 2(4), 575, for predictor and corrector; Gondzio (1996), Computational Optimization and
    Applications 6, 137, for the correction after them; docs/decisions/0029-discrete-solver.md.
    """
    if p_1.shape[0] < p_2.shape[0]:
        found = solve_union(p_2, p_1, tol, max_steps)
        return found._replace(lam=found.mu, mu=found.lam)
    problem = _set_up(p_1.T, p_2.T, tol)
    kept_1, kept_2 = (jnp.where(k, p, 0) for k, p in zip(problem.kept, problem[:2], strict=True))
    start = scaled_start(kept_1, kept_2, problem.has_class)
    point = _with_fixed(problem, _Point(*start))
    lower, upper, best = _bounds(problem, point)
    ridge = jnp.full_like(lower, RIDGE)

    def is_open(state: _State) -> Bool[Array, ""]:
        return (state.upper - state.lower > tol) & (state.steps < max_steps) & (state.ridge < LAST_RIDGE)

    first = _State(point, best, lower, upper, ridge, jnp.zeros((), int))
    last = lax.while_loop(is_open, lambda state: _advance(problem, state), first)
    lam, mu = (jnp.where(p > 0, x, -jnp.inf).T for x, p in zip(last.best, problem[:2], strict=True))
    return UnionSolution(last.lower, last.upper, lam, mu, last.steps)


def _set_up(p_1: Float[Array, "K A"], p_2: Float[Array, "K B"], tol: float | Float[Array, ""]) -> _Problem:
    is_finite = jnp.isfinite(p_1).all() & jnp.isfinite(p_2).all()
    least = SMALLEST_SHARE * tol / (p_1.size + p_2.size)
    return _Problem(
        p_1=p_1,
        p_2=p_2,
        entropy=jnp.where(is_finite, entropy(p_1.sum(axis=1)), jnp.nan),  # and so are both bounds
        kept=(p_1 > least, p_2 > least),
        has_class=((p_1 > 0)[:, :, None] & (p_2 > 0)[:, None, :]).any(axis=0),
    )


def _with_fixed(problem: _Problem, point: _Point) -> _Point:
    """Set the dual variables of entries too small to be variables, so that they hardly weigh on a constraint."""
    kept_1, kept_2 = problem.kept
    top_2 = jnp.max(jnp.where(kept_2, point.mu, -jnp.inf), axis=1, keepdims=True)
    lam = jnp.where(kept_1, point.lam, FIXED_LOG - jnp.where(jnp.isfinite(top_2), top_2, 0))
    top_1 = jnp.max(jnp.where(problem.p_1 > 0, lam, -jnp.inf), axis=1, keepdims=True)
    mu = jnp.where(kept_2, point.mu, FIXED_LOG - jnp.where(jnp.isfinite(top_1), top_1, 0))
    return point._replace(lam=lam, mu=mu)


def _cells(problem: _Problem, point: _Point) -> tuple[Float[Array, "A B"], Float[Array, "K A B"]]:
    return pair_cells(point.lam, point.mu, problem.p_1 > 0, problem.p_2 > 0)


def _bounds(problem: _Problem, point: _Point) -> tuple[Array, Array, Pair]:
    """Return the lower bound, the upper bound, and the λ and μ of the lower one."""
    h, pi = _cells(problem, point)
    of_a, of_b = feasible_duals(h, problem.has_class)
    lam, mu = point.lam - of_a, point.mu - of_b
    dual = (
        jnp.where(problem.p_1 > 0, problem.p_1 * lam, 0).sum() + jnp.where(problem.p_2 > 0, problem.p_2 * mu, 0).sum()
    )
    coupling = round_coupling(point.mass * pi, problem.p_1, problem.p_2)
    return problem.entropy + dual, coupled_information(coupling, problem.entropy), (lam, mu)


def _advance(problem: _Problem, state: _State) -> _State:
    """Take one step; where a factorization fails, repeat it with a larger ridge."""
    point = _with_fixed(problem, _step(problem, state.point, state.ridge))
    h, _ = _cells(problem, point)
    # A slack that the constraint has in full is taken as it is, so that the point obeys the constraint again.
    point = point._replace(slack=jnp.where(problem.has_class & (-h > 0.1 * point.slack), -h, point.slack))
    lower, upper, duals = _bounds(problem, point)
    moved = jnp.abs(point.mass - state.point.mass).max() + jnp.abs(point.slack - state.point.slack).max()
    is_good = jnp.isfinite(lower) & jnp.isfinite(upper) & (moved > 0)
    is_better = is_good & (lower > state.lower)
    return _State(
        point=_choose(is_good, point, state.point),
        best=_choose(is_better, duals, state.best),
        lower=jnp.where(is_better, lower, state.lower),
        upper=jnp.where(is_good & (upper < state.upper), upper, state.upper),
        ridge=jnp.where(is_good, jnp.maximum(state.ridge / 10, RIDGE), state.ridge * RIDGE_GROWTH),
        steps=state.steps + 1,
    )


def _step(problem: _Problem, point: _Point, ridge: Float[Array, ""]) -> _Point:
    """Return the next point: predictor, corrector, and one correction of what both leave, by one factorization."""
    kept, has = problem.kept, problem.has_class
    pairs = jnp.maximum(has.sum(), 1)
    h, pi = _cells(problem, point)
    own = jnp.where(kept[0][:, :, None] & kept[1][:, None, :], pi, 0)
    solve = newton_solver(point.mass * own, own, jnp.where(has, point.mass / point.slack - point.mass, 0), kept, ridge)
    inverse_slack = jnp.where(has, 1 / point.slack, 0)

    def direction(missing: Pair, excess: Array, product: Array) -> _Point:
        """Return a change for: marginals that are missing, h + s in excess, and a change of the products r s."""
        known = cell_sums((product + point.mass * excess) * inverse_slack * own, kept)
        lam, mu = solve((missing[0] - known[0], missing[1] - known[1]))
        slack = jnp.where(has, -excess - (own * (lam[:, :, None] + mu[:, None, :])).sum(axis=0), 0)
        return _Point(lam, mu, jnp.where(has, (product - point.mass * slack) * inverse_slack, 0), slack)

    def missing_at(mass: Array, shares: Array) -> Pair:
        sums = cell_sums(mass * shares, kept)
        return jnp.where(kept[0], problem.p_1 - sums[0], 0), jnp.where(kept[1], problem.p_2 - sums[1], 0)

    missing, excess = missing_at(point.mass, pi), jnp.where(has, h + point.slack, 0)
    product = point.mass * point.slack
    affine = direction(missing, excess, -product)
    reach = jnp.minimum(1, _longest(point, affine, has))
    level = jnp.where(has, product, 0).sum() / pairs
    left = jnp.where(has, (point.mass + reach * affine.mass) * (point.slack + reach * affine.slack), 0).sum() / pairs
    target = jnp.clip(left / level, 0, 1) ** 3 * level
    change = direction(missing, excess, target - product - reach**2 * affine.mass * affine.slack)
    # What is left at the end of a slightly longer step, with nothing linearized, is corrected by the same factors.
    length = jnp.minimum(1, 1.1 * _longest(point, change, has) + 0.1)
    trial = _move(point, change, length)
    h, pi = _cells(problem, trial)
    rest = 1 - length
    still = missing_at(jnp.maximum(trial.mass, 0), pi)
    still = (still[0] - rest * missing[0], still[1] - rest * missing[1])
    product = trial.mass * trial.slack
    wanted = jnp.maximum(jnp.clip(product, target / CENTRAL, target * CENTRAL) - product, -CENTRAL * target)
    more = direction(still, jnp.where(has, h + trial.slack - rest * excess, 0), jnp.where(has, wanted, 0))
    corrected = jax.tree.map(jnp.add, change, more)
    is_longer = _longest(point, corrected, has) > _longest(point, change, has)
    change = _choose(is_longer, corrected, change)
    length = jnp.minimum(1, TO_BOUNDARY * _longest(point, change, has))
    return _move(point, change, jnp.where(length > SHORTEST_STEP, length, jnp.nan))


def _longest(point: _Point, change: _Point, has_class: Bool[Array, "A B"]) -> Float[Array, ""]:
    """Return the length of the step to the boundary, or to the largest change of a dual variable."""

    def to_zero(value: Array, step: Array) -> Array:
        falls = has_class & (step < 0)
        return jnp.where(falls, -value / jnp.where(falls, step, -1), jnp.inf).min()

    largest = jnp.maximum(jnp.abs(change.lam).max(), jnp.abs(change.mu).max())
    ends = (to_zero(point.mass, change.mass), to_zero(point.slack, change.slack), LARGEST_CHANGE / largest)
    return jnp.minimum(jnp.minimum(*ends[:2]), ends[2])


def _move(point: _Point, change: _Point, length: Array) -> _Point:
    return jax.tree.map(lambda x, step: x + length * step, point, change)


def _choose(condition: Bool[Array, ""], one: Any, other: Any) -> Any:
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), one, other)
