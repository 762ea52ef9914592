"""One step of a flow: a linear map, a sinh-arcsinh map of every coordinate, an affine coupling (Flax and Distrax).

Samples are on the last axis here and in all of training, and the two halves of the coordinates that a coupling treats
differently are arrays of their own. So loops run over hundreds of samples without a condition, and a CPU computes eight
at a time (docs/decisions/0013-loops-around-a-fit.md).
"""

from typing import Any, NamedTuple

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


Halves = tuple[Float[Array, "h n"], Float[Array, "k n"]]


def split(x: Float[Array, "d n"]) -> Halves:
    """Divide coordinates into those that a coupling keeps and those that it moves; of a single one none is kept."""
    half = x.shape[0] // 2
    return x[:half], x[half:]


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

    def forward(self, x: Halves) -> Halves:
        """Map samples forward."""
        joined = jnp.concatenate(x)
        is_at = self._permutation[:, None] == np.arange(self._permutation.size)
        matrix = self._upper.T @ (self._lower.T @ is_at.astype(joined.dtype))
        first, second = (rows @ joined + b for rows, b in zip(split(matrix), split(self._shift), strict=True))
        return first, second

    def inverse(self, y: Halves) -> Halves:
        """Map images backward."""
        x = jnp.concatenate(y) - self._shift
        for factor, is_lower in ((self._upper, False), (self._lower, True)):
            x = jax.scipy.linalg.solve_triangular(factor.T, x, lower=not is_lower)
        return split(x[jnp.argsort(self._permutation)])


class SinhArcsinh(distrax.Bijector):
    """Change skewness and tails of every coordinate: y = sinh(δ (arcsinh x + ε)), dy/dx = δ √(1 + y²) / √(1 + x²).

    δ = exp(tail), ε = skew. Beyond `REACH` the map goes on as a straight line.

    Source: Jones & Pewsey (2009), Biometrika 96, 761.
    """

    def __init__(self, skew: Float[Array, "d 1"], tail: Float[Array, "d 1"]) -> None:
        super().__init__(event_ndims_in=0)
        self._skew, self._tail = (LARGEST_SHAPE * jnp.tanh(value / LARGEST_SHAPE) for value in (skew, tail))

    def forward_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """Map samples (d, n) forward."""
        return bend(x, self._skew, self._tail)

    def inverse_and_log_det(self, y: Any) -> tuple[Any, Any]:
        """Map images (d, n) backward."""
        ends = jnp.array([-REACH, REACH], y.dtype)
        low, high = jnp.split(_curve(ends, self._skew, self._tail).y, 2, axis=1)
        inside = jnp.clip(y, low, high)
        x = jnp.clip(jnp.sinh(jnp.arcsinh(inside) * jnp.exp(-self._tail) - self._skew), -REACH, REACH)
        slope = _curve(x, self._skew, self._tail).slope
        return x + (y - inside) / slope, -jnp.log(slope)


class _Curve(NamedTuple):
    """What a sinh-arcsinh map consists of: u = δ (arcsinh x + ε), its hyperbolic sine and cosine, r = √(1 + x²)."""

    u: Array
    y: Array
    cosh: Array
    root: Array
    power: Array

    @property
    def slope(self) -> Array:
        """dy/dx."""
        return self.power * self.cosh / self.root


def _curve(x: Array, skew: Array, tail: Array) -> _Curve:
    root, power = jnp.sqrt(1 + x * x), jnp.exp(tail)
    arcsinh = jnp.sign(x) * jnp.log(jnp.abs(x) + root)  # to single precision, in a third of the time of jnp.arcsinh
    u = (arcsinh + skew) * power
    grown = jnp.exp(u)
    return _Curve(u, 0.5 * (grown - 1 / grown), 0.5 * (grown + 1 / grown), root, power)


@jax.custom_vjp
def bend(x: Float[Array, "d n"], skew: Float[Array, "d 1"], tail: Float[Array, "d 1"]) -> tuple[Array, Array]:
    """Compute images and the logarithm of the slopes.

    The gradient is that of the formulas, and computes every function once again; derived by JAX it takes a third more.
    """
    inside = jnp.clip(x, -REACH, REACH)
    curve = _curve(inside, skew, tail)
    return curve.y + curve.slope * (x - inside), jnp.log(curve.slope)


def _forward_of_bend(x: Array, skew: Array, tail: Array) -> tuple[tuple[Array, Array], tuple[Array, Array, Array]]:
    return bend(x, skew, tail), (x, skew, tail)


def _backward_of_bend(
    residuals: tuple[Array, Array, Array], gradient: tuple[Array, Array]
) -> tuple[Array, Array, Array]:
    x, skew, tail = residuals
    by_y, by_log_slope = gradient
    inside = jnp.clip(x, -REACH, REACH)
    beyond = x - inside
    curve = _curve(inside, skew, tail)
    by_log_slope = by_log_slope + by_y * beyond * curve.slope
    by_u = by_y * curve.cosh + by_log_slope * curve.y / curve.cosh
    by_skew = by_u * curve.power
    by_inside = (by_skew - by_log_slope * inside / curve.root) / curve.root
    by_x = jnp.where(beyond == 0, by_inside, by_y * curve.slope)
    by_tail = by_u * curve.u + by_log_slope
    return by_x, by_skew.sum(axis=1, keepdims=True), by_tail.sum(axis=1, keepdims=True)


bend.defvjp(_forward_of_bend, _backward_of_bend)


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
        width: Units in the hidden layer.
        activation: "relu" or "silu".
    """

    size: int
    width: int
    activation: str

    @nn.compact
    def __call__(self, x: Float[Array, "h n"]) -> tuple[Float[Array, "k n"], Float[Array, "k n"]]:
        """Return shifts and log-scales."""
        activation, zeros = getattr(nn, self.activation), nn.initializers.zeros_init()
        x = jnp.clip(x, -REACH, REACH)
        x = activation(Dense(self.width, nn.initializers.he_uniform(), nn.initializers.normal(BIAS_SPREAD))(x))
        shift, log_scale = (Dense(self.size, zeros, zeros)(x) for _ in range(2))
        return shift, LARGEST_LOG_SCALE * jnp.tanh(log_scale / LARGEST_LOG_SCALE)


class Block(nn.Module):
    """One step of a flow. It is a permutation at the start, so that a flow starts as the map before it.

    Attributes:
        dim: Coordinates. A single one has no other to depend on, and no coupling.
        width: Units in the hidden layer of the conditioner.
        activation: "relu" or "silu".
    """

    dim: int
    width: int
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
        self.conditioner = Conditioner(self.dim - self.dim // 2, self.width, self.activation)

    def __call__(self, x: Halves, permutation: Int[Array, "d"]) -> tuple[Halves, Float[Array, "n"]]:
        """Map forward; return the images and log |det| of the Jacobian."""
        images = self._linear(permutation).forward(x)
        (kept, log_slope), (moved, more) = (
            f.forward_and_log_det(y) for f, y in zip(self._elementwise(), images, strict=True)
        )
        log_det = self.log_scale.sum() + log_slope.sum(axis=0) + more.sum(axis=0)
        if self.dim > 1:
            moved, log_scale = self._affine(kept).forward_and_log_det(moved)
            log_det = log_det + log_scale.sum(axis=0)
        return (kept, moved), log_det

    def invert(self, y: Halves, permutation: Int[Array, "d"]) -> tuple[Halves, Float[Array, "n"]]:
        """Map backward; return the preimages and log |det| of the Jacobian of the inverse."""
        kept, moved = y
        log_det = -self.log_scale.sum()
        if self.dim > 1:
            moved, log_scale = self._affine(kept).inverse_and_log_det(moved)
            log_det = log_det + log_scale.sum(axis=0)
        (kept, log_slope), (moved, more) = (
            f.inverse_and_log_det(half) for f, half in zip(self._elementwise(), (kept, moved), strict=True)
        )
        log_det = log_det + log_slope.sum(axis=0) + more.sum(axis=0)
        return self._linear(permutation).inverse((kept, moved)), log_det

    def _linear(self, permutation: Array) -> Linear:
        return Linear(permutation, self.lower, self.upper, self.log_scale, self.shift)

    def _elementwise(self) -> list[Any]:
        """The maps of the coordinates of both halves."""
        shapes = zip(split(self.skew[:, None]), split(self.tail[:, None]), strict=True)
        return [SinhArcsinh(skew, tail) for skew, tail in shapes]

    def _affine(self, kept: Array) -> Any:
        shift, log_scale = self.conditioner(kept)
        return distrax.ScalarAffine(shift, log_scale=log_scale)
