"""Unique information from dependency constraints, I_dep."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float

from pid_jax.gaussian.information import information_from_cross, information_of
from pid_jax.gaussian.whitened import WhitenedGaussian
from pid_jax.pid.atoms import PIDSolution, solution
from pid_jax.pid.measure import Measure, Redundancy


@dataclass(frozen=True)
class IDep(Redundancy):
    """Unique information by dependency constraints, I_dep (James et al. 2019), in closed form for Gaussian variables.

    The unique information of a source is the smallest rise of I(target; both sources) when its pair with the target is
    added to the constraints of a maximum-entropy model.

    Attributes:
        rank_cut: Directions of a variable whose variance is below this fraction of its largest are dropped.
    """


def idep_of(whitened: WhitenedGaussian) -> PIDSolution:
    """Decompose whitened variables by I_dep.

    The models are Gaussian graphical models, and of the four rises two are never the smallest or repeat another: what
    is left is the rise over the pair of the other source in the model where the sources are independent given the
    target, I_ci − I_2, and in the full model, I_12 − I_2. So the union information is min(I_ci, I_12) with

        I_ci = I_1 + I_2 + ½ log |I − Q_1 Q_2|,   Q_k = R_k R_kᵀ,

    where R_k is the covariance of the whitened target and the whitened source_k.

    Returns:
        The decomposition in nats. `gap` is NaN: there is no optimization to certify.

    Source: Kay & Ince (2018), Entropy 20(4), 240, table 9; James, Emenheiser & Crutchfield (2019), J. Phys. A 52,
    014002, for the measure.
    """
    information = information_of(whitened)
    common = shared_by_independent_noise(whitened)
    unique_1 = jnp.minimum(information.i_1 - common, information.i_12 - information.i_2)
    unique_2 = jnp.minimum(information.i_2 - common, information.i_12 - information.i_1)
    return solution(information, unique_1, unique_2, whitened, gap=jnp.full_like(unique_1, jnp.nan))


def shared_by_independent_noise(whitened: WhitenedGaussian) -> Float[Array, ""]:
    """Return I(source_1; source_2) in the model in which the sources are independent given the target."""
    cross_1, cross_2 = whitened.cross
    return information_from_cross(cross_1.T @ cross_2)


MEASURE = Measure(
    settings=IDep,
    name="idep",
    label="I_dep",
    solve=idep_of,
    remark="counts as unique the least rise of the information of both sources when a maximum-entropy model is made to "
    "keep the pair of that source with the target.",
)
