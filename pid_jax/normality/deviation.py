"""One deviation from a Gaussian: how unlikely it is by chance, and how much it is."""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array, Float


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Deviation:
    """How unlikely a deviation is by chance, and how much it is.

    Attributes:
        z: Standard normal for Gaussian samples, large (or far from zero, where both signs exist) otherwise.
        nats: Divergence from a Gaussian that it stands for, to second order: right while small, too large where large.
            For Gaussian samples z²/2n or less.
    """

    z: Float[Array, "..."] | np.ndarray
    nats: Float[Array, "..."] | np.ndarray


def chi_squared_score(ratio: float, freedom: float) -> float:
    """Standardize the ratio of a chi-squared variable to its mean by its cube root.

    Source: Wilson & Hilferty (1931), Proc. Natl. Acad. Sci. 17, 684.
    """
    spread = 2 / (9 * freedom)
    return (np.cbrt(ratio) - (1 - spread)) / np.sqrt(spread)
