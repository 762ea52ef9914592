"""The four atoms of a decomposition, and what comes with them."""

from dataclasses import dataclass, fields

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pid_jax.gaussian.information import Information
from pid_jax.gaussian.whitened import WhitenedGaussian

# A share of less information than this many nats is not computed, in metrics, figures and on the page: estimation noise
# is as large, so that the ratio says nothing.
LEAST_INFORMATION = 0.01


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class PIDAtoms:
    """Parts of I(target; source_1, source_2), in nats.

    Attributes:
        redundancy: What each source tells alone and both share.
        unique_1: What only source_1 tells.
        unique_2: What only source_2 tells.
        synergy: What the sources tell only together.
    """

    redundancy: Float[Array, "..."] | np.ndarray
    unique_1: Float[Array, "..."] | np.ndarray
    unique_2: Float[Array, "..."] | np.ndarray
    synergy: Float[Array, "..."] | np.ndarray


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


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class PIDSolution:
    """A decomposition as the core functions return it.

    Attributes:
        atoms: The four atoms in nats.
        information: I_1, I_2 and I_12 in nats.
        status: `Status`. Where it is `INFINITE_INFORMATION` what is finite is there and what is infinite is `inf`: if
            each source alone has finite information, the synergy is infinite and the other atoms are not; else all
            atoms are NaN. Where the matrix is no covariance every number is NaN.
        gap: Primal value minus closed form of the union information in nats, a certificate of the optimization; both
            start from the whitened covariance, whose own rounding it does not see. For `ICCS` the standard error
            of its quadrature. NaN for closed forms without an optimization.
    """

    atoms: PIDAtoms
    information: Information
    status: Int[Array, "..."]
    gap: Float[Array, "..."]


def solution(
    information: Information,
    unique_1: Float[Array, ""],
    unique_2: Float[Array, ""],
    whitened: WhitenedGaussian,
    gap: Float[Array, ""],
) -> PIDSolution:
    """Complete a decomposition from the two unique informations, so that all identities hold.

    R = I_k − U_k (equal for both k up to rounding: the mean is taken) and S = I_12 − U_1 − U_2 − R. R and U_k depend on
    each source's pair with the target alone, so that they are known where I_12 is infinite; there S is infinite too.
    """
    redundancy = 0.5 * ((information.i_1 - unique_1) + (information.i_2 - unique_2))
    atoms = PIDAtoms(
        redundancy=redundancy,
        unique_1=unique_1,
        unique_2=unique_2,
        synergy=information.i_12 - unique_1 - unique_2 - redundancy,
    )
    atoms, gap = jax.tree.map(lambda x: jnp.where(whitened.has_union, x, jnp.nan), (atoms, gap))
    return PIDSolution(atoms=atoms, information=information, status=whitened.status, gap=gap)


def compose_atoms(information: Information, unique: Float[Array, "..."] | np.ndarray) -> PIDAtoms:
    """Compute the atoms from the three informations and U_1 + U_2; all are linear in these."""
    i_1, i_2, i_12 = information.i_1, information.i_2, information.i_12
    return PIDAtoms(
        redundancy=0.5 * (i_1 + i_2 - unique),
        unique_1=0.5 * (unique + i_1 - i_2),
        unique_2=0.5 * (unique - i_1 + i_2),
        synergy=i_12 - 0.5 * (i_1 + i_2 + unique),
    )


def quantities_of(atoms: PIDAtoms, information: Information) -> PIDQuantities:
    """Put atoms and informations together."""
    return PIDQuantities(**vars(atoms), **vars(information))
