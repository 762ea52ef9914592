"""The model among whose samples the data are typical."""

import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pid_jax.bias.gains import half_log_ratios, information_of_gains
from pid_jax.bias.model import Frame, Unsampled, frame_of, unsampled_contrast, unsampled_coupling
from pid_jax.gaussian.channels import Channels, all_gains, split_channels
from pid_jax.gaussian.information import Information
from pid_jax.gaussian.wishart import information_bias


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Typical:
    """A model among whose samples a sample covariance is typical.

    Attributes:
        sampled: The channels of the sample covariance.
        frame: The same with the coupling before sampling, whose contrast can be replaced.
        unsampled: The contrast before sampling.
        observed: l of the sample covariance, ascending.
        information: The informations without bias, in nats.
        bias: The bias.
    """

    sampled: Channels
    frame: Frame
    unsampled: Unsampled
    observed: Float[Array, "dt"]
    information: Information
    bias: Information

    @property
    def channels(self) -> Channels:
        """The model."""
        return self.frame.replaced(self.unsampled.half_log_ratio)


def find_typical(
    cov: Float[Array, "D D"],
    dims: tuple[int, int, int],
    freedom: Float[Array, ""],
    whites: Float[Array, "draws D D"],
    shared: int = 0,
) -> Typical:
    """Find the model whose samples look like a sample covariance.

    Args:
        cov: The sample covariance, positive definite but for what is `shared`.
        dims: (d1, d2, dt).
        freedom: n − 1.
        whites: Factors of white Wishart matrices, see `WhiteFactors`.
        shared: Number of leading coordinates of source_2 that are linear functions of source_1.
    """
    channels = split_channels(cov, dims, shared)
    bias = information_bias(freedom, dims, shared)
    information = jax.tree.map(jnp.subtract, information_of_gains(*all_gains(channels)), bias)
    observed = half_log_ratios(channels.gain_1, channels.gain_2)
    frame = frame_of(dataclasses.replace(channels, coupling=unsampled_coupling(channels, freedom)), information)
    unsampled = unsampled_contrast(frame, observed, whites)
    return Typical(
        sampled=channels, frame=frame, unsampled=unsampled, observed=observed, information=information, bias=bias
    )
