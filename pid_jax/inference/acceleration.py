"""How skewed the influence of single samples on the atoms is: the acceleration of BCa intervals."""

import jax
import numpy as np

from pid_jax.inference.influence import influence_of_rows, slopes_by_covariance
from pid_jax.pid.quantities import PIDQuantities


def acceleration_of_rows(
    cov: np.ndarray, dims: tuple[int, int, int], is_mmi: bool, latents: np.ndarray
) -> PIDQuantities:
    """Compute Σ a³ / (6 (Σ a²)^{3/2}) with the influence a of every row, so that no row has to be left out.

    Args:
        cov: Sample covariances (problems, D, D).
        dims: (d1, d2, dt).
        is_mmi: Whether atoms are those of MMI.
        latents: The rows (problems, n, D).

    Source: B. Efron (1987), J. Am. Stat. Assoc. 82, 171, eq. 7.
    """
    influence = influence_of_rows(cov, dims, is_mmi, latents)
    return jax.tree.map(lambda a: _ratio((a**3).sum(axis=-1), (a**2).sum(axis=-1)), influence)


def acceleration_of_gaussians(cov: np.ndarray, dims: tuple[int, int, int], is_mmi: bool, samples: int) -> PIDQuantities:
    """Compute the same in the mean over Gaussian samples: E a² = 2 tr (G Σ)², E a³ = 8 tr (G Σ)³."""

    def of(slope: np.ndarray) -> np.ndarray:
        product = slope @ cov
        square = np.trace(product @ product, axis1=-2, axis2=-1)
        cube = np.trace(product @ product @ product, axis1=-2, axis2=-1)
        return _ratio(8 * cube * samples, 2 * square * samples)

    return jax.tree.map(of, slopes_by_covariance(cov, dims, is_mmi))


def _ratio(cubes: np.ndarray, squares: np.ndarray) -> np.ndarray:
    return cubes / (6 * np.where(squares > 0, squares, np.inf) ** 1.5)
