"""How much every single row moves the atoms and informations: their derivative by the covariance."""

from functools import partial

import jax
import numpy as np
from jaxtyping import Array, Float

from pid_jax.gaussian.joint import JointGaussian
from pid_jax.pid.broja import pid_broja
from pid_jax.pid.mmi import pid_mmi
from pid_jax.pid.quantities import PIDQuantities, quantities_of
from pid_jax.runtime.precision import double_precision
from pid_jax.runtime.threads import one_blas_thread


def influence_of_rows(
    cov: Float[np.ndarray, "B D D"], dims: tuple[int, int, int], is_mmi: bool, latents: Float[np.ndarray, "B n D"]
) -> PIDQuantities:
    """Compute the influence a = zᵀ G z − tr G Σ of every row z, with G the derivative of a quantity by the covariance.

    The mean of a² over n rows, over n, is the variance of the quantity to first order (infinitesimal jackknife).

    Args:
        cov: Sample covariances.
        dims: (d1, d2, dt).
        is_mmi: Whether atoms are those of MMI.
        latents: The rows.

    Returns:
        Influences (B, n) in nats, with mean zero.

    Source: Jaeckel (1972), The infinitesimal jackknife, Bell Labs memorandum MM 72-1215-11; Efron (1982), The
    Jackknife, the Bootstrap and Other Resampling Plans, ch. 6.
    """
    centered = latents - latents.mean(axis=1, keepdims=True)

    def of(slope: np.ndarray) -> np.ndarray:
        influence = ((centered @ slope) * centered).sum(axis=-1)
        return influence - influence.mean(axis=-1, keepdims=True)

    slopes = slopes_by_covariance(cov, dims, is_mmi)
    with one_blas_thread(cov.shape[-1]):
        return jax.tree.map(of, slopes)


def slopes_by_covariance(cov: Float[np.ndarray, "B D D"], dims: tuple[int, int, int], is_mmi: bool) -> PIDQuantities:
    """Differentiate every quantity by the covariance, (B, D, D)."""
    with double_precision(), one_blas_thread(cov.shape[-1]):
        # One after another, so that it is compiled once and not for every number of problems.
        each = [jax.tree.map(np.asarray, _differentiate(one, dims=dims, is_mmi=is_mmi)) for one in cov]
    return jax.tree.map(lambda *slopes: np.stack(slopes), *each)


@partial(jax.jit, static_argnames=("dims", "is_mmi"))
def _differentiate(cov: Float[Array, "D D"], *, dims: tuple[int, int, int], is_mmi: bool) -> PIDQuantities:
    def quantities(cov: Float[Array, "D D"]) -> PIDQuantities:
        found = (pid_mmi if is_mmi else pid_broja)(JointGaussian(cov, dims))
        return quantities_of(found.atoms, found.information)

    return jax.tree.map(lambda slope: 0.5 * (slope + slope.T), jax.jacrev(quantities)(cov))
