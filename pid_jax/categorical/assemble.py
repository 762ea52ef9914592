"""Estimates, standard errors and intervals from predictions of the answer and from the union information."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from pid_jax.categorical.union import Union
from pid_jax.categorical.unseen import Unseen, union_response
from pid_jax.gaussian.information import Information
from pid_jax.pid.atoms import PIDAtoms, PIDQuantities

# Coefficients of I_1, I_2, I_12 and I_∪ in each quantity.
COMBINED = {
    "redundancy": (1, 1, 0, -1),
    "unique_1": (0, -1, 0, 1),
    "unique_2": (-1, 0, 0, 1),
    "synergy": (0, 0, 1, -1),
    "i_1": (1, 0, 0, 0),
    "i_2": (0, 1, 0, 0),
    "i_12": (0, 0, 1, 0),
}


@dataclass(frozen=True, kw_only=True)
class Pointwise:
    """Informations of every sample about its answer, in nats.

    Attributes:
        each: Of source_1, source_2 and both (B, 3, n): mean of the held-out one and of that on training samples.
        held_out: Informations by the held-out likelihood alone (B, 3).
        learning: What the mean adds to these (B, 3).
    """

    each: np.ndarray
    held_out: np.ndarray
    learning: np.ndarray

    @property
    def information(self) -> np.ndarray:
        """I_1, I_2 and I_12 (B, 3)."""
        return self.each.mean(axis=-1)


def pointwise_information(
    log_probabilities: list[np.ndarray], frequencies: np.ndarray, codes: np.ndarray, fold: np.ndarray
) -> Pointwise:
    """Compare predictions of the answers with the frequencies of the classes, held out and on training samples.

    For a classifier of maximal likelihood, or of a penalty that fits, the two are as far from the best classifier of
    its kind, on either side, to first order in the number of coefficients over that of samples: their mean is free of
    that error.

    Args:
        log_probabilities: Of source_1, source_2 and both, by the classifiers of all folds, (B, F, n, K) each.
        frequencies: Log frequencies of the classes in the training part of every fold (B, F, K).
        codes: Class of each sample (B, n).
        fold: Fold of each sample (B, n).

    Source: Akaike (1974), IEEE Trans. Autom. Control 19, 716, for the two errors.
    """
    folds = frequencies.shape[1]
    rows, columns = np.arange(len(codes))[:, None], np.arange(codes.shape[1])
    base = np.take_along_axis(frequencies, codes[:, None, :], axis=2)  # (B, F, n)
    gains = [
        np.float64(x[rows[:, None], np.arange(folds)[:, None], columns, codes[:, None]]) - base
        for x in log_probabilities
    ]
    held = np.stack([gain[rows, fold, columns] for gain in gains], axis=1)
    trained = np.stack([(gain.sum(axis=1) - gain[rows, fold, columns]) / (folds - 1) for gain in gains], axis=1)
    held_out = held.mean(axis=-1)
    return Pointwise(each=(held + trained) / 2, held_out=held_out, learning=(trained.mean(axis=-1) - held_out) / 2)


def union_estimate(union: Union, information: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the union information and the width of the interval that it is the middle of, (B,) each.

    What noise of the predictions adds is subtracted from the middle.
    """
    low, high = union_limits(union.lower, union.upper, information)
    least, most = _limits_of(information)
    return np.clip((low + high) / 2 - union.noise, least, most), high - low


def union_limits(lower: np.ndarray, upper: np.ndarray, information: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the interval of the union information, (B,) each.

    It is the certified one, cut where the union information is less than that of a source, or more than the sum of both
    or than I_12.
    """
    least, most = _limits_of(information)
    low = np.clip(lower, least, most)
    return low, np.maximum(low, np.minimum(np.minimum(upper, most), information[:, 2]))


def _limits_of(information: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    i_1, i_2 = np.maximum(information[:, 0], 0), np.maximum(information[:, 1], 0)
    return np.maximum(i_1, i_2), i_1 + i_2


def quantities(
    pointwise: Pointwise, union: Union, freedom: np.ndarray
) -> tuple[PIDQuantities, PIDQuantities, PIDQuantities]:
    """Combine informations and the union information into the atoms.

    Args:
        pointwise: Informations of every sample.
        union: Union information.
        freedom: Covariances of the informations where there is nothing to learn (B, 3, 3), see `shared_freedom`.

    Returns:
        Estimates (B,), standard errors (B,), and the share of every sample (B, n), whose mean is the estimate.
    """
    total, width = union_estimate(union, pointwise.information)
    each = np.concatenate([pointwise.each, (union.each + (total - union.each.mean(axis=1))[:, None])[:, None]], axis=1)
    unseen = Unseen(
        learning=pointwise.learning,
        freedom=freedom,
        response=union_response(union.each, pointwise.each[:, :2]),
        width=width,
        noise=union.noise,
    )
    shares = {name: np.tensordot(np.array(weights), each, axes=(0, 1)) for name, weights in COMBINED.items()}
    estimates = {name: share.mean(axis=1) for name, share in shares.items()}
    errors = {name: standard_error(share, unseen.variance(COMBINED[name])) for name, share in shares.items()}
    return PIDQuantities(**estimates), PIDQuantities(**errors), PIDQuantities(**shares)


def standard_error(shares: np.ndarray, extra: np.ndarray) -> np.ndarray:
    """Return the standard error (B,) of the mean of shares (B, n), given a variance that they do not show (B,)."""
    return np.sqrt(shares.var(axis=1, ddof=1) / shares.shape[1] + extra)


def intervals(estimate: PIDQuantities, error: PIDQuantities, level: float) -> tuple[PIDQuantities, PIDQuantities]:
    """Return the ends of normal intervals."""
    z = norm.ppf((1 + level) / 2)
    ends = [{name: getattr(estimate, name) + sign * z * getattr(error, name) for name in COMBINED} for sign in (-1, 1)]
    return PIDQuantities(**ends[0]), PIDQuantities(**ends[1])


def atoms_of(values: PIDQuantities) -> PIDAtoms:
    """Take the atoms out."""
    return PIDAtoms(**{name: getattr(values, name) for name in ("redundancy", "unique_1", "unique_2", "synergy")})


def fields_of(values: tuple[PIDQuantities, PIDQuantities, PIDQuantities], union: Union, level: float) -> dict[str, Any]:
    """Name what estimates by every measure have: `values` of `quantities`, intervals, and the union information."""
    estimate, error, shares = values
    lower, upper = intervals(estimate, error, level)
    return {
        "atoms": atoms_of(estimate),
        "standard_error": error,
        "lower": lower,
        "upper": upper,
        "pointwise": shares,
        "union_lower": union.lower,
        "union_upper": union.upper,
        "cell_loss": union.loss,
        "noise": union.noise,
        "temperature": union.temperature,
    }


def information_of(values: np.ndarray) -> Information:
    """Name three informations (B, 3)."""
    return Information(i_1=values[:, 0], i_2=values[:, 1], i_12=values[:, 2])
