"""Whether chains agree, and how many independent draws theirs are worth."""

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri
from scipy.stats import rankdata


def potential_scale_reduction(chains: Float[np.ndarray, "chains draws ..."]) -> Float[np.ndarray, "..."]:
    """Compute R̂ of normalized ranks of split chains, the larger of that of values and of distances to the median.

    Args:
        chains: Draws of each chain, at least four.

    Returns:
        R̂, close to 1 if the chains agree, infinite if none of them moves; NaN where a draw is, or where all are the
        same.

    Source: A. Vehtari, A. Gelman, D. Simpson, B. Carpenter, P.-C. Bürkner (2021), Bayesian Anal. 16, 667.
    """
    folded = np.abs(chains - np.median(chains, axis=(0, 1)))
    return np.maximum(_of_halves(_normalized_ranks(chains)), _of_halves(_normalized_ranks(folded)))


def effective_draws(chains: Float[np.ndarray, "chains draws ..."]) -> Float[np.ndarray, "..."]:
    """Compute how many independent draws tell as much about the middle of the distribution: the bulk ESS.

    It can be more than there are draws, where chains go back and forth.

    Args:
        chains: Draws of each chain, at least four.

    Returns:
        The number; NaN where a draw is, or where all are the same.

    Source: as `potential_scale_reduction`.
    """
    from numpyro.diagnostics import effective_sample_size  # its import takes half a second

    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(effective_sample_size(_halves(_normalized_ranks(chains))))


def _halves(chains: np.ndarray) -> np.ndarray:
    half = chains.shape[1] // 2
    return np.concatenate([chains[:, :half], chains[:, -half:]])


def _normalized_ranks(chains: np.ndarray) -> np.ndarray:
    """Replace draws by normal quantiles of their ranks among all of them; NaN where one is."""
    count = chains.shape[0] * chains.shape[1]
    ranks = rankdata(chains.reshape(count, -1), axis=0, nan_policy="propagate")
    return ndtri((ranks - 0.375) / (count + 0.25)).reshape(chains.shape)


def _of_halves(chains: np.ndarray) -> np.ndarray:
    halves = _halves(chains)
    within, between = halves.var(axis=1, ddof=1).mean(axis=0), halves.mean(axis=1).var(axis=0, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(1 - 1 / halves.shape[1] + between / within)
