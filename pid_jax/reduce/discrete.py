"""Variables with few distinct values: how many, and their entropy."""

from dataclasses import dataclass

import jax
import numpy as np

from pid_jax.checks import DISTINCT_VALUES, is_discrete

# A few values count as few, whatever the samples, if each has four on average.
FEW_VALUES, FEWEST_EACH = 10, 4
# Rows that are searched for repeated values first: of a column that is discrete some agree.
ROWS = 100


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class DiscreteValues:
    """How far one variable is discrete, for each problem, or for all if it is the same in all.

    Attributes:
        distinct: Number of distinct rows where these are few, otherwise zero.
        entropy: Entropy of their frequencies in nats, infinite where rows are not few: no information about the
            variable exceeds it.
        columns: Number of columns with few distinct values, or one that many samples share, where rows are not few.
        width: Number of all columns.
    """

    distinct: np.ndarray
    entropy: np.ndarray
    columns: np.ndarray
    width: int


def find_discrete(samples: np.ndarray) -> DiscreteValues:
    """Find out which problems have few distinct rows of a variable, or columns with few distinct values.

    Rows decide before columns: a one-hot code is discrete as a whole, and remains so after a rotation.

    Args:
        samples: Samples (problems, n, p), finite.
    """
    frequencies = [_few_rows(x) for x in samples]
    entropy = [np.inf if f is None else float(-(f * np.log(f)).sum()) for f in frequencies]
    columns = [_discrete_columns(x) if f is None else 0 for f, x in zip(frequencies, samples, strict=True)]
    return DiscreteValues(
        distinct=np.array([0 if f is None else len(f) for f in frequencies]),
        entropy=np.array(entropy),
        columns=np.array(columns),
        width=samples.shape[-1],
    )


def _few_rows(samples: np.ndarray) -> np.ndarray | None:
    """Compute the frequencies of distinct rows (n, p); None if they are not few."""
    n = len(samples)
    most = max(DISTINCT_VALUES * n, min(FEW_VALUES, n / FEWEST_EACH))
    if len(np.unique(samples[:, 0])) > most:
        return None
    rows = np.ascontiguousarray(samples + samples.dtype.type(0))  # no negative zeros
    _, counts = np.unique(rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))), return_counts=True)
    return counts / n if len(counts) <= most else None


def _discrete_columns(samples: np.ndarray) -> int:
    """Count columns with few distinct values, or one that many samples share."""
    some = np.sort(samples[:: max(1, len(samples) // ROWS)], axis=0)
    repeats = (some[1:] == some[:-1]).any(axis=0)
    return int(is_discrete(samples[:, repeats]).sum()) if repeats.any() else 0
