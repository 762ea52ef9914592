"""Bias and intervals of MMI atoms of samples."""

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from pid_jax.bias.calibration import Calibration
from pid_jax.bias.gains import information_of_gains
from pid_jax.bias.model import clarity, sampled_amounts
from pid_jax.gaussian.channels import all_gains, split_channels
from pid_jax.gaussian.wishart import information_bias
from pid_jax.pid.atoms import compose_atoms


def calibrate_mmi(
    cov: Float[Array, "D D"],
    dims: tuple[int, int, int],
    freedom: Float[Array, ""],
    whites: Float[Array, "draws D D"],
    level: Float[Array, ""],
    shared: int = 0,
) -> Calibration:
    """Find bias and intervals of the MMI atoms of a sample covariance; the arguments are those of `calibrate`.

    Beyond the informations only the kink of U_1 + U_2 = |D| at D = I_2 − I_1 = 0 reads high.
    """
    channels = split_channels(cov, dims, shared)
    bias = information_bias(freedom, dims, shared)
    plain = information_of_gains(*all_gains(channels))
    corrected = jax.tree.map(jnp.subtract, plain, bias)
    sampled, _ = sampled_amounts(channels, whites)
    error = jax.tree.map(lambda x: x - x.mean(), sampled)
    by_difference = error.i_2 - error.i_1
    difference = corrected.i_2 - corrected.i_1
    slope = jnp.sign(difference) * clarity(difference, by_difference.std())
    in_doubt = 1 - jnp.abs(slope)
    clear = jnp.abs(slope) * difference
    reads_high = in_doubt * (jnp.abs(clear + by_difference).mean() - jnp.abs(clear))
    quantile = -ndtri((1 - level) / 2)
    reach = jax.tree.map(lambda x: quantile * x.std(), compose_atoms(error, slope * by_difference))
    # Where it is not clear which source tells more, |D| may be anything from zero to what its sampling allows.
    kink = in_doubt * (jnp.abs(difference) + quantile * by_difference.std())
    unique = jnp.abs(difference) - reads_high
    atoms = compose_atoms(corrected, unique)
    ends = [compose_atoms(corrected, slope * difference + part) for part in (0, kink)]
    lower, upper = (jax.tree.map(side, *ends) for side in (jnp.minimum, jnp.maximum))
    return Calibration(
        bias=compose_atoms(bias, jnp.abs(plain.i_2 - plain.i_1) - unique),
        information_bias=bias,
        lower=jax.tree.map(lambda x, one, r: jnp.minimum(x, one) - r, lower, atoms, reach),
        upper=jax.tree.map(lambda x, one, r: jnp.maximum(x, one) + r, upper, atoms, reach),
    )
