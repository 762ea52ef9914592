"""The start of the interior-point method: a few sweeps of scaling, then moved away from the boundary."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from pid_jax.discrete.cells import log_or_zero, pair_cells, safe

# Sweeps are as many as cost about a Newton step, classes² times cells / 8, between these limits. At 10 classes and 64
# cells 800 sweeps save four of nine steps.
FEWEST_SWEEPS, MOST_SWEEPS = 100, 1000
# Share of the product of the marginals in the first mass of the pairs, slack of the tightest pair, and share of the
# uniform mass that is added after the sweeps.
PRODUCT_SHARE, SLACK, UNIFORM_SHARE = 0.1, 0.02, 0.02


def scaled_start(
    p_1: Float[Array, "K A"], p_2: Float[Array, "K B"], has_class: Bool[Array, "A B"]
) -> tuple[Float[Array, "K A"], Float[Array, "K B"], Float[Array, "A B"], Float[Array, "A B"]]:
    """Return λ, μ, the mass r of each pair of cells and its slack, inside of all constraints.

    Each sweep scales r(a, b) to the marginals of every class, q = r e^(λ + μ), and replaces r by Σ_y q.

    Source: Banerjee, Rauh & Montúfar (2018), IEEE International Symposium on Information Theory, 141.
    """
    in_1, in_2, of_y = p_1 > 0, p_2 > 0, p_1.sum(axis=1)
    of_a, of_b = p_1.sum(axis=0), p_2.sum(axis=0)
    mass = jnp.einsum("ya,yb->ab", p_1 / safe(of_y)[:, None], p_2)
    mass = (1 - PRODUCT_SHARE) * mass + PRODUCT_SHARE * jnp.where(has_class, of_a[:, None] * of_b, 0)

    def sweep(index: int, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        _, factor_2, mass = state
        factor_1 = p_1 / safe(jnp.einsum("ab,yb->ya", mass, factor_2))
        factor_2 = p_2 / safe(jnp.einsum("ab,ya->yb", mass, factor_1))
        return factor_1, factor_2, mass * jnp.einsum("ya,yb->ab", factor_1, factor_2)

    first = (p_1, p_2 / safe(of_y)[:, None] / safe(of_b), mass)
    classes, cells = p_2.shape
    sweeps = min(max(FEWEST_SWEEPS, classes**2 * cells // 8), MOST_SWEEPS)
    factor_1, factor_2, mass = lax.fori_loop(0, sweeps, sweep, first)
    lam, mu = log_or_zero(factor_1), log_or_zero(factor_2)
    h, _ = pair_cells(lam, mu, in_1, in_2)
    shift = jnp.max(jnp.where(has_class, h, -jnp.inf)) + SLACK
    slack = jnp.where(has_class, shift - h, 1.0)
    uniform = has_class / jnp.maximum(has_class.sum(), 1)
    scaled: Array = jnp.where(has_class, mass, 0)  # pyright: ignore[reportAssignmentType]
    mass = (1 - UNIFORM_SHARE) * scaled + UNIFORM_SHARE * uniform
    return jnp.where(in_1, lam - shift / 2, 0), jnp.where(in_2, mu - shift / 2, 0), mass, slack
