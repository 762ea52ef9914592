"""Posteriors of unknown quality as the most likely ones that a temperature and one offset per class make of them."""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, logsumexp

# Probabilities that a given posterior has at least, so that none excludes an answer.
_FLOOR = 1e-30
# Weight of the class frequencies in what is returned, so that every log probability is finite.
_BLEND = 1e-9
# Slope in nats below which a posterior is taken to know nothing.
_NOTHING = 1e-9
# Inverse of the lowest temperature: posteriors that tell all answers apart have no best one.
_COLDEST = 100.0
_STEPS, _HALVINGS, _LARGEST_CHANGE, _TOLERANCE = 200, 30, 5.0, 1e-10


@dataclass(frozen=True, kw_only=True)
class Recalibrated:
    """Posteriors that claim as much as they are worth.

    Attributes:
        posteriors: Class probabilities of each sample (n, K), whose mean is the frequency of each class.
        temperature: Above 1 where the given posteriors claimed too much; infinite where they know nothing.
        logs: Logarithms of the given posteriors (n, K).
    """

    posteriors: np.ndarray
    temperature: float
    logs: np.ndarray


def recalibrate(posteriors: np.ndarray, answers: np.ndarray) -> Recalibrated:
    """Return posteriors q(y | x) ∝ exp(b_y) s(y | x)^(1 / T), with the T and b of the largest likelihood.

    The likelihood is the mean over samples of Σ_y a(y) log q(y | x), where a is the distribution of the sample's
    answer, and concave in 1 / T ≥ 0 and b. Where it is largest, the mean of q is that of a, and q claims as much
    information, H(a) − mean H(q), as it has by the likelihood. With T → ∞ and b the log frequencies of classes the
    information is 0, so that it is never negative. Posteriors that know nothing gain 1 / 2n nats on average.

    Args:
        posteriors: s (n, K), rows of which sum to 1.
        answers: a (n, K), rows of which sum to 1; every class has some probability.

    Source: Alexandari, Kundaje & Shrikumar (2020), ICML, for temperature and offsets; Darroch & Ratcliff (1972), Ann.
    Math. Statist. 43(5), 1470, for the steps of the offsets.
    """
    frequencies = answers.mean(axis=0)
    logs = np.log(np.maximum(posteriors, _FLOOR))
    offsets = np.log(frequencies)
    if np.sum((answers - frequencies) * logs, axis=1).mean() <= _NOTHING:  # the slope in 1 / T at 0
        return Recalibrated(posteriors=np.tile(frequencies, (len(answers), 1)), temperature=np.inf, logs=logs)
    inverse = 0.0
    for _ in range(_STEPS):
        inverse, offsets, size = _step(logs, answers, inverse, offsets)
        if size < _TOLERANCE:
            break
    found = np.exp(log_softmax(inverse * logs + offsets, axis=1))
    blended = (1 - _BLEND) * found + _BLEND * frequencies
    return Recalibrated(posteriors=blended, temperature=float(1 / inverse) if inverse else np.inf, logs=logs)


def influence(values: np.ndarray, found: Recalibrated, answers: np.ndarray) -> np.ndarray:
    """Return the influence of each sample on the mean of Σ_y q(y | x) v(x, y), as T and offsets follow its answer.

    That is Σ_y q v + Σ_y (a − q) v', where v' = c_y + d log s is the closest to v under q: answers matter as far as
    they move the offsets and the temperature. Its mean is that of Σ_y q v.

    Args:
        values: v (n, K).
        found: The recalibrated posteriors q.
        answers: a (n, K) that these were fitted to.

    Returns:
        Influences (n,), to which the mean is added.
    """
    q = found.posteriors
    logs = found.logs if np.isfinite(found.temperature) else np.zeros_like(found.logs)
    curvature, scale = _curvature(q, logs, answers.mean(axis=0))
    off = values - np.sum(q * values, axis=1, keepdims=True)
    slope = np.append(np.mean(q * off, axis=0), np.sum(q * off * logs, axis=1).mean())
    weights = np.linalg.lstsq(curvature, slope / scale, rcond=1e-10)[0] / scale
    return np.sum(q * values + (answers - q) * (weights[:-1] + weights[-1] * logs), axis=1)


def _likelihood(logs: np.ndarray, answers: np.ndarray, inverse: float, offsets: np.ndarray) -> float:
    return float(np.sum(answers * log_softmax(inverse * logs + offsets, axis=1), axis=1).mean())


def _step(
    logs: np.ndarray, answers: np.ndarray, inverse: float, offsets: np.ndarray
) -> tuple[float, np.ndarray, float]:
    """Take a Newton step in 1 / T and the offsets, then scale each class; return both and the size of the gradient."""
    frequencies = answers.mean(axis=0)
    offsets = _scaled(logs, inverse, offsets, frequencies)
    before = _likelihood(logs, answers, inverse, offsets)
    found = np.exp(log_softmax(inverse * logs + offsets, axis=1))
    gradient = np.append(frequencies - found.mean(axis=0), np.sum((answers - found) * logs, axis=1).mean())
    curvature, scale = _curvature(found, logs, frequencies)
    change = np.linalg.lstsq(curvature, gradient / scale, rcond=1e-14)[0] / scale
    change *= min(1.0, _LARGEST_CHANGE / np.abs(change).max()) if change.any() else 1.0
    size = float(np.abs(gradient[:-1]).max() + np.abs(gradient[-1]))
    for _ in range(_HALVINGS):
        trial = float(np.clip(inverse + change[-1], 0, _COLDEST)), offsets + change[:-1]
        if _likelihood(logs, answers, *trial) >= before:
            return *trial, size
        change /= 2
    return inverse, offsets, 0.0  # as good as numbers of this precision can be


def _curvature(found: np.ndarray, logs: np.ndarray, frequencies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return minus the second derivatives of the likelihood in offsets and 1 / T, and the units of these.

    In units of the root of its frequency the curvature of a class is about 1. As all offsets may change alike, the
    direction in which they do has the curvature 1.
    """
    scale = np.append(np.sqrt(frequencies), 1.0)
    centered = logs - np.sum(found * logs, axis=1, keepdims=True)
    curvature = np.zeros((len(scale), len(scale)))
    curvature[:-1, :-1] = np.diag(found.mean(axis=0)) - found.T @ found / len(found)
    curvature[:-1, -1] = curvature[-1, :-1] = np.mean(found * centered, axis=0)
    curvature[-1, -1] = np.sum(found * centered**2, axis=1).mean()
    curvature = curvature / np.outer(scale, scale)
    curvature[:-1, :-1] += np.outer(scale[:-1], scale[:-1])
    return curvature, scale


def _scaled(logs: np.ndarray, inverse: float, offsets: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Change the offsets by log frequency over log mean probability, which never lowers the likelihood."""
    mean = logsumexp(log_softmax(inverse * logs + offsets, axis=1), axis=0) - np.log(len(logs))
    return offsets + np.log(frequencies) - mean
