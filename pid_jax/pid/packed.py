"""Symmetric matrices as vectors of their upper triangles."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def pack(symmetric: Float[Array, "n n"]) -> Float[Array, "m"]:
    """List the upper triangle, entries off the diagonal times √2, so that inner products stay what they are."""
    size = symmetric.shape[0]
    return symmetric[np.triu_indices(size)] * _weights(size)


def unpack(packed: Float[Array, "m"], size: int) -> Float[Array, "n n"]:
    """Undo `pack`."""
    upper = jnp.zeros((size, size), packed.dtype).at[np.triu_indices(size)].set(packed / _weights(size))
    return upper + upper.T - jnp.diag(jnp.diag(upper))


def product_matrix(left: Float[Array, "n n"], right: Float[Array, "n n"]) -> Float[Array, "m m"]:
    """Compute the matrix of X ↦ ½ (left X right + right X left) on packed matrices, for symmetric left and right."""
    i, j = np.triu_indices(left.shape[0])

    def half(a: Array, b: Array) -> Array:
        return a[i][:, i] * b[j][:, j] + a[i][:, j] * b[j][:, i] + a[j][:, i] * b[i][:, j] + a[j][:, j] * b[i][:, i]

    weights = _weights(left.shape[0])
    return (half(left, right) + half(right, left)) * (weights[:, None] * weights[None, :] / 8)


def _weights(size: int) -> np.ndarray:
    i, j = np.triu_indices(size)
    return np.where(i == j, 1.0, np.sqrt(2.0))
