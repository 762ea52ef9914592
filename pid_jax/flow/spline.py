"""A smooth monotone map of one coordinate to normal scores, with slope and inverse."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float

# Tails begin where this many samples are expected beyond.
TAIL_SAMPLES = 2.0
# Knots are this many roundings apart at least: in a heavy tail single precision is coarser than any tie.
TOLD_APART = 16.0


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Spline:
    """Monotone rational quadratic spline through knots, with logarithmic tails.

    Attributes:
        knot: Places of the knots, ascending.
        score: Normal scores at the knots, ascending.
        slope: Slopes at the knots, positive.
    """

    knot: Float[Array, "k"]
    score: Float[Array, "k"]
    slope: Float[Array, "k"]


def fit_spline(column: Float[Array, "n"], knots: int, tie: float | Float[Array, ""]) -> Spline:
    """Fit the map whose image of the samples is close to a standard normal.

    The knots are the quantiles of the samples at probabilities of equally spaced normal scores.

    Args:
        column: Samples of one coordinate, of variance about one.
        knots: Number of knots.
        tie: Knots are at least this far apart: values that are closer count as one. Far out, where values are not told
            apart that finely, they are farther.

    Source: Gregory & Delbourgo (1982), IMA J. Numer. Anal. 2, 123, for the spline.
    """
    end = ndtri(TAIL_SAMPLES / column.shape[0])
    score = jnp.linspace(end, -end, knots, dtype=column.dtype)
    middles = (jnp.arange(column.shape[0], dtype=column.dtype) + 0.5) / column.shape[0]
    place = jnp.interp(ndtr(score), middles, jnp.sort(column))
    ramp = jnp.cumsum(tie + TOLD_APART * jnp.finfo(column.dtype).eps * jnp.abs(place))
    place = jax.lax.cummax(place - ramp) + ramp
    chord = jnp.diff(score) / jnp.diff(place)
    inside = 2 * chord[1:] * chord[:-1] / (chord[1:] + chord[:-1])
    return Spline(knot=place, score=score, slope=jnp.concatenate([chord[:1], inside, chord[-1:]]))


def spline_forward(spline: Spline, x: Float[Array, "n"]) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
    """Return normal scores and the logarithms of the slopes.

    Beyond the last knot x_K the map is z_K + log(1 + δ_K (x − x_K)), so that heavy tails become light.
    """
    low, high, first, second = _interval(spline, spline.knot, x)
    width, height = high[0] - low[0], high[1] - low[1]
    chord = height / width
    at = jnp.clip((x - low[0]) / width, 0, 1)
    bend = at * (1 - at)
    bottom = chord + (first + second - 2 * chord) * bend
    inside = low[1] + height * (chord * at**2 + first * bend) / bottom
    slope = chord**2 * (second * at**2 + 2 * chord * bend + first * (1 - at) ** 2) / bottom**2
    beyond = jnp.maximum(x - spline.knot[-1], spline.knot[0] - x)
    stretch = 1 + jnp.where(x > spline.knot[-1], spline.slope[-1], spline.slope[0]) * jnp.maximum(beyond, 0)
    is_above, is_below = x > spline.knot[-1], x < spline.knot[0]
    score = jnp.where(is_above, spline.score[-1] + jnp.log(stretch), inside)
    score = jnp.where(is_below, spline.score[0] - jnp.log(stretch), score)
    edge = jnp.where(is_above, spline.slope[-1], spline.slope[0])
    return score, jnp.log(jnp.where(is_above | is_below, edge / stretch, slope))


def spline_inverse(spline: Spline, z: Float[Array, "n"]) -> Float[Array, "n"]:
    """Return the values whose normal scores are given."""
    low, high, first, second = _interval(spline, spline.score, z)
    width, height = high[0] - low[0], high[1] - low[1]
    chord = height / width
    up = jnp.clip(z - low[1], 0, height)
    turn = first + second - 2 * chord
    a, b, c = height * (chord - first) + up * turn, height * first - up * turn, -chord * up
    root = jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 0))
    inside = low[0] + width * (-2 * c / (b + root))
    above = spline.knot[-1] + jnp.expm1(jnp.maximum(z - spline.score[-1], 0)) / spline.slope[-1]
    below = spline.knot[0] - jnp.expm1(jnp.maximum(spline.score[0] - z, 0)) / spline.slope[0]
    return jnp.where(z > spline.score[-1], above, jnp.where(z < spline.score[0], below, inside))


def _interval(
    spline: Spline, edges: Array, values: Array
) -> tuple[tuple[Array, Array], tuple[Array, Array], Array, Array]:
    """Find the lower and upper knot (place, score) and the slopes there, for each value."""
    index = jnp.clip(jnp.searchsorted(edges, values, side="right") - 1, 0, edges.shape[0] - 2)
    low = (spline.knot[index], spline.score[index])
    high = (spline.knot[index + 1], spline.score[index + 1])
    return low, high, spline.slope[index], spline.slope[index + 1]
