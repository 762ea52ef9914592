"""One step of a flow: a linear map, a sinh-arcsinh map of every coordinate, an affine coupling (Flax and Distrax).

Samples are on the last axis here and in all of training. On a CPU that takes half the time: loops run over hundreds of
samples and not over a dozen coordinates (docs/decisions/0013-loops-around-a-fit.md).
"""

from typing import Any

import distrax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

# Log-scales of a coupling stay between plus and minus this number, so that no batch can make them overflow.
LARGEST_LOG_SCALE = 3.0
# Beyond this many standard deviations there are hardly any training samples: elementwise maps go on as straight lines,
# and conditioners as constants, so that a held-out sample cannot be thrown arbitrarily far by several blocks.
REACH = 4.0
# Tails and skewness of a sinh-arcsinh map stay between plus and minus this number.
LARGEST_SHAPE = 1.0
# Spread of the first biases: the kinks of the units lie where the samples are, not all at the mean.
BIAS_SPREAD = 0.5


class Linear:
    """Permute the coordinates, then multiply by unit triangular factors and positive scales.

    y = (diag(exp s) + Uᵀ) (I + Lᵀ) P x + b, with L strictly lower and U strictly upper triangular; log |det| = Σ s.
    """

    def __init__(self, permutation: Array, lower: Array, upper: Array, log_scale: Array, shift: Array) -> None:
        self._permutation = permutation
        size = lower.shape[0]  # constants are NumPy arrays: JAX would compile a program for each
        eye, below = np.eye(size, dtype=bool), np.tri(size, k=-1, dtype=bool)
        self._lower = jnp.where(below, lower, eye.astype(lower.dtype))
        self._upper = jnp.where(below.T, upper, jnp.where(eye, jnp.exp(log_scale)[:, None], 0))
        self._shift = shift[:, None]

    def forward(self, x: Float[Array, "d n"]) -> Float[Array, "d n"]:
        """Map samples forward."""
        return (self._lower @ self._upper).T @ x[self._permutation] + self._shift

    def inverse(self, y: Float[Array, "d n"]) -> Float[Array, "d n"]:
        """Map images backward."""
        x = y - self._shift
        for factor, is_lower in ((self._upper, False), (self._lower, True)):
            x = jax.scipy.linalg.solve_triangular(factor.T, x, lower=not is_lower)
        return x[jnp.argsort(self._permutation)]


class SinhArcsinh(distrax.Bijector):
    """Change skewness and tails of a coordinate: y = sinh(δ (arcsinh x + ε)), dy/dx = δ √(1 + y²) / √(1 + x²).

    δ = exp(tail), ε = skew. Beyond `REACH` the map goes on as a straight line.

    Source: Jones & Pewsey (2009), Biometrika 96, 761.
    """

    def __init__(self, skew: Array, tail: Array) -> None:
        super().__init__(event_ndims_in=0)
        self._skew, self._tail = (LARGEST_SHAPE * jnp.tanh(value / LARGEST_SHAPE) for value in (skew, tail))

    def forward_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """Map samples of one coordinate forward."""
        inside = jnp.clip(x, -REACH, REACH)
        y, slope = self._curve(inside)
        return y + slope * (x - inside), jnp.log(slope)

    def inverse_and_log_det(self, y: Any) -> tuple[Any, Any]:
        """Map images of one coordinate backward."""
        ends = jnp.array([-REACH, REACH], y.dtype).reshape(2, *(1 for _ in y.shape))
        low, high = self._curve(ends)[0]
        inside = jnp.clip(y, low, high)
        x = jnp.clip(jnp.sinh(jnp.arcsinh(inside) * jnp.exp(-self._tail) - self._skew), -REACH, REACH)
        slope = self._curve(x)[1]
        return x + (y - inside) / slope, -jnp.log(slope)

    def _curve(self, x: Any) -> tuple[Any, Any]:
        """Return the image and the slope."""
        root, power = jnp.sqrt(1 + x * x), jnp.exp(self._tail)
        grown = jnp.exp((_arcsinh(x, root) + self._skew) * power)
        return 0.5 * (grown - 1 / grown), 0.5 * power * (grown + 1 / grown) / root


def _arcsinh(x: Any, root: Any) -> Any:
    """Compute arcsinh from x and √(1 + x²), to single precision, in a third of the time that `jnp.arcsinh` takes."""
    return jnp.sign(x) * jnp.log(jnp.abs(x) + root)


class Dense(nn.Module):
    """A linear map of all samples and a shift, as `flax.linen.Dense` but for the order of the axes.

    Attributes:
        size: Coordinates of the images.
        kernel_init: Draws the matrix.
        bias_init: Draws the shifts.
    """

    size: int
    kernel_init: Any
    bias_init: Any

    @nn.compact
    def __call__(self, x: Float[Array, "d n"]) -> Float[Array, "k n"]:
        """Map forward."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[0], self.size))
        return kernel.T @ x + self.param("bias", self.bias_init, (self.size,))[:, None]


class Conditioner(nn.Module):
    """A perceptron from one half of the coordinates to shifts and log-scales of the other; zero at the start.

    Attributes:
        size: Coordinates that are shifted and scaled.
        width: Units in each hidden layer.
        hidden_layers: Number of hidden layers.
        activation: "relu" or "silu".
    """

    size: int
    width: int
    hidden_layers: int
    activation: str

    @nn.compact
    def __call__(self, x: Float[Array, "h n"]) -> tuple[Float[Array, "k n"], Float[Array, "k n"]]:
        """Return shifts and log-scales."""
        activation, zeros = getattr(nn, self.activation), nn.initializers.zeros_init()
        x = jnp.clip(x, -REACH, REACH)
        for _ in range(self.hidden_layers):
            x = activation(Dense(self.width, nn.initializers.he_uniform(), nn.initializers.normal(BIAS_SPREAD))(x))
        shift, log_scale = jnp.split(Dense(2 * self.size, zeros, zeros)(x), 2)
        return shift, LARGEST_LOG_SCALE * jnp.tanh(log_scale / LARGEST_LOG_SCALE)


class Block(nn.Module):
    """One step of a flow. It is a permutation at the start, so that a flow starts as the map before it.

    Attributes:
        dim: Coordinates. A single one has no other to depend on, and no coupling.
        width: Units in each hidden layer of the conditioner.
        hidden_layers: Its hidden layers.
        activation: "relu" or "silu".
    """

    dim: int
    width: int
    hidden_layers: int
    activation: str

    def setup(self) -> None:
        """Declare the weights."""
        zeros = nn.initializers.zeros_init()
        self.lower = self.param("lower", zeros, (self.dim, self.dim))
        self.upper = self.param("upper", zeros, (self.dim, self.dim))
        self.log_scale = self.param("log_scale", zeros, (self.dim,))
        self.shift = self.param("shift", zeros, (self.dim,))
        self.skew = self.param("skew", zeros, (self.dim,))
        self.tail = self.param("tail", zeros, (self.dim,))
        self.conditioner = Conditioner(self.dim - self.dim // 2, self.width, self.hidden_layers, self.activation)

    def __call__(
        self, x: Float[Array, "d n"], permutation: Int[Array, "d"]
    ) -> tuple[Float[Array, "d n"], Float[Array, "n"]]:
        """Map forward; return the images and log |det| of the Jacobian."""
        y, log_slope = self._elementwise().forward_and_log_det(self._linear(permutation).forward(x))
        log_det = log_slope.sum(axis=0) + self.log_scale.sum()
        if self.dim == 1:
            return y, log_det
        kept, moved = jnp.split(y, [self.dim // 2])
        moved, log_scale = self._affine(kept).forward_and_log_det(moved)
        return jnp.concatenate([kept, moved]), log_det + log_scale.sum(axis=0)

    def invert(
        self, y: Float[Array, "d n"], permutation: Int[Array, "d"]
    ) -> tuple[Float[Array, "d n"], Float[Array, "n"]]:
        """Map backward; return the preimages and log |det| of the Jacobian of the inverse."""
        log_det = -self.log_scale.sum()
        if self.dim > 1:
            kept, moved = jnp.split(y, [self.dim // 2])
            moved, log_scale = self._affine(kept).inverse_and_log_det(moved)
            y, log_det = jnp.concatenate([kept, moved]), log_det + log_scale.sum(axis=0)
        x, log_slope = self._elementwise().inverse_and_log_det(y)
        return self._linear(permutation).inverse(x), log_det + log_slope.sum(axis=0)

    def _linear(self, permutation: Array) -> Linear:
        return Linear(permutation, self.lower, self.upper, self.log_scale, self.shift)

    def _elementwise(self) -> Any:
        return SinhArcsinh(self.skew[:, None], self.tail[:, None])

    def _affine(self, kept: Array) -> Any:
        shift, log_scale = self.conditioner(kept)
        return distrax.ScalarAffine(shift, log_scale=log_scale)
