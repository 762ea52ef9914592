"""How skewed the influence of single samples on the atoms is: the acceleration of BCa intervals."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pid_jax.gaussian.joint import JointGaussian
from pid_jax.pid.atoms import PIDAtoms
from pid_jax.pid.broja import pid_broja
from pid_jax.pid.mmi import pid_mmi
from pid_jax.precision import double_precision
from pid_jax.threads import one_blas_thread


def acceleration_of_rows(cov: np.ndarray, dims: tuple[int, int, int], is_mmi: bool, latents: np.ndarray) -> PIDAtoms:
    """Compute Σ a³ / (6 (Σ a²)^{3/2}) with the influence a = zᵀ G z − tr G Σ of every row z.

    G is the derivative of an atom by the covariance, so that no row has to be left out.

    Args:
        cov: Sample covariances (problems, D, D).
        dims: (d1, d2, dt).
        is_mmi: Whether atoms are those of MMI.
        latents: The rows (problems, n, D).

    Source: B. Efron (1987), J. Am. Stat. Assoc. 82, 171, eq. 7.
    """
    centered = latents - latents.mean(axis=1, keepdims=True)

    def of(slope: np.ndarray) -> np.ndarray:
        influence = ((centered @ slope) * centered).sum(axis=-1)
        influence -= influence.mean(axis=-1, keepdims=True)
        return _ratio((influence**3).sum(axis=-1), (influence**2).sum(axis=-1))

    return jax.tree.map(of, _slopes(cov, dims, is_mmi))


def acceleration_of_gaussians(cov: np.ndarray, dims: tuple[int, int, int], is_mmi: bool, samples: int) -> PIDAtoms:
    """Compute the same in the mean over Gaussian samples: E a² = 2 tr (G Σ)², E a³ = 8 tr (G Σ)³."""

    def of(slope: np.ndarray) -> np.ndarray:
        product = slope @ cov
        square = np.trace(product @ product, axis1=-2, axis2=-1)
        cube = np.trace(product @ product @ product, axis1=-2, axis2=-1)
        return _ratio(8 * cube * samples, 2 * square * samples)

    return jax.tree.map(of, _slopes(cov, dims, is_mmi))


def _ratio(cubes: np.ndarray, squares: np.ndarray) -> np.ndarray:
    return cubes / (6 * np.where(squares > 0, squares, np.inf) ** 1.5)


def _slopes(cov: np.ndarray, dims: tuple[int, int, int], is_mmi: bool) -> PIDAtoms:
    with double_precision(), one_blas_thread(cov.shape[-1]):
        return jax.tree.map(np.asarray, _differentiate(cov, dims=dims, is_mmi=is_mmi))


@partial(jax.jit, static_argnames=("dims", "is_mmi"))
def _differentiate(cov: Float[Array, "B D D"], *, dims: tuple[int, int, int], is_mmi: bool) -> PIDAtoms:
    decompose = pid_mmi if is_mmi else pid_broja

    def one(cov: Float[Array, "D D"]) -> PIDAtoms:
        slopes = jax.jacrev(lambda cov: decompose(JointGaussian(cov, dims)).atoms)(cov)
        return jax.tree.map(lambda slope: 0.5 * (slope + jnp.swapaxes(slope, -1, -2)), slopes)

    return jax.vmap(one)(cov)
