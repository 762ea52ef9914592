"""Minimum mutual information."""

import jax.numpy as jnp

from pid_jax.gaussian.information import information_of
from pid_jax.gaussian.joint import JointGaussian
from pid_jax.gaussian.whiten import whiten
from pid_jax.gaussian.whitened import WhitenedGaussian
from pid_jax.pid.atoms import PIDSolution, solution


def pid_mmi(joint: JointGaussian, rank_cut: float = 1e-13) -> PIDSolution:
    """Decompose by minimum mutual information.

    R = min(I_1, I_2), U_k = I_k − R, S = I_12 − I_1 − I_2 + R. At least one of the unique atoms is zero by
    definition, so two uniques at once never show.

    Args:
        joint: One joint Gaussian; vmap for more.
        rank_cut: Directions with less than this fraction of a variable's largest variance are dropped.

    Returns:
        The decomposition in nats. `gap` is NaN: there is no optimization to certify.

    Example:
        >>> import jax.numpy as jnp
        >>> from pid_jax import JointGaussian, pid_mmi
        >>> cov = jnp.array([[2.0, 1.0, 1.0], [1.0, 3.0, 1.0], [1.0, 1.0, 1.0]])  # source_2 has more noise
        >>> atoms = pid_mmi(JointGaussian(cov, (1, 1, 1))).atoms
        >>> print(f"{atoms.unique_1:.3f} {atoms.unique_2:.3f}")
        0.144 0.000

    Source: Barrett (2015), Phys. Rev. E 91, 052802.
    """
    return mmi_of(whiten(joint, rank_cut))


def mmi_of(whitened: WhitenedGaussian) -> PIDSolution:
    """Decompose whitened variables, see `pid_mmi`."""
    information = information_of(whitened)
    difference = information.i_1 - information.i_2
    return solution(
        information,
        unique_1=jnp.maximum(difference, 0),
        unique_2=jnp.maximum(-difference, 0),
        whitened=whitened,
        gap=jnp.full_like(difference, jnp.nan),
    )
