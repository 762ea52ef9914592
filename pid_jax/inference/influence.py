"""Share of every row in the atoms and informations, and its influence on them: their derivative by the covariance."""

from functools import partial

import jax
import numpy as np
from jaxtyping import Array, Float

from pid_jax.decompose.covariances import Solve
from pid_jax.decompose.result import PIDEstimate
from pid_jax.gaussian.joint import JointGaussian
from pid_jax.gaussian.status import Status
from pid_jax.gaussian.whiten import whiten
from pid_jax.pid.atoms import PIDQuantities, quantities_of
from pid_jax.pid.measure import Redundancy
from pid_jax.pid.registry import measure_of
from pid_jax.runtime.precision import double_precision
from pid_jax.runtime.threads import one_blas_thread


def pointwise_of_rows(
    estimate: PIDEstimate, redundancy: Redundancy, latents: Float[np.ndarray, "B n D"]
) -> PIDQuantities:
    """Compute the share of every row in each quantity: the quantity itself, and the influence of the row on it.

    Args:
        estimate: Decompositions (B,) in nats of covariances of the latents, without a correction of their bias.
        redundancy: Their measure.
        latents: Rows of source_1, source_2 and target, next to each other.

    Returns:
        Shares (B, n) in nats, whose mean is the quantity; NaN where the status is not `OK`.
    """
    influence = influence_of_rows(estimate.cov, estimate.dims, redundancy, latents)
    quantities = quantities_of(estimate.atoms, estimate.information)
    is_known = estimate.status == Status.OK
    return jax.tree.map(lambda q, a: np.where(is_known, q, np.nan)[:, None] + a, quantities, influence)


def influence_of_rows(
    cov: Float[np.ndarray, "B D D"],
    dims: tuple[int, int, int],
    redundancy: Redundancy,
    latents: Float[np.ndarray, "B n D"],
) -> PIDQuantities:
    """Compute the influence a = zᵀ G z − tr G Σ of every row z, with G the derivative of a quantity by the covariance.

    The mean of a² over n rows, over n, is the variance of the quantity to first order (infinitesimal jackknife).

    Returns:
        Influences (B, n) in nats, with mean zero.

    Source: Jaeckel (1972), The infinitesimal jackknife, Bell Labs memorandum MM 72-1215-11; Efron (1982), The
    Jackknife, the Bootstrap and Other Resampling Plans, ch. 6.
    """
    centered = latents - latents.mean(axis=1, keepdims=True)

    def of(slope: np.ndarray) -> np.ndarray:
        influence = ((centered @ slope) * centered).sum(axis=-1)
        return influence - influence.mean(axis=-1, keepdims=True)

    slopes = slopes_by_covariance(cov, dims, redundancy)
    with one_blas_thread(cov.shape[-1]):
        return jax.tree.map(of, slopes)


def slopes_by_covariance(
    cov: Float[np.ndarray, "B D D"], dims: tuple[int, int, int], redundancy: Redundancy
) -> PIDQuantities:
    """Differentiate every quantity by the covariance, (B, D, D)."""
    solve, rank_cut = measure_of(redundancy).solve, redundancy.rank_cut
    differentiate = partial(_differentiate, dims=dims, solve=solve, rank_cut=rank_cut)
    with double_precision(), one_blas_thread(cov.shape[-1]):
        # One after another, so that it is compiled once and not for every number of problems.
        each = [jax.tree.map(np.asarray, differentiate(one)) for one in cov]
    return jax.tree.map(lambda *slopes: np.stack(slopes), *each)


@partial(jax.jit, static_argnames=("dims", "solve", "rank_cut"))
def _differentiate(
    cov: Float[Array, "D D"], *, dims: tuple[int, int, int], solve: Solve, rank_cut: float
) -> PIDQuantities:
    def quantities(cov: Float[Array, "D D"]) -> PIDQuantities:
        found = solve(whiten(JointGaussian(cov, dims), rank_cut))
        return quantities_of(found.atoms, found.information)

    return jax.tree.map(lambda slope: 0.5 * (slope + slope.T), jax.jacrev(quantities)(cov))


def acceleration_of_rows(
    cov: np.ndarray, dims: tuple[int, int, int], redundancy: Redundancy, latents: np.ndarray
) -> PIDQuantities:
    """Compute the acceleration of BCa intervals, Σ a³ / (6 (Σ a²)^{3/2}), with the influence a of every row.

    Source: B. Efron (1987), J. Am. Stat. Assoc. 82, 171, eq. 7.
    """
    influence = influence_of_rows(cov, dims, redundancy, latents)
    return jax.tree.map(lambda a: _ratio((a**3).sum(axis=-1), (a**2).sum(axis=-1)), influence)


def acceleration_of_gaussians(
    cov: np.ndarray, dims: tuple[int, int, int], redundancy: Redundancy, samples: int
) -> PIDQuantities:
    """Compute the same in the mean over Gaussian samples: E a² = 2 tr (G Σ)², E a³ = 8 tr (G Σ)³."""

    def of(slope: np.ndarray) -> np.ndarray:
        product = slope @ cov
        square = np.trace(product @ product, axis1=-2, axis2=-1)
        cube = np.trace(product @ product @ product, axis1=-2, axis2=-1)
        return _ratio(8 * cube * samples, 2 * square * samples)

    return jax.tree.map(of, slopes_by_covariance(cov, dims, redundancy))


def _ratio(cubes: np.ndarray, squares: np.ndarray) -> np.ndarray:
    return cubes / (6 * np.where(squares > 0, squares, np.inf) ** 1.5)
