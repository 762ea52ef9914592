"""A flow of one variable: its weights, and the map that they make."""

from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from pid_jax.flow.block import Block, Halves, split


@dataclass(frozen=True)
class Architecture:
    """What makes the shapes of a flow's weights.

    Attributes:
        dim: Coordinates of the variable.
        couplings: Number of blocks.
        width: Units in the hidden layer of a conditioner.
        activation: What its units compute, "relu" or "silu".
    """

    dim: int
    couplings: int
    width: int
    activation: str = "silu"

    @property
    def block(self) -> Block:
        """The module of one step."""
        return Block(self.dim, self.width, self.activation)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class FlowWeights:
    """Weights of one flow, all blocks on the leading axis.

    Attributes:
        blocks: Learned weights, a tree of arrays.
        permutation: Order of the coordinates before each block; it stays as drawn.
    """

    blocks: Any
    permutation: Int[Array, "k d"] | np.ndarray


def init_weights(key: jax.Array, architecture: Architecture) -> FlowWeights:
    """Draw the weights of a flow that starts as a permutation."""
    for_blocks, for_orders = jax.random.split(key)
    dim, count = architecture.dim, architecture.couplings
    orders = jax.vmap(lambda k: jax.random.permutation(k, dim))(jax.random.split(for_orders, count))
    sample = split(jnp.zeros((dim, 1), jnp.float32))
    blocks = jax.vmap(lambda k: architecture.block.init(k, sample, orders[0]))(jax.random.split(for_blocks, count))
    return FlowWeights(blocks=blocks, permutation=orders.astype(jnp.int32))


def flow_forward(
    weights: FlowWeights, x: Float[Array, "d n"], architecture: Architecture
) -> tuple[Float[Array, "d n"], Float[Array, "n"]]:
    """Map samples to latents; return them and log |det| of the Jacobian.

    A gradient computes every block again instead of keeping what is inside: that takes less time than to write and read
    it, .6 of it on a CPU (docs/decisions/0013-loops-around-a-fit.md), and less memory.
    """

    @partial(jax.checkpoint, prevent_cse=False)  # a scan keeps the two passes apart already
    def step(carry: tuple[Halves, Array], block: tuple[Any, Array]) -> tuple[tuple[Halves, Array], None]:
        x, log_det = carry
        y, more = cast(Any, architecture.block.apply(block[0], x, block[1]))
        return (y, log_det + more), None

    start = (split(x), jnp.zeros(x.shape[1], x.dtype))
    (z, log_det), _ = lax.scan(step, start, (weights.blocks, jnp.asarray(weights.permutation)))
    return jnp.concatenate(z), log_det


# One program for all that maps the samples of one problem: the evaluations of a fit, and what uses it.
run_forward = jax.jit(flow_forward, static_argnums=2)


def flow_inverse(
    weights: FlowWeights, z: Float[Array, "d n"], architecture: Architecture
) -> tuple[Float[Array, "d n"], Float[Array, "n"]]:
    """Map latents back to samples; return them and log |det| of the Jacobian of the inverse."""

    def step(carry: tuple[Halves, Array], block: tuple[Any, Array]) -> tuple[tuple[Halves, Array], None]:
        z, log_det = carry
        x, more = cast(Any, architecture.block.apply(block[0], z, block[1], method="invert"))
        return (x, log_det + more), None

    start = (split(z), jnp.zeros(z.shape[1], z.dtype))
    blocks = weights.blocks, jnp.asarray(weights.permutation)
    (x, log_det), _ = lax.scan(step, start, blocks, reverse=True)
    return jnp.concatenate(x), log_det
