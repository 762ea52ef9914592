"""Variance of estimates that the scatter of samples does not show: of learning, of nested classifiers, and of cells."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Variances of what was added for learning, and subtracted for noise, as shares of their squares; variance of a value
# that lies anywhere in an interval, as a share of its squared width.
LEARNING_SHARE, NOISE_SHARE, WIDTH_SHARE = 0.15, 0.3, 1 / 8


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """Sources of uncertainty of B estimates beyond the scatter of their samples.

    Attributes:
        learning: What was added to I_1, I_2 and I_12 (B, 3).
        freedom: Covariances of these three where there is nothing to learn (B, 3, 3), see `shared_freedom`.
        response: Change of the union information with I_1 and I_2 (B, 2).
        width: Width of the interval of the union information (B,).
        noise: What was subtracted from it (B,).
    """

    learning: np.ndarray
    freedom: np.ndarray
    response: np.ndarray
    width: np.ndarray
    noise: np.ndarray

    def variance(self, coefficients: Sequence[float]) -> np.ndarray:
        """Return the variance (B,) of a combination of I_1, I_2, I_12 and the union information."""
        of_cells = WIDTH_SHARE * self.width**2 + NOISE_SHARE * self.noise**2
        return (
            LEARNING_SHARE * self._drift(coefficients) ** 2
            + self._chance(coefficients)
            + coefficients[3] ** 2 * of_cells
        )

    def variance_of_change(self, before: "Unseen", coefficients: Sequence[float]) -> np.ndarray:
        """Return the variance (B,) of the difference between two conditions of the same samples."""
        drift = self._drift(coefficients) - before._drift(coefficients)
        of_cells = WIDTH_SHARE * (self.width - before.width) ** 2 + NOISE_SHARE * (self.noise - before.noise) ** 2
        chance = self._chance(coefficients) + before._chance(coefficients)
        return LEARNING_SHARE * drift**2 + chance + coefficients[3] ** 2 * of_cells

    def _weights(self, coefficients: Sequence[float]) -> np.ndarray:
        """Return the weights of I_1, I_2 and I_12 in a combination (B, 3), the union information resolved into them."""
        weights = np.broadcast_to(np.asarray(coefficients[:3], float), self.learning.shape).copy()
        weights[:, :2] += coefficients[3] * self.response
        return weights

    def _drift(self, coefficients: Sequence[float]) -> np.ndarray:
        return np.einsum("bi,bi->b", self._weights(coefficients), self.learning)

    def _chance(self, coefficients: Sequence[float]) -> np.ndarray:
        weights = self._weights(coefficients)
        return np.einsum("bi,bij,bj->b", weights, self.freedom, weights)


def shared_freedom(classifiers: np.ndarray, dims: np.ndarray, classes: int, samples: int) -> np.ndarray:
    """Return the covariances of I_1, I_2 and I_12 where there is nothing to learn (B, 3, 3), in nats².

    2 n times a gain in mean likelihood then scatters like a χ² variable with as many degrees of freedom as a linear
    classifier has coefficients. The classifier of both contains that of each source, whose chance gain it shares; where
    it uses source_k alone the two are the same.

    Args:
        classifiers: Names of the classifiers of source_1, source_2 and both (B, 3).
        dims: Components of source_1, source_2 and both that classifiers saw (3,).
        classes: Number of classes.
        samples: Number of samples n.
    """
    freedom = np.zeros((len(classifiers), 3, 3))
    own = np.asarray(dims) * (classes - 1)
    freedom[:, range(3), range(3)] = own
    freedom[:, range(2), 2] = own[:2]
    for k in range(2):
        is_alone = classifiers[:, 2] == alone(k)
        freedom[is_alone, 2, 2] = own[k]
        freedom[is_alone, 1 - k, 2] = 0
    freedom[:, 2, :2] = freedom[:, :2, 2]
    return freedom / (2 * samples**2)


def alone(source: int) -> str:
    """Return the name of the classifier of both that uses one source only."""
    return f"source_{source + 1} alone"


def union_response(union: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Return how the union information changes with I_1 and I_2 (B, 2), between 0 and 1.

    They are the slopes of the shares of samples in the union information (B, n) on those in both informations
    (B, 2, n): 1 and 0 where the first source has all of it, 1 and 1 where sources add up.
    """
    centered = np.nan_to_num(sources - sources.mean(axis=2, keepdims=True))  # of problems that were left out
    products = centered @ centered.transpose(0, 2, 1)
    slopes = np.linalg.pinv(products, rcond=1e-9, hermitian=True) @ (centered @ np.nan_to_num(union)[:, :, None])
    return np.clip(slopes[:, :, 0], 0, 1)
