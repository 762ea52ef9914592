"""Sample covariances of Gaussian samples: how they are drawn, and the bias of information computed from them."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import digamma
from jaxtyping import Array, Float

from pid_jax.gaussian.information import Information


def numpy_generator(key: jax.Array) -> np.random.Generator:
    """Make a generator of NumPy from a JAX random key."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())


class WhiteFactors:
    """Draws lower triangular factors of Wishart matrices with unit scale, by Bartlett's decomposition.

    W Wᵀ / freedom is distributed as the sample covariance of white samples. NumPy draws them: JAX would take seconds to
    compile that.

    Args:
        key: A JAX random key.
        size: D.
        freedom: Degrees of freedom, n − 1 for n samples; above D − 1.

    Source: Bartlett (1933), Proc. R. Soc. Edinb. 53, 260.
    """

    def __init__(self, key: jax.Array, size: int, freedom: float) -> None:
        self._generator = numpy_generator(key)
        self._size, self._freedom = size, freedom - np.arange(size)

    def draw(self, count: int) -> Float[np.ndarray, "draws D D"]:
        """Draw the next ones."""
        factors = np.tril(self._generator.standard_normal((count, self._size, self._size)), -1)
        at = np.arange(self._size)
        factors[:, at, at] = np.sqrt(self._generator.chisquare(self._freedom, (count, self._size)))
        return factors


def information_bias(freedom: float | Float[Array, ""], dims: tuple[int, int, int], shared: int = 0) -> Information:
    """Compute by how much information from a sample covariance reads high, in nats; exact for Gaussian samples.

    E log |S| − log |Σ| = Σ_{j<d} ψ((f − j) / 2) + d log(2 / f) for f degrees of freedom, whatever Σ is; in
    I = ½ log |Σ_t| |Σ_s| / |Σ_ts| the second terms cancel. A sample covariance has the range of Σ, so that for a
    singular Σ the same holds with ranks in place of dimensions.

    Args:
        freedom: f, n − 1 for n samples.
        dims: (d1, d2, dt), or the ranks of the variables.
        shared: By how much the rank of both sources together is below the sum of theirs.

    Source: docs/theory.md; Misra, Singh & Demchuk (2005), J. Multivariate Anal. 92, 324, for the expectation.
    """
    d1, d2, dt = dims

    def of(size: int) -> Array:
        return digamma(0.5 * (freedom - jnp.arange(size))).sum()

    def bias(size: int) -> Array:
        return 0.5 * (of(size) + of(dt) - of(size + dt))

    return Information(i_1=bias(d1), i_2=bias(d2), i_12=bias(d1 + d2 - shared))
