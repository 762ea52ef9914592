"""Minimum mutual information."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from pid_jax.gaussian.channels import all_gains, split_channels
from pid_jax.gaussian.information import information_of
from pid_jax.gaussian.joint import JointGaussian
from pid_jax.gaussian.whiten import whiten
from pid_jax.gaussian.whitened import WhitenedGaussian
from pid_jax.gaussian.wishart import information_bias
from pid_jax.pid.atoms import PIDSolution, compose_atoms, solution
from pid_jax.pid.gains import information_of_gains
from pid_jax.pid.measure import Calibration, Measure, Redundancy
from pid_jax.pid.model import clarity, sampled_amounts


@dataclass(frozen=True)
class MMI(Redundancy):
    """Minimum mutual information: redundancy is the smaller of the two informations (Barrett 2015).

    Attributes:
        rank_cut: Directions of a variable whose variance is below this fraction of its largest are dropped.
    """


def pid_mmi(joint: JointGaussian, rank_cut: float = 1e-13) -> PIDSolution:
    """Decompose by minimum mutual information.

    R = min(I_1, I_2), U_k = I_k − R, S = I_12 − I_1 − I_2 + R. At least one of the unique atoms is zero by
    definition, so two uniques at once never show.

    Args:
        joint: One joint Gaussian; vmap for more.
        rank_cut: Directions with less than this fraction of a variable's largest variance are dropped.

    Returns:
        The decomposition in nats. `gap` is NaN: there is no optimization to certify.

    Example:
        >>> import jax.numpy as jnp
        >>> from pid_jax import JointGaussian, pid_mmi
        >>> cov = jnp.array([[2.0, 1.0, 1.0], [1.0, 3.0, 1.0], [1.0, 1.0, 1.0]])  # source_2 has more noise
        >>> atoms = pid_mmi(JointGaussian(cov, (1, 1, 1))).atoms
        >>> print(f"{atoms.unique_1:.3f} {atoms.unique_2:.3f}")
        0.144 0.000

    Source: Barrett (2015), Phys. Rev. E 91, 052802.
    """
    return mmi_of(whiten(joint, rank_cut))


def mmi_of(whitened: WhitenedGaussian) -> PIDSolution:
    """Decompose whitened variables, see `pid_mmi`."""
    information = information_of(whitened)
    difference = information.i_1 - information.i_2
    return solution(
        information,
        unique_1=jnp.maximum(difference, 0),
        unique_2=jnp.maximum(-difference, 0),
        whitened=whitened,
        gap=jnp.full_like(difference, jnp.nan),
    )


def calibrate_mmi(
    cov: Float[Array, "D D"],
    dims: tuple[int, int, int],
    freedom: Float[Array, ""],
    whites: Float[Array, "draws D D"],
    level: Float[Array, ""],
    shared: int = 0,
) -> Calibration:
    """Find bias and intervals of the MMI atoms of a sample covariance; the arguments are those of `Calibrate`.

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


MEASURE = Measure(
    settings=MMI,
    name="mmi",
    label="MMI",
    solve=mmi_of,
    unique=lambda information, half_log_ratios: jnp.abs(information.i_2 - information.i_1),
    calibrate=calibrate_mmi,
    remark="sets the redundant part to the smaller of I₁ and I₂. This is simple, but it leaves the weaker source no "
    "unique information at all, whatever that source tells, and so cannot show two unique parts at once.",
)
