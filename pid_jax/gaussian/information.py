"""Mutual information of jointly Gaussian variables."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from pid_jax.gaussian.joint import JointGaussian
from pid_jax.gaussian.linalg import cholesky
from pid_jax.gaussian.whiten import whiten
from pid_jax.gaussian.whitened import WhitenedGaussian


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
        joint: One joint Gaussian with two sources; vmap for more problems.
        rank_cut: Directions with less than this fraction of a variable's largest variance are dropped.

    Returns:
        The three informations in nats, infinite where sources determine a direction of the target exactly; NaN for a
        matrix that is no covariance (see `Status`).

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from pid_jax import JointGaussian, mutual_information
        >>> cov = jnp.array([[2.0, 1.0, 1.0], [1.0, 2.0, 1.0], [1.0, 1.0, 1.0]])  # two noisy copies of the target
        >>> information = jax.jit(mutual_information)(JointGaussian(cov, (1, 1, 1)))
        >>> print(f"{information.i_1:.2f} {information.i_2:.2f} {information.i_12:.2f}")
        0.35 0.35 0.55
    """
    return information_of(whiten(joint, rank_cut))


def information_of(whitened: WhitenedGaussian) -> Information:
    """Compute the three informations in nats from two whitened sources; NaN where there is no covariance."""

    def of(cross: Float[Array, "dt d"], is_infinite: Bool[Array, ""]) -> Float[Array, ""]:
        value = jnp.where(is_infinite, jnp.inf, information_from_cross(cross))
        return jnp.where(whitened.is_covariance, value, jnp.nan)

    crosses = (*whitened.cross, whitened.cross_all)
    i_1, i_2, i_12 = (of(cross, one) for cross, one in zip(crosses, whitened.determines, strict=True))
    return Information(i_1=i_1, i_2=i_2, i_12=i_12)


def information_of_all(whitened: WhitenedGaussian) -> Float[Array, ""]:
    """Compute in nats what all sources together tell about the target; there may be one source, or many."""
    value = jnp.where(whitened.determines[-1], jnp.inf, information_from_cross(whitened.cross_all))
    return jnp.where(whitened.is_covariance, value, jnp.nan)


def information_from_cross(cross: Float[Array, "dt d"]) -> Float[Array, ""]:
    """Compute −½ log |I − R Rᵀ| in nats from the covariance R of two whitened variables."""
    return information_from_gram(cross @ cross.T if cross.shape[0] <= cross.shape[1] else cross.T @ cross)


def information_from_gram(gram: Float[Array, "n n"]) -> Float[Array, ""]:
    """Compute −½ log |I − Q| in nats, with every digit also where Q is small.

    With I − Q = L Lᵀ, the squares of L's diagonal are 1 − δ_i with δ_i = Q_ii + Σ_{j<i} L_ij², sums without
    cancellation, so log1p(−δ_i) keeps what log L_ii² would lose.
    """
    factor = cholesky(jnp.eye(gram.shape[0], dtype=gram.dtype) - gram)
    known = jnp.diag(gram) + (jnp.tril(factor, -1) ** 2).sum(axis=1)
    return -0.5 * jnp.log1p(-known).sum()
