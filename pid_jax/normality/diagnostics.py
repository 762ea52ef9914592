"""How far latents are from jointly Gaussian: coordinates, variables, pairs of a source and the target, all three."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.special import erfc, ndtri
from scipy.stats import rankdata

from pid_jax.normality.deviation import Deviation, chi_squared_score
from pid_jax.normality.triple import triple_moments
from pid_jax.normality.white import White, whiten_residual, whiten_samples

# Upper tail of the Anderson-Darling statistic with estimated mean and variance, log p = 1.2937 - 5.709 A (Stephens
# 1986). Its term 0.0186 A² is left out: it is below 0.1 where decisions are made (A about 2) and turns p round later.
TAIL_LOG_P = 1.2937
TAIL_SLOPE = 5.709
# Smallest log-probability that has a normal quantile in single precision; z-scores of coordinates end at 12.3.
SMALLEST_LOG_P = -80.0
# Rows of a Gram matrix at a time, and samples of third moments: few enough for the cache of a core.
CHUNK, ROWS = 256, 2048


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """What is not Gaussian in the latents of one problem, on the range of their covariance.

    NaN where there are no more samples than dimensions. What has no variance is no deviation.

    Attributes:
        coordinate: Of each variable (source_1, source_2, target) the coordinate that is farthest from normal, z >= 0
            corrected for the choice.
        coordinate_at: Which coordinate that is, from zero.
        variable_skewness: Multivariate skewness of each variable by itself; only z > 0 is a deviation.
        variable_kurtosis: Multivariate kurtosis of each variable by itself; z > 0 for heavy tails.
        pair_skewness: The same of the pairs (source_1, target) and (source_2, target).
        pair_kurtosis: The same of the pairs.
        pair_norms: Correlation of the sizes of a source and of what it does not predict of the target; z > 0 if large
            values go together.
        triple: Third cross-moments of all three, which no pair has; only z > 0 is a deviation.
    """

    coordinate: Deviation
    coordinate_at: Int[Array, "..."] | np.ndarray
    variable_skewness: Deviation
    variable_kurtosis: Deviation
    pair_skewness: Deviation
    pair_kurtosis: Deviation
    pair_norms: Deviation
    triple: Deviation


def diagnose(latents: Float[np.ndarray, "n D"], dims: tuple[int, int, int]) -> Diagnostics:
    """Measure what is not Gaussian in the latents of one problem.

    Nothing changes under invertible linear maps of each variable, except for the coordinates.

    Args:
        latents: One row a sample, in the order source_1, source_2, target.
        dims: Coordinates of each variable.

    Returns:
        The deviations. Latents of samples that a map was fitted to look more Gaussian than they are.
    """
    with np.errstate(all="ignore"):  # NaN says what there is to say
        return _diagnose(np.split(latents, np.cumsum(dims)[:-1], axis=1))


def _diagnose(latents: Sequence[Float[np.ndarray, "n d"]]) -> Diagnostics:
    n, variables = len(latents[0]), [whiten_samples(x) for x in latents]
    *sources, target = variables
    rests = [whiten_residual(target, source) for source in sources]
    pairs = [_side_by_side(source, rest) for source, rest in zip(sources, rests, strict=True)]
    each = [_farthest(anderson_darling(x), n) for x in latents]
    farthest, places = zip(*each, strict=True)
    return Diagnostics(
        coordinate=_stack(farthest),
        coordinate_at=np.stack(places),
        variable_skewness=_stack([mardia_skewness(one) for one in variables]),
        variable_kurtosis=_stack([mardia_kurtosis(one) for one in variables]),
        pair_skewness=_stack([mardia_skewness(one) for one in pairs]),
        pair_kurtosis=_stack([mardia_kurtosis(one) for one in pairs]),
        pair_norms=_stack([norm_correlation(source, rest) for source, rest in zip(sources, rests, strict=True)]),
        triple=triple_moments(*variables),
    )


def anderson_darling(samples: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "d"]:
    """Compute A² (1 + 3/4n + 9/4n²) of columns against the normal with their mean and variance; zero for a constant.

    Columns of the same values in another order, as those of ranks without ties, are computed once.

    A² = −n − (1/n) Σ (2i − 1) (log Φ(y_i) + log Φ(−y_{n+1−i})), y the sorted standardized sample.

    Source: Anderson & Darling (1954), J. Am. Stat. Assoc. 49, 765; Stephens (1986) in D'Agostino & Stephens,
    Goodness-of-Fit Techniques, table 4.9.
    """
    ordered = np.sort(samples.T, axis=1)
    is_same = (ordered == ordered[0]).all(axis=1)
    statistics = np.empty(len(ordered))
    statistics[is_same] = _of_sorted(ordered[0])
    for place in np.flatnonzero(~is_same):
        statistics[place] = _of_sorted(ordered[place])
    return statistics


def _of_sorted(values: Float[np.ndarray, "n"]) -> float:
    n, is_constant = len(values), values[0] == values[-1]
    y = (values - values.mean()) / (1 if is_constant else values.std(ddof=1))
    tiny = np.finfo(y.dtype).tiny
    below, above = (np.log(np.maximum(erfc(side / np.sqrt(2)) / 2, tiny)) for side in (-y, y))
    weight = (2 * np.arange(n, dtype=y.dtype) + 1) / n
    statistic = (-n - (weight * (below + above[::-1])).sum()) * (1 + 0.75 / n + 2.25 / n**2)
    return 0.0 if is_constant else float(statistic)


def mardia_skewness(white: White) -> Deviation:
    """Measure the skewness b = (1/n²) Σ_ij (w_i · w_j)³ = Σ_abc (mean w_a w_b w_c)² of whitened samples.

    For Gaussian samples n b/6 is chi-squared with f = d (d + 1) (d + 2)/6 degrees of freedom; z is its cube root,
    standardized, with the exact mean of b. The divergence is b/12, less what b is for Gaussian samples.

    Source: Mardia (1970), Biometrika 57, 519; (1974), Sankhya B 36, 115, for the mean; Wilson & Hilferty (1931) for the
    cube root; McCullagh (1987), Tensor Methods in Statistics, for the divergence.
    """
    n, width = white.values.shape
    skewness = (_by_moments if width**2 < 2 * n else _by_products)(white.values)  # n d³/2 against n² d operations
    d = np.maximum(white.rank, 1)
    mean = d * (d + 2) * (d + 1 - 6 / (n + 1)) / (n + 3)
    z = chi_squared_score(skewness / mean, d * (d + 1) * (d + 2) / 6)
    return _on_range(white.rank, z, np.maximum(skewness - mean, 0) / 12)


def mardia_kurtosis(white: White) -> Deviation:
    """Measure the kurtosis b = mean |w|⁴ of whitened samples.

    Standardized with its exact mean and variance, then by the transformation of Anscombe and Glynn for d = 1 with the
    asymptotic skewness for d of the statistic, (d + 8) √(8 / (d (d + 2) n)). The divergence is the smallest that goes
    with a trace of the fourth cumulants, (b − E b)² / (16 d (d + 2)).

    Source: Mardia (1974), Sankhya B 36, 115; Mardia & Kanazawa (1983), Commun. Stat. B 12, 569.
    """
    n, d = float(white.values.shape[0]), np.maximum(white.rank, 1)
    mean = d * (d + 2) * (n - 1) / (n + 1)
    variance = 8 * d * (d + 2) * (n - 3) * (n - d - 1) * (n - d + 1) / ((n + 1) ** 2 * (n + 3) * (n + 5))
    error = np.sqrt(np.where(variance > 0, variance, np.nan))  # there may be as many dims as samples have
    scaled = (((white.values**2).sum(axis=1) ** 2).mean() - mean) / error
    skew = (d + 8) * np.sqrt(8 / (d * (d + 2) * n))
    freedom = 6 + 8 / skew * (2 / skew + np.sqrt(1 + 4 / skew**2))
    # The transformation has a pole for tails lighter than any that Gaussian samples show.
    base = np.maximum(1 + scaled * np.sqrt(2 / (freedom - 4)), 1e-3)
    z = (1 - 2 / (9 * freedom) - np.cbrt((1 - 2 / freedom) / base)) / np.sqrt(2 / (9 * freedom))
    return _on_range(white.rank, z, np.maximum(scaled**2 - 1, 0) / (2 * n))


def norm_correlation(source: White, rest: White) -> Deviation:
    """Correlate the sizes of a source and of what it does not predict of the target, both white, by normal scores.

    Both are independent for Gaussian samples, however strongly the variables depend on each other; the sizes of the
    variables themselves would correlate. A multivariate t, or any scale that is common to both, makes them grow
    together, also after maps of each variable that give each a Gaussian size. z = (r − r_0) √(n − 1), and the
    divergence is the information −½ log(1 − r²) between the sizes. Rows that were whitened by their own covariance are
    pieces of unit vectors in m = n − 1 dims, so the squared norms of d and e coordinates have the Dirichlet correlation
    r_0 = −√(d e / ((m − d) (m − e))).

    Args:
        source: White samples of the source.
        rest: What it does not predict of the target.
    """
    parts, n = (source.values, rest.values), source.values.shape[0]
    free = n - 1 - np.stack([source.rank, rest.rank])
    by_chance = -np.sqrt(source.rank * rest.rank / free.prod())
    sizes = np.stack([(part**2).sum(axis=1) for part in parts], axis=1)
    scores = ndtri((rankdata(sizes, axis=0) - 0.5) / n)
    length = np.sqrt((scores**2).sum(axis=0).prod())  # zero for what has one size, such as signs
    r = (scores[:, 0] * scores[:, 1]).sum() / np.where(length > 0, length, 1)
    is_known = np.isfinite(sizes).all() & (free > 0).all()  # NaN has ranks too
    r = np.where(is_known, np.where(length > 0, r - by_chance, 0), np.nan)
    nats = -0.5 * np.log1p(-np.minimum(r**2, 1 - np.finfo(float).eps))
    return _on_range(min(source.rank, rest.rank), float(r * np.sqrt(n - 1)), float(nats))


def _farthest(statistics: Float[np.ndarray, "d"], n: int) -> tuple[Deviation, int]:
    """Choose the coordinate that is farthest from normal, and correct its probability for the choice (Bonferroni).

    With the density u ↦ 1 + Σ c_k p_k(u) of the uniform scores in Legendre polynomials, the divergence is ½ Σ c_k² and
    A²/n = Σ c_k² / (k (k + 1)). Mean and variance are fitted, so what is left starts at about k = 3, and the divergence
    is at least about 6 A²/n; the slope of the tail is the same number more exactly.
    """
    at = int(statistics.argmax())
    log_p = np.clip(TAIL_LOG_P - TAIL_SLOPE * statistics[at] + np.log(statistics.shape[0]), SMALLEST_LOG_P, np.log(0.5))
    return Deviation(z=-ndtri(np.exp(log_p)), nats=TAIL_SLOPE * statistics[at] / n), at


def _side_by_side(one: White, other: White) -> White:
    return White(values=np.concatenate([one.values, other.values], axis=1), rank=one.rank + other.rank)


def _on_range(rank: float, z: float, nats: float) -> Deviation:
    """Return no deviation where there is nothing that varies."""
    return Deviation(z=np.where(rank > 0, z, 0), nats=np.where(rank > 0, nats, 0))


def _by_moments(white: Float[np.ndarray, "n d"]) -> float:
    """Sum the squares of all third moments, of which each is computed where its smallest coordinate comes first."""
    n, d = white.shape
    moments = [np.zeros((d - first, d - first)) for first in range(d)]
    for start in range(0, n, ROWS):
        rows = np.ascontiguousarray(white[start : start + ROWS].T)
        for first, sums in enumerate(moments):
            own = rows[first:]
            sums += (own[0] * own) @ own.T
    # The smallest coordinate stands in one of three places, in two of three, or in all.
    squares = [((sums / n) ** 2) for sums in moments]
    return float(sum(3 * one[1:, 1:].sum() + 3 * one[0, 1:].sum() + one[0, 0] for one in squares))


def _by_products(white: Float[np.ndarray, "n d"]) -> float:
    n = len(white)
    return sum(float(((white[start : start + CHUNK] @ white.T) ** 3).sum()) for start in range(0, n, CHUNK)) / n**2


def _stack(deviations: Sequence[Deviation]) -> Deviation:
    return jax.tree.map(lambda *leaves: np.asarray(leaves, np.float64), *deviations)
