"""P-values of many problems at once: how many are expected to be small by chance, and which are small all the same."""

import numpy as np

# Values that differ by less than this part of the amounts that they were computed from are the same.
ROUNDING = 1e-9


def false_discovery_rate(p_value: np.ndarray) -> np.ndarray:
    """Adjust p-values so that rejecting those up to q makes at most a share q of false rejections on average.

    Args:
        p_value: One a problem, with NaN where there is none.

    Returns:
        Adjusted p-values, NaN in the same places.

    Source: Benjamini & Hochberg (1995), J. R. Stat. Soc. B 57, 289. It holds for p-values that are independent or
    positively dependent, as those of neighboring layers are (Benjamini & Yekutieli 2001, Ann. Stat. 29, 1165).
    """
    adjusted, known = np.full(np.shape(p_value), np.nan), np.flatnonzero(~np.isnan(p_value))
    order = known[np.argsort(p_value[known])]
    scaled = p_value[order] * len(order) / np.arange(1, len(order) + 1)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return adjusted


def family_wise_by_maximum(statistic: np.ndarray, replicates: np.ndarray) -> np.ndarray:
    """Adjust p-values so that rejecting those up to α makes any false rejection with probability α at most.

    Every problem is compared with the largest replicate among those problems that are not clearer than it. Replicates
    of all problems have to be drawn together, so that they depend on each other as the statistics do.

    Args:
        statistic: One a problem in comparable units, large where the null does not hold; NaN where there is none.
        replicates: The same under the null (resamples, problems).

    Returns:
        Adjusted p-values, NaN in the same places.

    Source: step-down maxT, Westfall & Young (1993), Resampling-Based Multiple Testing, alg. 4.1.
    """
    adjusted = np.full(np.shape(statistic), np.nan)
    known = np.flatnonzero(~np.isnan(statistic) & ~np.isnan(replicates).any(axis=0))
    order = known[np.argsort(-statistic[known], kind="stable")]
    if order.size:
        largest = np.maximum.accumulate(replicates[:, order[::-1]], axis=1)[:, ::-1]
        adjusted[order] = np.maximum.accumulate(exceedance(statistic[order], largest))
    return adjusted


def family_wise_by_rows(statistic: np.ndarray, replicates: np.ndarray) -> np.ndarray:
    """Adjust p-values as `family_wise_by_maximum` does, along the last axis and for every row alone.

    Args:
        statistic: (..., problems).
        replicates: The same under the null (..., problems, resamples).
    """
    adjusted = np.full(np.shape(statistic), np.nan)
    for row in np.ndindex(adjusted.shape[:-1]):
        adjusted[row] = family_wise_by_maximum(statistic[row], replicates[row].T)
    return adjusted


def settle(statistic: np.ndarray, replicates: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Set replicates that differ from the statistic by rounding alone equal to it, so that they tie.

    An atom is a difference of informations, and has their rounding however small it is itself.

    Args:
        statistic: Statistics (problems).
        replicates: Under the null (resamples, problems).
        scale: Size of the amounts that both were computed from (problems).
    """
    with np.errstate(invalid="ignore"):  # infinite ones
        is_close = np.abs(replicates - statistic) <= ROUNDING * scale
    return np.where(is_close, statistic, replicates)


def standardize(statistic: np.ndarray, replicates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measure statistics and replicates of every problem in units of their common spread around their common mean.

    The statistic has the same part in both as every replicate has, so that under the null it still looks like one.
    Infinite ones stay so and take no part.
    """
    pool = np.concatenate([statistic[None], replicates])
    is_infinite = np.isinf(pool)
    count = np.maximum((~is_infinite).sum(axis=0), 1)
    finite = np.where(is_infinite, 0, pool)
    mean = finite.sum(axis=0) / count
    centered = np.where(is_infinite, 0, finite - mean)
    spread = np.sqrt((centered**2).sum(axis=0) / count)
    moves = ~(spread <= ROUNDING * np.abs(finite).max(axis=0))
    standard = np.where(is_infinite, pool, np.where(moves, centered / np.where(moves, spread, 1), 0))
    return standard[0], standard[1:]


def exceedance(statistic: np.ndarray, replicates: np.ndarray) -> np.ndarray:
    """Compute the p-value (1 + number of replicates as large) / (1 + number of replicates), up to rounding.

    Args:
        statistic: Statistics (...); NaN gives NaN, infinity exceeds what is finite.
        replicates: Under the null (resamples, ...).

    Source: Phipson & Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9, 39.
    """
    finite = np.where(np.isinf(replicates), 0, np.abs(replicates)).max(axis=0)
    close = ROUNDING * np.where(np.isinf(statistic), 0, np.maximum(np.abs(statistic), finite))
    p_value = (1 + (replicates >= statistic - close).sum(axis=0)) / (1 + len(replicates))
    return np.where(np.isnan(statistic) | np.isnan(replicates).any(axis=0), np.nan, p_value)
