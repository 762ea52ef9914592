"""Decomposition from the gains of channels: cheap enough for thousands of replicates."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pid_jax.gaussian.information import Information
from pid_jax.gaussian.linalg import cholesky, solve_lower, symmetric_eigen, symmetrize


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Which directions of the target one source knows better than the other.

    The precisions P_k = I + H_kᵀ H_k of the target given source k are made diagonal by one congruence, P_1 =
    T diag(g e^−l) Tᵀ and P_2 = T diag(g e^l) Tᵀ. The sum of |l| over the directions is U_1 + U_2, the sum of l is
    I_2 − I_1.

    Attributes:
        half_log_ratio: l, ascending: half the logarithm of the generalized eigenvalues of (Σ_t|1, Σ_t|2).
        common: g.
        axes: T.
    """

    half_log_ratio: Float[Array, "dt"]
    common: Float[Array, "dt"]
    axes: Float[Array, "dt dt"]


def contrast_of(known_1: Float[Array, "dt dt"], known_2: Float[Array, "dt dt"]) -> Contrast:
    """Compare what two sources know.

    Args:
        known_1: H_1ᵀ H_1.
        known_2: H_2ᵀ H_2.
    """
    factor = cholesky(2 * jnp.eye(len(known_1), dtype=known_1.dtype) + known_1 + known_2)
    relative = symmetrize(solve_lower(factor, solve_lower(factor, known_2 - known_1).T))
    contrast, vectors = symmetric_eigen(relative)
    limit = 1 - 0.5 * jnp.finfo(contrast.dtype).eps
    half_log_ratio = jnp.arctanh(jnp.clip(contrast, -limit, limit))
    return Contrast(half_log_ratio=half_log_ratio, common=0.5 / jnp.cosh(half_log_ratio), axes=factor @ vectors)


def half_log_ratios(gain_1: Float[Array, "d1 dt"], gain_2: Float[Array, "d2 dt"]) -> Float[Array, "dt"]:
    """Compute l, ascending; see `Contrast`."""
    return contrast_of(gain_1.T @ gain_1, gain_2.T @ gain_2).half_log_ratio


def information_of_gains(
    gain_1: Float[Array, "d1 dt"], gain_2: Float[Array, "d2 dt"], gain_12: Float[Array, "d dt"]
) -> Information:
    """Compute the three informations in nats, ½ log |I + Hᵀ H|."""
    return Information(i_1=_information(gain_1), i_2=_information(gain_2), i_12=_information(gain_12))


def _information(gain: Float[Array, "d dt"]) -> Float[Array, ""]:
    known = gain.T @ gain if gain.shape[0] >= gain.shape[1] else gain @ gain.T
    return jnp.log(jnp.diag(cholesky(jnp.eye(len(known), dtype=known.dtype) + known))).sum()
