"""Union information of any number of sources."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pid_jax.gaussian.information import information_from_cross
from pid_jax.gaussian.joint import JointGaussian
from pid_jax.gaussian.whiten import whiten
from pid_jax.gaussian.whitened import WhitenedGaussian
from pid_jax.pid.common_bound import largest_common_bound
from pid_jax.pid.conditional import restrict_target


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class UnionSolution:
    """Union information as the core function returns it.

    Attributes:
        union: I_∪ in nats, attained by a coupling with the pairwise marginals of the data.
        i_each: I(target; source_k) of each source in nats.
        i_all: I(target; all sources) in nats.
        gap: The optimum for the whitened covariance lies between `union` − `gap` and `union`; the rounding of the
            whitening is not in it.
        status: `Status`. Where it is `INFINITE_INFORMATION` infinite informations are `inf`, and the union information
            is there if each source alone has a finite one. Where the matrix is no covariance every number is NaN.
    """

    union: Float[Array, "..."]
    i_each: Float[Array, "... K"]
    i_all: Float[Array, "..."]
    gap: Float[Array, "..."]
    status: Int[Array, "..."]


def union_information(joint: JointGaussian, rank_cut: float = 1e-13) -> UnionSolution:
    """Compute the least information about the target that the pairwise marginals allow, for K ≥ 2 sources.

        I_∪ = min −½ log |P|   subject to   P ⪯ Σ_t|k for all k,   with the target whitened.

    For two sources this is the closed form of `pid_broja`; for more it is a convex problem, solved to a certified gap.
    First derivatives are finite, see `largest_common_bound`.

    Args:
        joint: One joint Gaussian, dims (d1, ..., dK, dt); vmap for more problems. The solver needs memory of order r⁴
            with r = min(dt, Σ d_k).
        rank_cut: Directions with less than this fraction of a variable's largest variance are dropped.

    Returns:
        The union information with its certificate.

    Source: Griffith & Koch (2014), Guided Self-Organization: Inception, 159, for the union information;
    docs/theory.md for the Gaussian case.
    """
    return union_of(whiten(joint, rank_cut, sources=None))


def union_of(whitened: WhitenedGaussian) -> UnionSolution:
    """Compute the union information of whitened variables, see `union_information`."""
    crosses = restrict_target(whitened.cross)
    eye = jnp.eye(crosses[0].shape[0], dtype=crosses[0].dtype)
    bound = largest_common_bound(jnp.stack([eye - cross @ cross.T for cross in crosses]))
    informations = jnp.stack([information_from_cross(cross) for cross in (*crosses, whitened.cross_all)])
    informations = jnp.where(whitened.determines, jnp.inf, informations)
    informations = jnp.where(whitened.is_covariance, informations, jnp.nan)
    union, gap = (jnp.where(whitened.has_union, x, jnp.nan) for x in (-0.5 * bound.log_det, 0.5 * bound.gap))
    each, together = informations[:-1], informations[-1]
    return UnionSolution(union=union, i_each=each, i_all=together, gap=gap, status=whitened.status)
