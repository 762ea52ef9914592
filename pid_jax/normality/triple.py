"""Dependence of three variables at once, which no pair of them shows: products, XOR, selection of one by another."""

import numpy as np
from jaxtyping import Float

from pid_jax.normality.deviation import Deviation, chi_squared_score
from pid_jax.normality.white import Apart, White, take_apart, whiten_residual


def triple_moments(one: White, two: White, target: White) -> Deviation:
    """Measure the third cross-moments of what two sources have alone, and what both do not predict of the target.

    Let a be source_1 without what source_2 predicts of it, b the reverse, and c the target without what both predict,
    all white, and T_ijk = mean a_i b_j c_k. Jointly Gaussian variables have T = 0, and n T is white noise of the
    covariance G of the products a_i b_j. In canonical coordinates G joins a_i b_j with a_j b_i only, by ρ_i ρ_j, so
    that n Q = n T' G⁻¹ T is chi-squared with d1 d2 dt degrees of freedom, however strongly the variables depend on each
    other. The products a_i b_j have nothing in common with functions of one source alone, so a curved dependence of the
    target on either source by itself is not seen, and exchanging the sources changes nothing.

    The information that the Gaussian one misses is Q/2 to second order, less what Q is by chance: mean q/n, where q is
    the same form of (a_i b_j − mean a_i b_j) c_k of each sample, so that heavy tails alone are no deviation. For
    Gaussian samples n E Q = f n/(n + 3) and E q = f (n − 1)²/((n + 1)(n + 3)) with f degrees of freedom.

    Args:
        one: source_1.
        two: source_2.
        target: The target.

    Source: McCullagh (1987), Tensor Methods in Statistics, for the divergence; Mardia (1974), Sankhya B 36, 115, for
    the mean of the squares; Wilson & Hilferty (1931) for the cube root.
    """
    n = one.values.shape[0]
    apart, rest = take_apart(one, two), whiten_residual(target, one, two)
    freedom = (one.rank - apart.shared) * (two.rank - apart.shared) * rest.rank
    squares, by_chance = _moments(apart, rest.values), _each(apart, rest.values)
    is_there = freedom > 0
    size, by_chance = np.where(is_there, freedom, 1), np.where(is_there, by_chance, 1)
    found = n * squares
    ratio = np.where(found > by_chance, 1 + (found - by_chance) / size, found / by_chance)
    ratio = ratio / (1 + (3 * n - 1) / ((n + 1) * (n + 3)))
    z, nats = chi_squared_score(float(ratio), float(size)), np.maximum(ratio - 1, 0) * size / (2 * n)
    return Deviation(z=np.where(is_there, z, 0), nats=np.where(is_there, nats, 0))


def _moments(apart: Apart, rest: Float[np.ndarray, "n dt"]) -> float:
    """Compute T' G⁻¹ T."""
    rows, columns = apart.two.T, rest / rest.shape[0]
    moments = np.stack([(rows * column) @ columns for column in apart.one.T])
    count = len(apart.correlations)
    head = moments[:count, :count]
    more, less = _weights(apart)
    crossed = (head * head.swapaxes(0, 1)).sum(axis=-1)
    return (moments**2).sum() + (more * (head**2).sum(axis=-1) - less * crossed).sum()


def _each(apart: Apart, rest: Float[np.ndarray, "n dt"]) -> float:
    """Compute the mean of the same form over samples."""
    count = len(apart.correlations)
    one, two = apart.one[:, :count], apart.two[:, :count]
    more, less = _weights(apart)
    products, mean = one * two, -apart.correlations
    inner = ((one**2) @ more * two**2 - (products @ less) * products).sum(axis=1)
    outer = (apart.one**2).sum(axis=1) * (apart.two**2).sum(axis=1)
    centering = (mean * (2 * products - mean) / (1 + mean**2)).sum(axis=1)  # mean a_i b_i = −ρ_i
    return ((outer + inner - centering) * (rest**2).sum(axis=1)).mean()


def _weights(apart: Apart) -> tuple[Float[np.ndarray, "p p"], Float[np.ndarray, "p p"]]:
    """Return what G⁻¹ has beyond the identity: 1/(1 − ρ_i² ρ_j²) − 1 on a_i b_j, ρ_i ρ_j/(1 − ρ_i² ρ_j²) across."""
    product = apart.correlations[:, None] * apart.correlations
    scale = 1 / (1 - product**2)
    return scale - 1, scale * product
