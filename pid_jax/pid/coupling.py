"""The coupling of the sources under which they tell the least together: BROJA's minimizer."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pid_jax.gaussian.information import information_from_gram
from pid_jax.gaussian.joint import JointGaussian, block_slices, unit_scale
from pid_jax.gaussian.linalg import cholesky, solve_lower, solve_lower_transposed
from pid_jax.gaussian.whiten import whiten, whiten_psd
from pid_jax.gaussian.whitened import WhitenedGaussian
from pid_jax.pid.conditional import ConditionalContrast, absolute_root, conditional_contrast, restrict_source

# The coupling is moved off the boundary of what is feasible by this many units of rounding per dimension.
INTERIOR = 8.0


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Coupling:
    """Joint distribution of least information among those with the pairwise (source_k, target) marginals of the data.

    Attributes:
        cov: Its joint covariance, in the units of the data. Only the covariance of the two sources differs from theirs.
        noise_coupling: K*, correlation of the noises of both channels target → source_k, in units of the sources'
            standard deviations and whitened by the symmetric inverse root of their covariances. Up to rounding no
            singular value is above 1.
        information: I(target; source_1, source_2) under it, in nats: the union information.
        status: `Status` of the data. Every number is NaN where they have no covariance, or where one source alone has
            infinite information; that of both together does not matter here.
    """

    cov: Float[Array, "..."]
    noise_coupling: Float[Array, "..."]
    information: Float[Array, "..."]
    status: Int[Array, "..."]


def estimate_covariance(
    cross_1: Float[Array, "dt d1"], cross_2: Float[Array, "dt d2"], contrast: ConditionalContrast
) -> Float[Array, "dt dt"]:
    """Compute E = I − P*, the covariance of an estimate of the target from which both sources can be produced.

    P* = T diag((1 − |δ|)/2) Tᵀ is the largest error covariance that both sources allow, so
    E = ½ (Q_1 + Q_2 + T |δ| Tᵀ): a sum of positive terms, without cancellation. A few units of rounding of P* are
    added, which keeps the estimate feasible (it only gets better) and E positive definite.
    """
    spread = absolute_root(contrast)
    estimate = 0.5 * (cross_1 @ cross_1.T + cross_2 @ cross_2.T + spread @ spread.T)
    size = estimate.shape[0]
    small = INTERIOR * size * jnp.finfo(estimate.dtype).eps
    return (1 - small) * estimate + small * jnp.eye(size, dtype=estimate.dtype)


def coupled_information(
    cross_1: Float[Array, "dt d1"], cross_2: Float[Array, "dt d2"], estimate: Float[Array, "dt dt"]
) -> Float[Array, ""]:
    """Compute I(target; source_1, source_2) in nats when both sources are produced from one estimate of the target.

    They are independent given the estimate, so their covariance is C = R_1ᵀ E⁻¹ R_2. Source_2 without what source_1
    tells of it has covariance I − CᵀC, and adds that much to what is known.
    """
    known_1, known_2 = restrict_source(cross_1), restrict_source(cross_2)
    split = known_1.shape[1]
    half = solve_lower(cholesky(estimate), jnp.concatenate([known_1, known_2], axis=1))
    between = half[:, :split].T @ half[:, split:]
    eye = jnp.eye(between.shape[1], dtype=between.dtype)
    rest = eye - between.T @ between
    small = INTERIOR * between.shape[1] * jnp.finfo(between.dtype).eps
    factor, moved = cholesky(rest), cholesky(rest + small * eye)
    factor = jnp.where(jnp.isfinite(factor), factor, moved)  # of sources that determine each other up to rounding
    added = solve_lower_transposed(known_2 - known_1 @ between, factor)
    return information_from_gram(known_1 @ known_1.T + added @ added.T)


def broja_coupling(joint: JointGaussian, rank_cut: float = 1e-13) -> Coupling:
    """Find the coupling that attains BROJA's union information.

    Under it cov(source_1, source_2) = Σ_1t W_tᵀ E⁻¹ W_t Σ_t2 with W_t whitening the target, see `estimate_covariance`.

    Args:
        joint: One joint Gaussian with two sources; vmap for more problems.
        rank_cut: Directions with less than this fraction of a variable's largest variance are dropped.

    Returns:
        The coupling.
    """
    return coupling_of(whiten(joint, rank_cut), rank_cut)


def coupling_of(whitened: WhitenedGaussian, rank_cut: float = 1e-13) -> Coupling:
    """Find the coupling of whitened variables, see `broja_coupling`."""
    cross_1, cross_2 = whitened.cross
    estimate = estimate_covariance(cross_1, cross_2, conditional_contrast(cross_1, cross_2))
    d1, d2, dt = cross_1.shape[1], cross_2.shape[1], cross_1.shape[0]
    at_1, at_2, at_t = block_slices((d1, d2, dt))
    cov = whitened.cov
    reach_1, reach_2 = (cov[at, at_t] @ whitened.target_map.T for at in (at_1, at_2))
    half = solve_lower(cholesky(estimate), jnp.concatenate([reach_1, reach_2]).T)
    between = half[:, :d1].T @ half[:, d1:]
    scale = unit_scale(cov)
    unit_1, unit_2 = scale[at_1, None] * reach_1, scale[at_2, None] * reach_2
    root_1, root_2 = (
        _inverse_root(cov[at, at] * scale[at, None] * scale[at] - unit @ unit.T, rank_cut)
        for at, unit in ((at_1, unit_1), (at_2, unit_2))
    )
    noise = scale[at_1, None] * between * scale[at_2] - unit_1 @ unit_2.T
    coupled = cov.at[at_1, at_2].set(between).at[at_2, at_1].set(between.T)
    numbers = coupled, root_1 @ noise @ root_2, coupled_information(cross_1, cross_2, estimate)
    coupled, noise, information = (jnp.where(whitened.has_union, x, jnp.nan) for x in numbers)
    return Coupling(cov=coupled, noise_coupling=noise, information=information, status=whitened.status)


def _inverse_root(cov: Float[Array, "d d"], rank_cut: float) -> Float[Array, "d d"]:
    """Compute the symmetric root of the pseudo-inverse."""
    half, keep = whiten_psd(cov, rank_cut)
    norms = jnp.sqrt((half**2).sum(axis=1, keepdims=True))
    return half.T @ (half / jnp.where(keep[:, None], norms, 1))
