"""The fitted map of each variable, and its application to samples, each variable in a thread of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pid_jax.flow.stage import Stage, run_stages, stage_inverse
from pid_jax.flow.weights import Architecture, FlowWeights, flow_inverse, run_forward
from pid_jax.runtime.devices import in_threads
from pid_jax.runtime.precision import single_precision


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


def map_variables(
    flows: Sequence[VariableFlow], variables: Sequence[np.ndarray], architectures: Sequence[Architecture]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Map samples (problems, m, d) of every variable to latents; return them and log |det| (problems, m).

    Args:
        flows: Of each variable, all problems on the leading axis, or one if it is the same in all.
        variables: The samples.
        architectures: Of each flow.
    """
    scaled = [_in_scale(flow, x) for flow, x in zip(flows, variables, strict=True)]
    found = _of_each(_map, flows, scaled, architectures)
    return [
        (z, log_det - np.log(flow.scale).sum(axis=-1, keepdims=True).astype(log_det.dtype))
        for flow, (z, log_det) in zip(flows, found, strict=True)
    ]


def invert_variables(
    flows: Sequence[VariableFlow], latents: Sequence[np.ndarray], architectures: Sequence[Architecture]
) -> list[np.ndarray]:
    """Map latents back to samples in double precision, see `map_variables`."""
    found = _of_each(_invert, flows, [np.asarray(z, np.float32) for z in latents], architectures)
    return [
        x * np.asarray(flow.scale, np.float64)[:, None] + np.asarray(flow.center, np.float64)[:, None]
        for flow, x in zip(flows, found, strict=True)
    ]


def _in_scale(flow: VariableFlow, x: np.ndarray) -> np.ndarray:
    """Center and scale samples in double precision, one problem at a time, before they are cast."""
    scaled = np.empty(x.shape, np.float32)
    each = (np.broadcast_to(part, (len(x), x.shape[-1])) for part in (flow.center, flow.scale))
    for one, center, scale, out in zip(x, *each, scaled, strict=True):
        out[...] = (one - np.asarray(center, np.float64)) / scale
    return scaled


def _of_each(
    program: Callable[..., Any],
    flows: Sequence[VariableFlow],
    variables: Sequence[np.ndarray],
    architectures: Sequence[Architecture],
) -> list[Any]:
    """Run a program for every variable and problem."""

    def apply(at: tuple[int, int]) -> Any:
        variable, problem = at
        flow, own = flows[variable], problem if len(flows[variable].center) > 1 else 0
        one = jax.tree.map(lambda leaf: leaf[own], flow)
        with single_precision():
            x = jnp.asarray(variables[variable][problem])
            return jax.tree.map(np.asarray, program(one, x, architectures[variable]))

    places = [(variable, problem) for variable, x in enumerate(variables) for problem in range(len(x))]
    found = dict(zip(places, in_threads(apply, places), strict=True))
    return [
        jax.tree.map(lambda *parts: np.stack(parts), *(found[variable, problem] for problem in range(len(x))))
        for variable, x in enumerate(variables)
    ]


def _map(
    flow: VariableFlow, x: Float[Array, "n d"], architecture: Architecture
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n"]]:
    """Map scaled samples to latents, by the programs of a fit; return them and log |det| of the Jacobian."""
    scores, log_slope = (np.asarray(one) for one in run_stages(flow.stages, x))
    z, log_det = (np.asarray(one) for one in run_forward(flow.weights, jnp.asarray(scores.T), architecture))
    return z.T, log_det + log_slope


@partial(jax.jit, static_argnums=2)
def _invert(flow: VariableFlow, z: Float[Array, "n d"], architecture: Architecture) -> Float[Array, "n d"]:
    """Map latents back to scaled samples."""
    scores = flow_inverse(flow.weights, z.T, architecture)[0].T
    for stage in reversed(flow.stages):
        scores = stage_inverse(stage, scores)
    return scores
