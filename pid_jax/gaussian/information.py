"""Mutual information of jointly Gaussian variables."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pid_jax.gaussian.joint import JointGaussian, WhitenedGaussian, whiten


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Information:
    """What the sources tell about the target, in nats.

    Attributes:
        i_1: I(target; source_1).
        i_2: I(target; source_2).
        i_12: I(target; source_1, source_2).
    """

    i_1: Float[Array, "..."] | np.ndarray
    i_2: Float[Array, "..."] | np.ndarray
    i_12: Float[Array, "..."] | np.ndarray


def mutual_information(joint: JointGaussian, rank_cut: float = 1e-13) -> Information:
    """Compute what each source, and both, tell about the target.

    I(T; X) = −½ log |I − R Rᵀ|, with R the covariance of the whitened target and the whitened source.

    Args:
        joint: One joint Gaussian; vmap for more.
        rank_cut: Directions with less than this fraction of a variable's largest variance are dropped.

    Returns:
        The three informations in nats; NaN where the covariance has no finite answer (see `Status`).
    """
    whitened = whiten(joint, rank_cut)
    return jax.tree.map(lambda x: jnp.where(whitened.status == 0, x, jnp.nan), information_of(whitened))


def information_of(whitened: WhitenedGaussian) -> Information:
    """Compute the three informations in nats from whitened blocks, whatever their status."""
    return Information(
        i_1=information_from_cross(whitened.cross_t1),
        i_2=information_from_cross(whitened.cross_t2),
        i_12=information_from_cross(whitened.cross_t12),
    )


def information_from_cross(cross: Float[Array, "dt d"]) -> Float[Array, ""]:
    """Compute −½ log |I − R Rᵀ| in nats from the covariance R of two whitened variables.

    By log1p of the eigenvalues of the smaller Gram matrix, so that weak dependence keeps its digits.
    """
    gram = cross @ cross.T if cross.shape[0] <= cross.shape[1] else cross.T @ cross
    return -0.5 * jnp.log1p(-jnp.linalg.eigvalsh(gram)).sum()
