"""Gaussian variables seen through bijections that mix coordinates: their atoms are those of the Gaussian.

Everything that is drawn varies smoothly with s between 0 and 1, so that the layers of a network can be imitated: an
array is a cos(φ) + b sin(φ) with φ = speed · π/2 · s, which has the same distribution at every s.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import expm

Warp = Callable[[np.ndarray, float], np.ndarray]
"""A bijection of samples (n, d), which varies with s."""


@dataclass(frozen=True)
class Drawn:
    """Draws arrays that vary smoothly with s.

    Attributes:
        rng: Source of randomness.
        speed: Angle between s = 0 and s = 1, in units of π/2.
        strength: How far a warp is from the identity; 1 bends strongly.
    """

    rng: np.random.Generator
    speed: float = 0.5
    strength: float = 1.0

    def normal(self, *shape: int) -> Callable[[float], np.ndarray]:
        """Draw standard normal entries."""
        start, other = self.rng.normal(size=(2, *shape))
        angle = self.speed * np.pi / 2
        return lambda s: start * np.cos(angle * s) + other * np.sin(angle * s)

    def rotation(self, dim: int) -> Callable[[float], np.ndarray]:
        """Draw a rotation."""
        start = np.linalg.qr(self.rng.normal(size=(dim, dim)))[0]
        generator = self.rng.normal(size=(dim, dim))
        generator = 0.5 * self.speed * (generator - generator.T) / np.sqrt(2 * dim)
        return lambda s: expm(generator * s) @ start


def _in_halves(
    half: int, steps: Sequence[tuple], change: Callable[..., np.ndarray], end: Callable = np.asarray
) -> Warp:
    """Turn or permute all coordinates, change the second half by the first and by what was drawn, step by step."""

    def warp(z: np.ndarray, s: float) -> np.ndarray:
        for turn, *drawn in steps:
            a, b = np.split(z @ turn(s) if callable(turn) else z[:, turn], [half], axis=1)
            z = end(np.concatenate([a, change(a, b, *(one(s) for one in drawn))], axis=1))
        return z

    return warp


def coupled(draw: Drawn, dim: int) -> Warp:
    """Scale and shift one half of the coordinates by functions of the other, three times in permuted orders."""
    half = dim // 2
    steps = [(draw.rng.permutation(dim), *(draw.normal(half, dim - half) for _ in range(3))) for _ in range(3)]
    unit = 1 / np.sqrt(half)

    def change(a: np.ndarray, b: np.ndarray, scale: np.ndarray, bend: np.ndarray, shift: np.ndarray) -> np.ndarray:
        b = b * np.exp(0.6 * draw.strength * np.tanh(unit * a @ scale))
        return b + draw.strength * np.tanh(1.5 * unit * a @ bend) + 0.3 * unit * a @ shift

    return _in_halves(half, steps, change)


def shear(draw: Drawn, dim: int) -> Warp:
    """Add sines of one half of rotated coordinates to the other, three times."""
    half = dim // 2
    steps = [(draw.rotation(dim), draw.normal(half, dim - half)) for _ in range(3)]
    return _in_halves(half, steps, lambda a, b, wave: b + draw.strength * np.sin(1.5 * a @ wave / np.sqrt(half)))


def banana(draw: Drawn, dim: int) -> Warp:
    """Add squares of one half of the coordinates to the other, twice in permuted orders."""
    half = dim // 2
    steps = [(draw.rng.permutation(dim), draw.normal(half, dim - half)) for _ in range(2)]

    def change(a: np.ndarray, b: np.ndarray, bend: np.ndarray) -> np.ndarray:
        return b + 0.5 * draw.strength * ((a @ bend / np.sqrt(half)) ** 2 - 1)

    return _in_halves(half, steps, change, lambda z: z / z.std(axis=0))


def rotated(draw: Drawn, dim: int) -> Warp:
    """Rotate, warp every coordinate (hyperbolic sine, cube root, exponential), rotate again; strength has no effect."""
    first, second = draw.rotation(dim), draw.rotation(dim)
    shapes = [(np.sinh, np.cbrt, lambda x: np.exp(0.8 * x))[k] for k in draw.rng.integers(0, 3, size=dim)]

    def warp(z: np.ndarray, s: float) -> np.ndarray:
        turned = z @ first(s)
        bent = np.stack([shape(column) for shape, column in zip(shapes, turned.T, strict=True)], axis=1)
        return (bent - bent.mean(axis=0)) / bent.std(axis=0) @ second(s)

    return warp


def funnel(draw: Drawn, dim: int) -> Warp:
    """Scale one half of rotated coordinates by exponentials of the other, twice."""
    half = dim // 2
    steps = [(draw.rotation(dim), draw.normal(half, dim - half)) for _ in range(2)]
    return _in_halves(half, steps, lambda a, b, scale: b * np.exp(0.5 * draw.strength * a @ scale / np.sqrt(half)))


def swirl(draw: Drawn, dim: int) -> Warp:
    """Turn pairs of rotated coordinates by an angle that grows with their distance from the origin."""
    half = dim // 2
    turn, pace = draw.rotation(dim), draw.normal(half)

    def warp(z: np.ndarray, s: float) -> np.ndarray:
        a, b, rest = np.split(z @ turn(s), [half, 2 * half], axis=1)
        angle = 0.8 * draw.strength * (1 + 0.5 * np.tanh(pace(s))) * np.hypot(a, b)
        cos, sin = np.cos(angle), np.sin(angle)
        return np.concatenate([a * cos - b * sin, a * sin + b * cos, rest], axis=1)

    return warp


def residual(draw: Drawn, dim: int) -> Warp:
    """Add a contraction, twice: a hidden layer of tanh units with spectral norms below one."""
    steps = [(draw.normal(2 * dim, dim), draw.normal(dim, 2 * dim)) for _ in range(2)]

    def warp(z: np.ndarray, s: float) -> np.ndarray:
        for inner, outer in steps:
            a, b = (matrix(s) / np.linalg.norm(matrix(s), 2) for matrix in (inner, outer))
            z = z + 0.9 * draw.strength * np.tanh(3 * z @ a.T) / 3 @ b.T
        return z

    return warp


def radial(draw: Drawn, dim: int) -> Warp:
    """Stretch by a power of the distance from the origin, rotate, and bend every coordinate."""
    power, turn = draw.normal(1), draw.rotation(dim)

    def warp(z: np.ndarray, s: float) -> np.ndarray:
        stretch = (0.4 + (z**2).mean(axis=1, keepdims=True)) ** (0.5 * draw.strength * np.tanh(1.5 + power(s)))
        turned = z * stretch @ turn(s)
        return turned + 0.4 * draw.strength * np.tanh(2 * turned)

    return warp


def identity(draw: Drawn, dim: int) -> Warp:
    """Leave the samples as they are."""
    del draw, dim
    return lambda z, s: z


WARPS: dict[str, Callable[[Drawn, int], Warp]] = {
    f.__name__: f for f in (coupled, shear, banana, rotated, funnel, swirl, residual, radial)
}
"""Those that mix coordinates."""


def elementwise(rng: np.random.Generator, dim: int) -> Callable[[np.ndarray], np.ndarray]:
    """Warp every coordinate by itself: hyperbolic sine, root, exponential or cubic."""
    choices = (np.sinh, lambda x: np.sign(x) * np.abs(x) ** 0.6, lambda x: np.exp(0.6 * x), lambda x: x + 0.15 * x**3)
    shapes = [choices[k] for k in rng.integers(0, 4, size=dim)]

    def warp(z: np.ndarray) -> np.ndarray:
        scaled = (z - z.mean(axis=0)) / z.std(axis=0)
        return np.stack([shape(column) for shape, column in zip(shapes, scaled.T, strict=True)], axis=1)

    return warp


@dataclass(frozen=True, kw_only=True)
class WarpedGaussian:
    """Samples of three warped variables in every layer; the target is the same in all.

    Attributes:
        source_1: Samples (layers, n, d).
        source_2: Samples (layers, n, d).
        target: Samples (n, d).
        latents: The Gaussian samples behind them (layers, n, 3 d).
        cov: Their true covariances (layers, 3 d, 3 d).
    """

    source_1: np.ndarray
    source_2: np.ndarray
    target: np.ndarray
    latents: np.ndarray
    cov: np.ndarray


def warped_gaussian(
    warp: str,
    dim: int,
    samples: int,
    seed: int,
    *,
    layers: int = 1,
    strength: float = 1.0,
    speed: float = 0.5,
    has_elementwise: bool = False,
    is_rotated: bool = False,
) -> WarpedGaussian:
    """Draw a Gaussian system and warp each of its variables by a bijection of its own.

    Args:
        warp: A name from `WARPS`, or "identity".
        dim: Dims of each variable.
        samples: Rows, the same white noise in all layers.
        seed: Seed of everything.
        layers: Layers, along which covariance and warps of the sources drift.
        strength: See `Drawn`.
        speed: See `Drawn`.
        has_elementwise: Whether single coordinates are warped too, after the mixing.
        is_rotated: Whether the sources are rotated at random, anew in every layer.
    """
    rng = np.random.default_rng([seed, *warp.encode(), dim])
    draw = Drawn(rng, speed, strength)
    gains, noise = draw.normal(2 * dim, dim), draw.normal(2 * dim, 2 * dim)
    warps = [(WARPS | {identity.__name__: identity})[warp](draw, dim) for _ in range(3)]
    after = [elementwise(rng, dim) if has_elementwise else _same for _ in range(3)]
    white = np.random.default_rng([seed, samples, dim])
    hidden, others = white.normal(size=(samples, dim)), white.normal(size=(samples, 2 * dim))
    covs, latents, sources = [], [], []
    for s in np.linspace(0, 1, layers):
        cov = _covariance(gains(s), noise(s), dim)
        from_target = cov[: 2 * dim, 2 * dim :]
        rest = np.linalg.cholesky(cov[: 2 * dim, : 2 * dim] - from_target @ from_target.T)
        z = hidden @ from_target.T + others @ rest.T
        pair = [f(w(part, s)) for f, w, part in zip(after, warps, np.split(z, 2, axis=1), strict=False)]
        if is_rotated:
            pair = [x @ np.linalg.qr(white.normal(size=(dim, dim)))[0] for x in pair]
        covs.append(cov)
        latents.append(np.concatenate([z, hidden], axis=1))
        sources.append(pair)
    source_1, source_2 = (np.stack(parts) for parts in zip(*sources, strict=True))
    return WarpedGaussian(
        source_1=source_1,
        source_2=source_2,
        target=after[2](warps[2](hidden, 0.0)),
        latents=np.stack(latents),
        cov=np.stack(covs),
    )


def _same(z: np.ndarray) -> np.ndarray:
    return z


def _covariance(gains: np.ndarray, noise: np.ndarray, dim: int) -> np.ndarray:
    """Make a joint covariance with unit variances in which both sources read a white target."""
    gain = np.concatenate([gains[:dim], 0.7 * gains[dim:]]) / np.sqrt(dim)
    mixing = np.eye(2 * dim) + 0.5 * noise / np.sqrt(2 * dim)
    cov = np.block([[gain @ gain.T + mixing @ mixing.T, gain], [gain.T, np.eye(dim)]])
    spread = np.sqrt(np.diag(cov))
    return cov / spread[:, None] / spread
