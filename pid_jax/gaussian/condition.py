"""Variables that are so nearly singular that rounding moves atoms: how much, and a note of it."""

from collections.abc import Sequence

import numpy as np

from pid_jax.gaussian.joint import block_slices

# Rounding of atoms in nats for each unit of the largest condition number of a variable; measured, 4e-8 at 1e8 and 5e-4
# at 1e12.
ROUNDING = 2 * float(np.finfo(float).eps)
# Rounding from which on there is a note.
LARGEST_ROUNDING = 1e-6
# Variances that others leave of a coordinate, below which eigenvalues are looked at: they are no smaller than the
# smallest eigenvalue, and mostly no more than some hundred times as large.
SMALLEST_PIVOT = 1e-6


def condition_numbers(cov: np.ndarray, dims: Sequence[int], rank_cut: float) -> np.ndarray:
    """Compute the condition (B, variables) of correlation matrices on their range, where it is bad; 1 elsewhere.

    Directions with less than the fraction `rank_cut` of a variable's largest variance are dropped.
    """
    found = np.ones((len(cov), len(dims)))
    is_finite = np.asarray(np.isfinite(cov).all(axis=(-2, -1)))
    cov = np.where(is_finite[:, None, None], cov, np.eye(cov.shape[-1]))
    for place, at in enumerate(block_slices(tuple(dims))):
        block = cov[:, at, at]
        variance = np.diagonal(block, axis1=-2, axis2=-1)
        scale = np.where(variance > 0, 1 / np.sqrt(np.where(variance > 0, variance, 1)), 0)
        corr = block * scale[:, :, None] * scale[:, None, :]
        filled = corr + np.eye(corr.shape[-1]) * (variance <= 0)[:, None, :]
        rows = np.flatnonzero(_may_be_bad(filled))
        if rows.size:
            values = np.linalg.eigvalsh(corr[rows])
            cut = max(rank_cut, corr.shape[-1] * np.finfo(float).eps) * values[:, -1:]
            smallest = np.where(values > cut, values, np.inf).min(axis=-1)
            found[rows, place] = values[:, -1] / smallest
    return np.maximum(found, 1)


def note_conditions(
    cov: np.ndarray, dims: Sequence[int], rank_cut: float, labels: Sequence[str], problem: str = "problem"
) -> tuple[str, ...]:
    """Return notes on variables whose condition lets rounding move atoms by more than 1e-6 nats."""
    condition = condition_numbers(cov.reshape(-1, *cov.shape[-2:]), dims, rank_cut)
    notes = []
    for label, numbers in zip(labels, condition.T, strict=True):
        bad = int((numbers * ROUNDING > LARGEST_ROUNDING).sum())
        if bad:
            where = f" in {bad} of {len(numbers)} {problem}s" if len(numbers) > 1 else ""
            notes.append(
                f"{label} has columns that nearly repeat others{where} (condition up to {numbers.max():.0e}): rounding "
                f"may move atoms by {numbers.max() * ROUNDING:.0e} nats; remove such columns, or reduce to fewer"
            )
    return tuple(notes)


def _may_be_bad(corr: np.ndarray) -> np.ndarray:
    """Find matrices with a small Cholesky pivot; all, if one has no Cholesky factor."""
    try:
        pivots = np.diagonal(np.linalg.cholesky(corr), axis1=-2, axis2=-1) ** 2
    except np.linalg.LinAlgError:
        return np.ones(len(corr), bool)
    return ~(pivots.min(axis=-1) > SMALLEST_PIVOT)
