"""The map of one variable to its latents after scaling: the stages in front of the flow, the flow."""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array, Float

from pid_jax.flow.stage import Stage, stage_inverse, stages_forward
from pid_jax.flow.weights import Architecture, FlowWeights, flow_forward, flow_inverse


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class VariableFlow:
    """A fitted map of one variable in one problem.

    Attributes:
        center: Subtracted from each coordinate, in double precision as `scale`: single precision would lose what is
            far from zero.
        scale: Each coordinate is divided by it then.
        stages: What stands in front of the flow; none to leave the scaled coordinates as they are.
        weights: The flow behind that.
    """

    center: Float[Array, "d"] | np.ndarray
    scale: Float[Array, "d"] | np.ndarray
    stages: tuple[Stage, ...]
    weights: FlowWeights


def variable_forward(
    flow: VariableFlow, x: Float[Array, "n d"], architecture: Architecture
) -> tuple[Float[Array, "n d"], Float[Array, "n"]]:
    """Map scaled samples to latents; return them and log |det| of the Jacobian."""
    scores, log_slope = stages_forward(flow.stages, x)
    z, log_det = flow_forward(flow.weights, scores.T, architecture)
    return z.T, log_det + log_slope


def variable_inverse(flow: VariableFlow, z: Float[Array, "n d"], architecture: Architecture) -> Float[Array, "n d"]:
    """Map latents back to scaled samples."""
    scores = flow_inverse(flow.weights, z.T, architecture)[0].T
    for stage in reversed(flow.stages):
        scores = stage_inverse(stage, scores)
    return scores
