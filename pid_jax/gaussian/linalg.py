"""The factorizations that everything here is made of, without the symmetrizing and checking that JAX adds to them."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def cholesky(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Find the lower triangular L with L Lᵀ = matrix, from its lower triangle; all NaN if there is none."""
    return lax.linalg.cholesky(matrix, symmetrize_input=False)


def solve_lower(factor: Float[Array, "n n"], right: Float[Array, "n m"]) -> Float[Array, "n m"]:
    """Compute L⁻¹ B for a lower triangular L."""
    return lax.linalg.triangular_solve(factor, right, left_side=True, lower=True)


def solve_lower_transposed(left: Float[Array, "m n"], factor: Float[Array, "n n"]) -> Float[Array, "m n"]:
    """Compute B L⁻ᵀ for a lower triangular L."""
    return lax.linalg.triangular_solve(factor, left, left_side=False, lower=True, transpose_a=True)


def invert_lower(factor: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Compute L⁻¹ for a lower triangular L: the map that whitens L Lᵀ."""
    return solve_lower(factor, jnp.eye(factor.shape[-1], dtype=factor.dtype))


def symmetric_eigen(matrix: Float[Array, "n n"]) -> tuple[Float[Array, "n"], Float[Array, "n n"]]:
    """Eigenvalues, ascending, and eigenvectors (columns) of a symmetric matrix."""
    vectors, values = lax.linalg.eigh(matrix, symmetrize_input=False)
    return values, vectors


def symmetrize(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Remove the asymmetry of rounding."""
    return 0.5 * (matrix + jnp.swapaxes(matrix, -1, -2))
