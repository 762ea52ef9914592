"""What stands in front of a flow: up to a few stages of a linear map and a spline for each coordinate."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from pid_jax.flow.objective import log_density, moments
from pid_jax.flow.spline import Spline, fit_spline, spline_forward, spline_inverse
from pid_jax.gaussian.linalg import symmetric_eigen

# A linear map is taken if it adds this many standard errors to the likelihood of the held-out samples.
ERRORS = 2.0
# A search ends after some ten iterations where all components are far from normal. Where some are normal, their axes
# keep turning while the others are found all the same.
MOST_ITERATIONS = 60
# Largest 1 − |cos| between an axis and itself one iteration before at which the search has converged.
TOLERANCE = 1e-4
# Smallest variance of a direction over the largest, in single precision; below, components are rounding errors.
SMALLEST_VARIANCE = 1e-5


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Stage:
    """A linear map, then a monotone spline for each coordinate.

    Attributes:
        matrix: Samples (n, d) are multiplied by it from the right.
        splines: Maps of the coordinates to normal scores, d on the leading axis.
        is_used: Whether the stage does anything.
        is_unmixing: Whether the linear map was found from the samples, or is the identity.
    """

    matrix: Float[Array, "d d"]
    splines: Spline
    is_used: Bool[Array, ""]
    is_unmixing: Bool[Array, ""]


def stage_forward(stage: Stage, x: Float[Array, "n d"]) -> tuple[Float[Array, "n d"], Float[Array, "n"]]:
    """Map samples; return the images and log |det| of the Jacobian."""
    y, log_slope = jax.vmap(spline_forward, in_axes=(0, 1), out_axes=(1, 1))(stage.splines, x @ stage.matrix)
    log_det = log_slope.sum(axis=1) + jnp.linalg.slogdet(stage.matrix)[1]
    return lax.select(stage.is_used, y, x), lax.select(stage.is_used, log_det, jnp.zeros_like(log_det))


def stage_inverse(stage: Stage, y: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Map images back."""
    x = jax.vmap(spline_inverse, in_axes=(0, 1), out_axes=1)(stage.splines, y)
    return lax.select(stage.is_used, jnp.linalg.solve(stage.matrix.T, x.T).T, y)


def stages_forward(stages: tuple[Stage, ...], x: Float[Array, "n d"]) -> tuple[Float[Array, "n d"], Float[Array, "n"]]:
    """Apply one stage after the other; return the images and log |det| of the Jacobian."""
    log_det = jnp.zeros(x.shape[0], x.dtype)
    for stage in stages:
        x, more = stage_forward(stage, x)
        log_det += more
    return x, log_det


run_stages = jax.jit(stages_forward)


@partial(jax.jit, static_argnames=("knots", "unmixings"))
def fit_stages(
    train: Float[Array, "n d"],
    held_out: Float[Array, "m d"],
    tie: Float[Array, ""],
    is_mixed: Bool[Array, ""],
    *,
    knots: int,
    unmixings: int,
) -> tuple[Stage, ...]:
    """Fit the stages of one variable.

    The first has splines in any case. Each of them, and more if `unmixings` says so, may begin with a linear map to
    independent components: bases that mix coordinates with heavy tails are undone by it, which a flow that starts at
    the coordinates finds late or never. It is taken if the held-out samples are more likely with it.

    Args:
        train: Samples, coordinates of variance about one.
        held_out: Samples to choose by.
        tie: See `fit_spline`.
        is_mixed: Whether linear maps may be taken; not for discrete coordinates.
        knots: See `fit_spline`.
        unmixings: How many linear maps are tried.
    """
    stages, (x, y) = [], (train, held_out)
    for place in range(max(1, unmixings)):
        plain = _plain_stage(x, tie, knots, is_used=place == 0)
        if place < unmixings:
            plain = _choose(plain, x, y, tie, is_mixed, knots)
        (x, _), (y, _) = stage_forward(plain, x), stage_forward(plain, y)
        stages.append(plain)
    return tuple(stages)


def _plain_stage(x: Float[Array, "n d"], tie: Array, knots: int, *, is_used: bool) -> Stage:
    return Stage(
        matrix=jnp.eye(x.shape[1], dtype=x.dtype),
        splines=_fit_splines(x, knots, tie),
        is_used=jnp.asarray(is_used),
        is_unmixing=jnp.asarray(False),
    )


def _choose(plain: Stage, x: Array, y: Array, tie: Array, is_mixed: Array, knots: int) -> Stage:
    """Take the linear map to independent components, or not."""
    found = independent_components(x)
    is_allowed = found.is_regular & is_mixed
    matrix = jnp.where(is_allowed, found.matrix, plain.matrix)
    splines = _fit_splines(x @ matrix, knots, tie)
    unmixed = Stage(matrix=matrix, splines=splines, is_used=jnp.asarray(True), is_unmixing=jnp.asarray(True))
    gain = _density(unmixed, x, y) - _density(plain, x, y)
    is_better = gain.mean() > ERRORS * gain.std() / np.sqrt(gain.shape[0])
    return jax.tree.map(partial(jnp.where, is_allowed & is_better), unmixed, plain)


def _density(stage: Stage, x: Float[Array, "n d"], y: Float[Array, "m d"]) -> Float[Array, "m"]:
    """Compute log-densities of held-out samples, Gaussian behind the stage with the moments of the training samples."""
    images, log_det = stage_forward(stage, y)
    return log_density(images, log_det, *moments(stage_forward(stage, x)[0]))


def _fit_splines(x: Float[Array, "n d"], knots: int, tie: Array) -> Spline:
    return jax.vmap(lambda column: fit_spline(column, knots, tie), in_axes=1)(x)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Unmixing:
    """A linear map to independent components.

    Attributes:
        matrix: The components of samples x (n, d) are x @ matrix; they have unit variances and no correlations.
        is_regular: Whether all directions of the samples have variance, to single precision.
        has_converged: Whether the search came to an end. It does not where several directions are equally normal.
    """

    matrix: Float[Array, "d d"]
    is_regular: Bool[Array, ""]
    has_converged: Bool[Array, ""]


def independent_components(samples: Float[Array, "n d"]) -> Unmixing:
    """Find independent components by fixed-point iterations on all axes at once (symmetric FastICA, log cosh).

    The search starts at the coordinates themselves, whitened by the inverse square root of their covariance: components
    that are the coordinates already keep their order.

    Args:
        samples: Samples; their mean does not matter.

    Source: Hyvärinen (1999), IEEE Trans. Neural Netw. 10, 626.
    """
    count, dim = samples.shape
    centered = samples - samples.mean(axis=0)
    values, vectors = symmetric_eigen(centered.T @ centered / count)
    whitening = (vectors / jnp.sqrt(values)) @ vectors.T
    white = centered @ whitening

    def step(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        axes, _, done = carry
        bent = jnp.tanh(white @ axes)
        moved = _orthogonal(white.T @ bent / count - axes * (1 - bent**2).mean(axis=0))
        change = (1 - jnp.abs((moved * axes).sum(axis=0))).max()
        return moved, change, done + 1

    def goes_on(carry: tuple[Array, Array, Array]) -> Array:
        return (carry[1] > TOLERANCE) & (carry[2] < MOST_ITERATIONS)

    start = (jnp.eye(dim, dtype=samples.dtype), jnp.full((), jnp.inf, samples.dtype), jnp.zeros((), jnp.int32))
    axes, change, _ = lax.while_loop(goes_on, step, start)
    is_regular = values[0] > SMALLEST_VARIANCE * values[-1]
    return Unmixing(matrix=whitening @ axes, is_regular=is_regular, has_converged=change <= TOLERANCE)


def _orthogonal(matrix: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """Compute the nearest matrix with orthonormal columns.

    Columns of normal components are nearly zero, so that the matrix may be singular: any completion is as good then.
    """
    left, _, right = jnp.linalg.svd(matrix, full_matrices=False)
    return left @ right
