"""How far latents are from jointly Gaussian: each coordinate, each variable, each pair of a source and the target."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float, Int

from pid_jax.flow.marginal import gaussianize_copula
from pid_jax.gaussian.linalg import cholesky, invert_lower

# Upper tail of the Anderson-Darling statistic with estimated mean and variance, log p = 1.2937 - 5.709 A (Stephens
# 1986). Its term 0.0186 A² is left out: it is below 0.1 where decisions are made (A about 2) and turns p round later.
TAIL_LOG_P = 1.2937
TAIL_SLOPE = 5.709
# Smallest log-probability that has a normal quantile in single precision; z-scores of coordinates end at 12.3.
SMALLEST_LOG_P = -80.0
# Rows of a Gram matrix at a time: 256 x 5000 entries are 10 MB.
CHUNK = 256


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


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """What is not Gaussian in the latents of one problem; NaN where a covariance is singular.

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
    """

    coordinate: Deviation
    coordinate_at: Int[Array, "..."] | np.ndarray
    variable_skewness: Deviation
    variable_kurtosis: Deviation
    pair_skewness: Deviation
    pair_kurtosis: Deviation
    pair_norms: Deviation


def diagnose(latents: Float[Array, "n D"], dims: tuple[int, int, int]) -> Diagnostics:
    """Measure what is not Gaussian in the latents of one problem.

    Nothing changes under invertible linear maps of each variable, except for the coordinates.

    Args:
        latents: One row a sample, in the order source_1, source_2, target.
        dims: Coordinates of each variable.

    Returns:
        The deviations. Latents of samples that a map was fitted to look more Gaussian than they are.
    """
    *sources, target = jnp.split(latents, np.cumsum(dims)[:-1], axis=1)
    variables = [whiten_samples(x) for x in (*sources, target)]
    pairs = [whiten_samples(jnp.concatenate([source, target], axis=1)) for source in sources]
    statistics = jax.vmap(anderson_darling, in_axes=1)(latents)
    each = [_farthest(found, len(latents)) for found in jnp.split(statistics, np.cumsum(dims)[:-1])]
    farthest, places = zip(*each, strict=True)
    return Diagnostics(
        coordinate=_stack(farthest),
        coordinate_at=jnp.stack(places),
        variable_skewness=_stack([mardia_skewness(w) for w in variables]),
        variable_kurtosis=_stack([mardia_kurtosis(w) for w in variables]),
        pair_skewness=_stack([mardia_skewness(w) for w in pairs]),
        pair_kurtosis=_stack([mardia_kurtosis(w) for w in pairs]),
        pair_norms=_stack([norm_correlation(w, dim) for w, dim in zip(pairs, dims[:2], strict=True)]),
    )


def anderson_darling(column: Float[Array, "n"]) -> Float[Array, ""]:
    """Compute A² (1 + 3/4n + 9/4n²) of a sample against the normal with its mean and variance.

    A² = −n − (1/n) Σ (2i − 1) (log Φ(y_i) + log Φ(−y_{n+1−i})), y the sorted standardized sample.

    Source: Anderson & Darling (1954), J. Am. Stat. Assoc. 49, 765; Stephens (1986) in D'Agostino & Stephens,
    Goodness-of-Fit Techniques, table 4.9.
    """
    n = column.shape[0]
    y = jnp.sort(column)
    y = (y - y.mean()) / y.std(ddof=1)
    tiny = jnp.finfo(y.dtype).tiny
    below, above = (jnp.log(jnp.maximum(ndtr(side), tiny)) for side in (y, -y))
    weight = (2 * jnp.arange(n, dtype=y.dtype) + 1) / n
    return (-n - (weight * (below + above[::-1])).sum()) * (1 + 0.75 / n + 2.25 / n**2)


def mardia_skewness(white: Float[Array, "n d"]) -> Deviation:
    """Measure the skewness b = (1/n²) Σ_ij (w_i · w_j)³ = Σ_abc (mean w_a w_b w_c)² of whitened samples.

    For Gaussian samples n b/6 is chi-squared with f = d (d + 1) (d + 2)/6 degrees of freedom; z is its cube root,
    standardized, with the exact mean of b. The divergence is b/12, less what b is for Gaussian samples.

    Source: Mardia (1970), Biometrika 57, 519; (1974), Sankhya B 36, 115, for the mean; Wilson & Hilferty (1931) for the
    cube root; McCullagh (1987), Tensor Methods in Statistics, for the divergence.
    """
    n, d = white.shape
    skewness = (_by_moments if d * d < n else _by_products)(white)  # n d³ against n² d operations
    mean = d * (d + 2) * ((n + 1) * (d + 1) - 6) / ((n + 1) * (n + 3))
    spread = 2 / (9 * (d * (d + 1) * (d + 2) / 6))
    z = (jnp.cbrt(skewness / mean) - (1 - spread)) / np.sqrt(spread)
    return Deviation(z=z, nats=jnp.maximum(skewness - mean, 0) / 12)


def mardia_kurtosis(white: Float[Array, "n d"]) -> Deviation:
    """Measure the kurtosis b = mean |w|⁴ of whitened samples.

    Standardized with its exact mean and variance, then by the transformation of Anscombe and Glynn for d = 1 with the
    asymptotic skewness for d of the statistic, (d + 8) √(8 / (d (d + 2) n)). The divergence is the smallest that goes
    with a trace of the fourth cumulants, (b − E b)² / (16 d (d + 2)).

    Source: Mardia (1974), Sankhya B 36, 115; Mardia & Kanazawa (1983), Commun. Stat. B 12, 569.
    """
    n, d = white.shape
    mean = d * (d + 2) * (n - 1) / (n + 1)
    variance = 8 * d * (d + 2) * (n - 3) * (n - d - 1) * (n - d + 1) / ((n + 1) ** 2 * (n + 3) * (n + 5))
    scaled = (((white**2).sum(axis=1) ** 2).mean() - mean) / np.sqrt(variance)
    skew = (d + 8) * np.sqrt(8 / (d * (d + 2) * n))
    freedom = 6 + 8 / skew * (2 / skew + np.sqrt(1 + 4 / skew**2))
    # The transformation has a pole for tails lighter than any that Gaussian samples show.
    base = jnp.maximum(1 + scaled * np.sqrt(2 / (freedom - 4)), 1e-3)
    z = (1 - 2 / (9 * freedom) - jnp.cbrt((1 - 2 / freedom) / base)) / np.sqrt(2 / (9 * freedom))
    return Deviation(z=z, nats=jnp.maximum(scaled**2 - 1, 0) / (2 * n))


def norm_correlation(white: Float[Array, "n d"], dim: int) -> Deviation:
    """Correlate the sizes of the first `dim` whitened coordinates and of the others, by normal scores.

    Cholesky whitening makes the second part what the first does not predict. So both are independent for Gaussian
    samples, however strongly the variables depend on each other; whitened one by one their sizes would correlate. A
    multivariate t, or any scale that is common to both, makes them grow together, also after maps of each variable that
    give each a Gaussian size. z = (r − r_0) √(n − 1), and the divergence is the information −½ log(1 − r²) between the
    sizes. Rows that were whitened by their own covariance are pieces of unit vectors in m = n − 1 dims, so the squared
    norms of d and e coordinates have the Dirichlet correlation r_0 = −√(d e / ((m − d) (m − e))).

    Args:
        white: Samples whitened by the Cholesky factor of their covariance.
        dim: Coordinates of the source.
    """
    n, other = white.shape[0], white.shape[1] - dim
    by_chance = -np.sqrt(dim * other / ((n - 1 - dim) * (n - 1 - other)))
    sizes = jnp.stack([(part**2).sum(axis=1) for part in (white[:, :dim], white[:, dim:])], axis=1)
    scores = gaussianize_copula(sizes)
    r = (scores[:, 0] * scores[:, 1]).sum() / jnp.sqrt((scores**2).sum(axis=0).prod())
    r = lax.select(jnp.isfinite(white).all(), r - by_chance, jnp.full_like(r, jnp.nan))  # NaN has ranks too
    return Deviation(z=r * np.sqrt(n - 1), nats=-0.5 * jnp.log1p(-jnp.minimum(r**2, 1 - jnp.finfo(r.dtype).eps)))


def _farthest(statistics: Float[Array, "d"], n: int) -> tuple[Deviation, Int[Array, ""]]:
    """Choose the coordinate that is farthest from normal, and correct its probability for the choice (Bonferroni).

    With the density u ↦ 1 + Σ c_k p_k(u) of the uniform scores in Legendre polynomials, the divergence is ½ Σ c_k² and
    A²/n = Σ c_k² / (k (k + 1)). Mean and variance are fitted, so what is left starts at about k = 3, and the divergence
    is at least about 6 A²/n; the slope of the tail is the same number more exactly.
    """
    at = statistics.argmax()
    log_p = jnp.clip(
        TAIL_LOG_P - TAIL_SLOPE * statistics[at] + np.log(statistics.shape[0]), SMALLEST_LOG_P, np.log(0.5)
    )
    return Deviation(z=-ndtri(jnp.exp(log_p)), nats=TAIL_SLOPE * statistics[at] / n), at


def whiten_samples(samples: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Whiten with the covariance of 1/n; later coordinates become what earlier ones do not predict."""
    centered = samples - samples.mean(axis=0)
    return centered @ invert_lower(cholesky(centered.T @ centered / samples.shape[0])).T


def _by_moments(white: Float[Array, "n d"]) -> Float[Array, ""]:
    n, d = white.shape

    def slice_square(total: Array, a: Array) -> tuple[Array, None]:
        column = lax.dynamic_index_in_dim(white, a, axis=1)
        return total + (((white * column).T @ white / n) ** 2).sum(), None

    return lax.scan(slice_square, jnp.zeros((), white.dtype), jnp.arange(d))[0]


def _by_products(white: Float[Array, "n d"]) -> Float[Array, ""]:
    n, d = white.shape
    chunks = jnp.pad(white, ((0, -n % CHUNK), (0, 0))).reshape(-1, CHUNK, d)

    def chunk_sum(total: Array, rows: Array) -> tuple[Array, None]:
        return total + ((rows @ white.T) ** 3).sum(), None

    return lax.scan(chunk_sum, jnp.zeros((), white.dtype), chunks)[0] / n**2


def _stack(deviations: Sequence[Deviation]) -> Deviation:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *deviations)
