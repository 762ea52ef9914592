"""Noise of ranks: what normal scores of n samples add to the covariance of a Gaussian copula, and its removal.

The normal score of a sample is its latent value plus a smooth random error, since the distribution that gives the rank
is that of n samples. In Hermite polynomials He_k of the latent value x_i, the coefficients of the error of coordinate i
are independent over k, and between coordinates with correlation ρ their covariance is w_k ρ^(k+1) / n. The first two
terms are a shift and a scale, which a raw sample covariance has as well. All others act as noise that is added to every
latent coordinate, with the covariance

    N(ρ) = (1/n) Σ_{k>=3} w_k ρ^(2k−1),

so that sources appear to tell less than they do wherever the target is known nearly as well as ranks are.

The weights are 1/k up to a degree of about log n (the asymptotic covariance of an empirical quantile process, by
Mehler's formula), and fall off faster beyond, where no sample is far enough out. Their sum is known: with the expected
normal order statistics m_i, Σ w_k = n − Σ m_i², which is log log n + 1.215 to within 0.01 for n from 20 to 10,000.

Source: Mehler (1866), J. reine angew. Math. 66, 161; Bobkov & Ledoux (2019), Mem. Am. Math. Soc. 261, no. 1259, for the
rate log log n / n; docs/decisions/0025 has the derivation and what was measured.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import get_lapack_funcs
from scipy.optimize import root_scalar

# Σ w_k − log log n, and what the shift and the scale have of it: 1 + 1/2.
TOTAL, SHIFT_AND_SCALE = 1.215, 1.5
FEWEST_SAMPLES = 10
# w_k = (1 + (k − 2)/K)^(−3/4) / k, which decays like k^(−7/4): E[S] − ρ then vanishes for ρ → 1 as it does in
# simulations (within 10 % of them for n from 100 to 5000 and ρ from 0.3 to 0.99).
DECAY = 0.75
DEGREES = np.arange(3, 1001)
# Knots of a table of N over √(1 − |ρ|), in which N is smooth up to ρ = 1.
KNOTS = 501
# Up to this share of noise in a direction all of it is removed; beyond, what is left falls no faster than it grows.
LARGEST_SHARE = 0.5
# The noise depends on the correlations without it, which are found by so many steps.
STEPS = 3
# Directions of latents with less than this part of the largest variance do not exist.
RANK_CUT = 1e-12
# Degrees whose errors are drawn; those of higher ones have their mean, as most of them are of independent coordinates.
DRAWN_DEGREES = range(3, 12)


@lru_cache(maxsize=64)
def noise_weights(samples: int) -> Float[np.ndarray, "degrees"]:
    """Compute the weights w_k for k = 3, 4, ... of n samples; `DEGREES` has k."""
    total = np.log(np.log(max(samples, FEWEST_SAMPLES))) + TOTAL - SHIFT_AND_SCALE

    def weights(degree: float) -> np.ndarray:
        return (1 + (DEGREES - 2) / degree) ** -DECAY / DEGREES

    log_degree = root_scalar(lambda x: weights(np.exp(x)).sum() - total, bracket=(-10, 10)).root
    return weights(np.exp(log_degree))


def noise_of_ranks(correlation: Float[np.ndarray, "... D D"], samples: int) -> Float[np.ndarray, "... D D"]:
    """Compute the covariance N of the errors of normal scores, for latents with these correlations."""
    values, steps = _table(samples)
    place = np.sqrt(np.maximum(1 - np.abs(correlation), 0)) * (KNOTS - 1)
    knot = place.astype(int)
    return np.copysign(values[knot] + (place - knot) * steps[knot], correlation)


@lru_cache(maxsize=64)
def _table(samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Tabulate N at equal steps of √(1 − |ρ|), and by how much it changes up to the next."""
    powers = (1 - np.linspace(0, 1, KNOTS) ** 2)[:, None] ** (2 * DEGREES - 1)
    values = powers @ noise_weights(samples) / samples
    return values, np.diff(values, append=0.0)


def remove_rank_noise(cov: Float[np.ndarray, "... D D"], samples: int) -> Float[np.ndarray, "... D D"]:
    """Remove the noise of ranks from covariances of normal scores, so that they are what raw samples would show.

    To order 1/n the result has the mean and the scatter of the correlations of raw Gaussian samples, so that all that
    is known of these holds for it. It has the range of `cov` and is positive definite there: where noise is more than
    half of what is seen in a direction, only a part of it is removed. Normal scores keep their variances.
    """
    size = cov.shape[-1]
    correlation = correlation_of(cov.reshape(-1, size, size))
    shown = correlation * (1 + noise_weights(samples).sum() / samples)
    latent, is_little = correlation, np.ones(len(correlation), bool)
    for _ in range(STEPS):
        noise = noise_of_ranks(latent, samples)
        is_little &= _is_definite(LARGEST_SHARE * shown - noise)
        latent = correlation_of(shown - noise)
    if not is_little.all():
        latent[~is_little] = _remove_in_part(correlation[~is_little], shown[~is_little], samples)
    scale = np.sqrt(np.diagonal(cov, axis1=-2, axis2=-1))
    return latent.reshape(cov.shape) * scale[..., :, None] * scale[..., None, :]


def _is_definite(matrices: Float[np.ndarray, "B D D"]) -> Bool[np.ndarray, "B"]:
    """Tell which matrices are positive definite."""
    (factor,) = get_lapack_funcs(("potrf",), dtype=matrices.dtype)
    return np.array([factor(one, lower=True)[1] == 0 for one in matrices], bool)


def _remove_in_part(latent: np.ndarray, shown: np.ndarray, samples: int) -> Float[np.ndarray, "B D D"]:
    """Remove noise direction by direction, never all that is seen in one; starts at some latent correlations."""
    root, inverse = roots_of(shown)
    for _ in range(STEPS):
        shares, axes = np.linalg.eigh(inverse @ noise_of_ranks(latent, samples) @ inverse)
        left = np.where(shares > LARGEST_SHARE, LARGEST_SHARE**2 / np.maximum(shares, LARGEST_SHARE), 1 - shares)
        half = root @ axes
        latent = correlation_of((half * left[..., None, :]) @ np.swapaxes(half, -1, -2))
    return latent


def share_of_noise(cov: Float[np.ndarray, "B D D"], samples: int, dims: tuple[int, int, int]) -> Float[np.ndarray, "B"]:
    """Compute the largest share of noise in what the sources leave open about a direction of the target.

    The covariances are those of normal scores without their noise.
    """
    latent = correlation_of(cov)
    noise = noise_of_ranks(latent, samples)
    shown, size = latent + noise, sum(dims[:-1])
    sources, target = slice(0, size), slice(size, None)
    weights = shown[:, target, sources] @ np.linalg.pinv(shown[:, sources, sources], RANK_CUT, hermitian=True)
    residual = np.concatenate([-weights, np.broadcast_to(np.eye(dims[-1]), (len(cov), dims[-1], dims[-1]))], axis=-1)
    left, of_noise = (residual @ one @ np.swapaxes(residual, -1, -2) for one in (shown, noise))
    inverse = roots_of(left)[1]
    return np.linalg.eigvalsh(inverse @ of_noise @ inverse)[..., -1]


def add_rank_noise(
    correlation: Float[np.ndarray, "D D"], samples: int, draws: int, rng: np.random.Generator
) -> Float[np.ndarray, "draws D D"]:
    """Draw what correlations of latents become by the errors of normal scores of n samples, apart from all sampling."""
    weights, size = noise_weights(samples) / samples, len(correlation)
    drawn = np.repeat(correlation[None], draws, axis=0) + noise_of_ranks(correlation, samples)
    for degree in DRAWN_DEGREES:
        weight, power = weights[degree - DEGREES[0]], correlation**degree
        errors = rng.standard_normal((draws, size)) @ roots_of(power)[0]  # roots that change little with correlations
        added = errors[:, :, None] * errors[:, None, :]
        added -= power
        added *= weight * correlation ** (degree - 1)
        drawn += added
    return correlation_of(drawn)


def roots_of(
    cov: Float[np.ndarray, "... D D"],
) -> tuple[Float[np.ndarray, "... D D"], Float[np.ndarray, "... D D"]]:
    """Compute the symmetric root of covariances, which may be singular, and its pseudo-inverse.

    What has no variance stays exactly without: rounding would leave it a little, and all of that correlated.
    """
    values, vectors = np.linalg.eigh(cov)
    exists = values > RANK_CUT * np.maximum(values[..., -1:], 0)
    length = np.sqrt(np.where(exists, values, 0))
    inverse = np.where(exists, 1 / np.where(exists, length, 1), 0)
    alive = np.diagonal(cov, axis1=-2, axis2=-1) > 0
    both, turned = alive[..., :, None] & alive[..., None, :], np.swapaxes(vectors, -1, -2)
    root, pseudo = ((vectors * one[..., None, :]) @ turned for one in (length, inverse))
    return np.where(both, root, 0), np.where(both, pseudo, 0)


def correlation_of(cov: np.ndarray) -> np.ndarray:
    """Scale covariances to variances of one, exactly symmetric; coordinates without variance stay without."""
    variance = np.diagonal(cov, axis1=-2, axis2=-1)
    scale = np.where(variance > 0, 1 / np.sqrt(np.where(variance > 0, variance, 1)), 0)
    scaled = cov * scale[..., :, None] * scale[..., None, :]
    scaled = (scaled + np.swapaxes(scaled, -1, -2)) / 2
    index = np.arange(cov.shape[-1])
    scaled[..., index, index] = (variance > 0).astype(float)
    return scaled
