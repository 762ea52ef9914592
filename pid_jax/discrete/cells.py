"""Sums over the cells of two sources: class posteriors of a pair of cells, entropies, and certified bounds.

Arrays follow one layout: K classes first, then A cells of source_1 and B cells of source_2.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def entropy(p: Float[Array, "..."]) -> Float[Array, ""]:
    """Return −Σ p log p in nats over all entries, with 0 log 0 = 0."""
    return -jnp.sum(jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1)), 0))


def log_or_zero(p: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return log p, and 0 where p is 0."""
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1)), 0)


def safe(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return a divisor: `x`, and 1 where it is not positive."""
    return jnp.where(x > 0, x, 1)


def pair_cells(
    lam: Float[Array, "K A"], mu: Float[Array, "K B"], in_1: Bool[Array, "K A"], in_2: Bool[Array, "K B"]
) -> tuple[Float[Array, "A B"], Float[Array, "K A B"]]:
    """Return h_ab = log Σ_y exp(λ_ya + μ_yb), and the share of each class in the sum.

    Classes that are absent from either cell are left out; a pair without a class has h = −1 and shares of 0.
    """
    total = jnp.where(in_1[:, :, None] & in_2[:, None, :], lam[:, :, None] + mu[:, None, :], -jnp.inf)
    top = jnp.max(total, axis=0)
    top = jnp.where(jnp.isfinite(top), top, 0)
    each = jnp.exp(total - top)
    found = each.sum(axis=0)
    return jnp.where(found > 0, top + jnp.log(safe(found)), -1.0), each / safe(found)


def feasible_duals(
    h: Float[Array, "A B"], has_class: Bool[Array, "A B"]
) -> tuple[Float[Array, "A"], Float[Array, "B"]]:
    """Return what to subtract from λ(·, a) and from μ(·, b) so that no h is above 0."""
    masked = jnp.where(has_class, h, -jnp.inf)
    of_a = jnp.where(has_class.any(axis=1), masked.max(axis=1), 0)
    of_b = jnp.where(has_class.any(axis=0), (masked - of_a[:, None]).max(axis=0), 0)
    return of_a, of_b


def round_coupling(
    q: Float[Array, "K A B"], p_1: Float[Array, "K A"], p_2: Float[Array, "K B"]
) -> Float[Array, "K A B"]:
    """Return a coupling with the given marginals near an approximate one: scaled down, then filled by products.

    Source: Altschuler, Weed & Rigollet (2017), Advances in Neural Information Processing Systems 30, 1964.
    """
    of_a = q.sum(axis=2)
    q = q * jnp.where(of_a > p_1, p_1 / safe(of_a), 1)[:, :, None]
    of_b = q.sum(axis=1)
    q = q * jnp.where(of_b > p_2, p_2 / safe(of_b), 1)[:, None, :]
    left_1, left_2 = jnp.maximum(p_1 - q.sum(axis=2), 0), jnp.maximum(p_2 - q.sum(axis=1), 0)
    return q + left_1[:, :, None] * left_2[:, None, :] / safe(left_1.sum(axis=1))[:, None, None]


def coupled_information(q: Float[Array, "K A B"], target: Float[Array, ""]) -> Float[Array, ""]:
    """Return I(Y; A, B) in nats of a joint table whose target has the given entropy."""
    return target + jnp.sum(jnp.where(q > 0, q * jnp.log(safe(q) / safe(q.sum(axis=0))), 0))
