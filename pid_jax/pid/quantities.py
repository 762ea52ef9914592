"""The four atoms together with the three informations, for whatever is said of each of them alike."""

from dataclasses import dataclass, fields

import jax
import numpy as np
from jaxtyping import Array, Float

from pid_jax.gaussian.information import Information
from pid_jax.pid.atoms import PIDAtoms


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class PIDQuantities(PIDAtoms):
    """One number for each atom and each information: amounts in nats, their ends, or probabilities.

    Attributes:
        i_1: That of I(target; source_1).
        i_2: That of I(target; source_2).
        i_12: That of I(target; source_1, source_2).
    """

    i_1: Float[Array, "..."] | np.ndarray
    i_2: Float[Array, "..."] | np.ndarray
    i_12: Float[Array, "..."] | np.ndarray


QUANTITIES = tuple(f.name for f in fields(PIDQuantities))


def quantities_of(atoms: PIDAtoms, information: Information) -> PIDQuantities:
    """Put atoms and informations together."""
    return PIDQuantities(**vars(atoms), **vars(information))
