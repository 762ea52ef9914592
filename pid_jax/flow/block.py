"""One step of a flow: a linear map, a sinh-arcsinh map of every coordinate, an affine coupling (Flax and Distrax)."""

from typing import Any, cast

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


class Linear(distrax.Bijector):
    """Permute the coordinates, then multiply by unit triangular factors and positive scales.

    y = P x (I + L) (diag(exp s) + U) + b, with L strictly lower and U strictly upper triangular; log |det| = Σ s.
    """

    def __init__(self, permutation: Array, lower: Array, upper: Array, log_scale: Array, shift: Array) -> None:
        super().__init__(event_ndims_in=1, is_constant_jacobian=True)
        self._permutation = permutation
        size = lower.shape[0]  # constants are NumPy arrays: JAX would compile a program for each
        eye, below = np.eye(size, dtype=bool), np.tri(size, k=-1, dtype=bool)
        self._lower = jnp.where(below, lower, eye.astype(lower.dtype))
        self._upper = jnp.where(below.T, upper, jnp.where(eye, jnp.exp(log_scale)[:, None], 0))
        self._log_scale = log_scale
        self._shift = shift

    def forward_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """Map samples (..., d) forward."""
        y = x[..., self._permutation] @ (self._lower @ self._upper) + self._shift
        return y, jnp.broadcast_to(self._log_scale.sum(), x.shape[:-1])

    def inverse_and_log_det(self, y: Any) -> tuple[Any, Any]:
        """Map images (..., d) backward."""
        rows = (y - self._shift).reshape(-1, y.shape[-1])
        for factor, is_lower in ((self._upper, False), (self._lower, True)):  # x = y U⁻¹ L⁻¹, row by row
            rows = jax.scipy.linalg.solve_triangular(factor.T, rows.T, lower=not is_lower).T
        x = rows.reshape(y.shape)[..., jnp.argsort(self._permutation)]
        return x, jnp.broadcast_to(-self._log_scale.sum(), y.shape[:-1])


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
        y, log_slope = self._curve(inside)
        return y + jnp.exp(log_slope) * (x - inside), log_slope

    def inverse_and_log_det(self, y: Any) -> tuple[Any, Any]:
        """Map images of one coordinate backward."""
        ends = jnp.array([-REACH, REACH], y.dtype).reshape(2, *(1 for _ in y.shape))
        low, high = self._curve(ends)[0]
        inside = jnp.clip(y, low, high)
        x = jnp.clip(jnp.sinh(jnp.arcsinh(inside) * jnp.exp(-self._tail) - self._skew), -REACH, REACH)
        log_slope = self._curve(x)[1]
        return x + jnp.exp(-log_slope) * (y - inside), -log_slope

    def _curve(self, x: Any) -> tuple[Any, Any]:
        root = jnp.sqrt(1 + x * x)
        grown = jnp.exp((_arcsinh(x, root) + self._skew) * jnp.exp(self._tail))
        return 0.5 * (grown - 1 / grown), self._tail + jnp.log(0.5 * (grown + 1 / grown) / root)


def _arcsinh(x: Any, root: Any) -> Any:
    """Compute arcsinh from x and √(1 + x²), to single precision, in a third of the time that `jnp.arcsinh` takes."""
    return jnp.sign(x) * jnp.log(jnp.abs(x) + root)


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
    def __call__(self, x: Float[Array, "... h"]) -> tuple[Float[Array, "... k"], Float[Array, "... k"]]:
        """Return shifts and log-scales."""
        activation = getattr(nn, self.activation)
        x = jnp.clip(x, -REACH, REACH)
        for _ in range(self.hidden_layers):
            biases = nn.initializers.normal(BIAS_SPREAD)
            x = activation(nn.Dense(self.width, kernel_init=nn.initializers.he_uniform(), bias_init=biases)(x))
        out = nn.Dense(2 * self.size, kernel_init=nn.initializers.zeros_init())(x)
        shift, log_scale = jnp.split(out, 2, axis=-1)
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
        self, x: Float[Array, "n d"], permutation: Int[Array, "d"]
    ) -> tuple[Float[Array, "n d"], Float[Array, "n"]]:
        """Map forward; return the images and log |det| of the Jacobian."""
        return self._bijector(permutation).forward_and_log_det(x)

    def invert(
        self, y: Float[Array, "n d"], permutation: Int[Array, "d"]
    ) -> tuple[Float[Array, "n d"], Float[Array, "n"]]:
        """Map backward; return the preimages and log |det| of the Jacobian of the inverse."""
        return self._bijector(permutation).inverse_and_log_det(y)

    def _bijector(self, permutation: Array) -> Any:
        linear = Linear(permutation, self.lower, self.upper, self.log_scale, self.shift)
        elementwise = distrax.Block(SinhArcsinh(self.skew, self.tail), 1)
        if self.dim == 1:
            return distrax.Chain([elementwise, linear])
        coupling = distrax.SplitCoupling(self.dim // 2, 1, cast(Any, self.conditioner), _affine)
        return distrax.Chain([coupling, elementwise, linear])


def _affine(shift_and_log_scale: tuple[Array, Array]) -> distrax.Bijector:
    shift, log_scale = shift_and_log_scale
    return distrax.ScalarAffine(shift, log_scale=log_scale)
