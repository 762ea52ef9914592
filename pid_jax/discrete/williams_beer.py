"""Redundancy I_min of Williams & Beer."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pid_jax.pid.measure import Redundancy


@dataclass(frozen=True)
class IMin(Redundancy):
    """Expected smaller specific information, I_min (Williams & Beer 2010), for tables and answers.

    Attributes:
        rank_cut: Without effect on tables.
    """


def specific_information(p: Float[np.ndarray, "... n nt"]) -> Float[np.ndarray, "... nt"]:
    """Return Σ_a p(a | y) log p(y | a) / p(y) of every class y, in nats; 0 for a class of probability 0."""
    of_a, of_y = p.sum(axis=-1, keepdims=True), p.sum(axis=-2, keepdims=True)
    product = of_a * of_y
    ratio = np.where(p > 0, p, 1) / np.where((p > 0) & (product > 0), product, 1)
    weight = p / np.where(of_y > 0, of_y, 1)
    return (weight * np.log(ratio)).sum(axis=-2)


def i_min(p_1t: Float[np.ndarray, "... n1 nt"], p_2t: Float[np.ndarray, "... n2 nt"]) -> Float[np.ndarray, "..."]:
    """Return the redundancy Σ_y p(y) min_k I(Y = y; X_k) in nats.

    It counts as shared whatever both sources say about the same class, even about different aspects of it: two
    independent bits that are copied to the target share a bit.

    Source: Williams & Beer (2010), arXiv:1004.2515.
    """
    least = np.minimum(specific_information(p_1t), specific_information(p_2t))
    return (p_1t.sum(axis=-2) * least).sum(axis=-1)
