"""The whole map of one variable to its latents: scaling, a spline for each coordinate, the flow."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pid_jax.flow.spline import Spline, fit_spline, spline_forward, spline_inverse
from pid_jax.flow.weights import Architecture, FlowWeights, flow_forward, flow_inverse


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class VariableFlow:
    """A fitted map of one variable in one problem.

    Attributes:
        center: Subtracted from each coordinate.
        scale: Each coordinate is divided by it.
        splines: A map of each coordinate to normal scores; None to leave them as they are.
        weights: The flow behind that.
    """

    center: Float[Array, "d"] | np.ndarray
    scale: Float[Array, "d"] | np.ndarray
    splines: Spline | None
    weights: FlowWeights


def variable_forward(
    flow: VariableFlow, x: Float[Array, "n d"], architecture: Architecture
) -> tuple[Float[Array, "n d"], Float[Array, "n"]]:
    """Map samples to latents; return them and log |det| of the Jacobian of the whole map."""
    scores, log_slope = normal_scores(flow.splines, (x - flow.center) / flow.scale)
    z, log_det = flow_forward(flow.weights, scores, architecture)
    return z, log_det + log_slope - jnp.log(flow.scale).sum()


def variable_inverse(flow: VariableFlow, z: Float[Array, "n d"], architecture: Architecture) -> Float[Array, "n d"]:
    """Map latents back to samples."""
    scores, _ = flow_inverse(flow.weights, z, architecture)
    if flow.splines is not None:
        scores = jax.vmap(spline_inverse, in_axes=(0, 1), out_axes=1)(flow.splines, scores)
    return scores * flow.scale + flow.center


def fit_splines(samples: Float[Array, "n d"], knots: int, tie: float) -> Spline:
    """Fit a spline to every coordinate."""
    return jax.vmap(lambda column: fit_spline(column, knots, tie), in_axes=1)(samples)


def normal_scores(splines: Spline | None, x: Float[Array, "n d"]) -> tuple[Float[Array, "n d"], Float[Array, "n"]]:
    """Apply a spline to every coordinate; return the scores and the sum of the log-slopes."""
    if splines is None:
        return x, jnp.zeros(x.shape[0], x.dtype)
    scores, log_slope = jax.vmap(spline_forward, in_axes=(0, 1), out_axes=(1, 1))(splines, x)
    return scores, log_slope.sum(axis=1)
