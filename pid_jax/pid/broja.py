"""BROJA unique information of jointly Gaussian variables, in closed form and certified."""

import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from pid_jax.gaussian.information import information_from_cross, information_of
from pid_jax.gaussian.joint import JointGaussian, WhitenedGaussian, whiten, whiten_psd, whiten_sources
from pid_jax.pid.atoms import PIDSolution, solution


def pid_broja(joint: JointGaussian, rank_cut: float = 1e-13) -> PIDSolution:
    """Decompose by the union information min_q I_q(target; source_1, source_2).

    q runs over all distributions with the pairwise (source_k, target) marginals of the data. With λ the generalized
    eigenvalues of the conditional covariances (Σ_t|1, Σ_t|2) of the target,

        U_1 = ½ Σ max(0, −log λ)        U_2 = ½ Σ max(0, log λ).

    Args:
        joint: One joint Gaussian; vmap for more.
        rank_cut: Directions with less than this fraction of a variable's largest variance are dropped.

    Returns:
        The decomposition in nats. `gap` compares the closed form, a lower bound on the union information, with the
        value of the coupling that attains it, an upper bound.

    Source: Bertschinger, Rauh, Olbrich, Jost & Ay (2014), Entropy 16(4), 2161, for the measure; docs/theory.md for
    the closed form and its proof.
    """
    whitened = whiten(joint, rank_cut)
    information = information_of(whitened)
    log_ratio, axes = conditional_spectrum(whitened)
    unique_1 = 0.5 * jnp.maximum(-log_ratio, 0).sum()
    unique_2 = 0.5 * jnp.maximum(log_ratio, 0).sum()
    union = 0.5 * ((information.i_1 + unique_2) + (information.i_2 + unique_1))
    primal = _coupled_information(whitened, log_ratio, axes, rank_cut)
    return solution(information, unique_1, unique_2, whitened.status, gap=primal - union)


def conditional_spectrum(whitened: WhitenedGaussian) -> tuple[Float[Array, "dt"], Float[Array, "dt dt"]]:
    """Diagonalize both conditional covariances of the whitened target by one congruence T.

    Σ_t|2 = T Tᵀ and Σ_t|1 = T diag(λ) Tᵀ. With Σ_t|2 = L Lᵀ and Q_k = R_k R_kᵀ, the eigenvalues of
    L⁻¹ (Q_2 − Q_1) L⁻ᵀ are λ − 1, so that log1p keeps small differences in full precision.

    Args:
        whitened: The whitened blocks.

    Returns:
        log λ and T.
    """
    known_1, known_2 = whitened.cross_t1 @ whitened.cross_t1.T, whitened.cross_t2 @ whitened.cross_t2.T
    factor = jnp.linalg.cholesky(jnp.eye(known_2.shape[0], dtype=known_2.dtype) - known_2)
    half = solve_triangular(factor, known_2 - known_1, lower=True)
    difference = solve_triangular(factor, half.T, lower=True)
    excess, axes = jnp.linalg.eigh(0.5 * (difference + difference.T))
    return jnp.log1p(excess), factor @ axes


def _coupled_information(
    whitened: WhitenedGaussian, log_ratio: Float[Array, "dt"], axes: Float[Array, "dt dt"], rank_cut: float
) -> Float[Array, ""]:
    """Compute the information of the coupling that attains the minimum, in nats.

    Under it the sources are independent given an estimate of the target with covariance
    E = I − P*, P* = T diag(min(1, λ)) Tᵀ, so their covariance is R_1ᵀ E⁺ R_2; all pairwise marginals with the target
    stay as they are, and the joint covariance is a valid one.
    """
    surplus = axes * jnp.sqrt(jnp.maximum(-jnp.expm1(log_ratio), 0))
    estimate = whitened.cross_t2 @ whitened.cross_t2.T + surplus @ surplus.T
    map_e, _ = whiten_psd(estimate, rank_cut)
    cross_12 = (map_e @ whitened.cross_t1).T @ (map_e @ whitened.cross_t2)
    map_12 = whiten_sources(cross_12, whitened.keep_1, whitened.keep_2, rank_cut)
    cross_t12 = jnp.concatenate([whitened.cross_t1, whitened.cross_t2], axis=1) @ map_12.T
    return information_from_cross(cross_t12)
