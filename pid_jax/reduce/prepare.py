"""Samples before their reduction: scaled where their squares would overflow, centered before they are cast."""

import numpy as np

# Squares of larger and smaller values, and sums of them, leave the range of double precision.
LARGEST, SMALLEST = 1e100, 1e-100
# Rows that are centered at a time, so that their copy in double precision stays small.
ROWS = 1024


def scale_extremes(array: np.ndarray, is_each: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Divide values by a power of two where their squares could not be represented, which changes no digit of them.

    Args:
        array: Samples (problems, n, p).
        is_each: Whether every column has a scale of its own, or all columns of a problem one.

    Returns:
        The samples, themselves if there was nothing to do, and their exponents (problems, 1, p or 1), None for those.
    """
    axes = -2 if is_each else (-2, -1)
    peak = np.maximum(array.max(axis=axes, keepdims=True), -array.min(axis=axes, keepdims=True)).astype(np.float64)
    is_extreme = (peak > LARGEST) | ((peak < SMALLEST) & (peak > 0))
    if not is_extreme.any():
        return array, None
    exponents = np.where(is_extreme, np.frexp(np.where(is_extreme, peak, 1))[1], 0)
    return np.ldexp(array.astype(np.float64), -exponents), exponents


class SinglePrecision:
    """Samples that are centered and scaled in double precision, and then cast, when a problem is taken.

    Rounding to single precision then is that of the deviations from the mean. `map_problems` takes problems as it takes
    those of an array.

    Args:
        samples: Samples (problems, n, p).
        means: What to subtract (problems, p); the means of the samples if not given.

    Attributes:
        means: What is subtracted.
        scales: What deviations are divided by, a power of two for each problem.
    """

    def __init__(self, samples: np.ndarray, means: np.ndarray | None = None) -> None:
        self._samples = samples
        self.means = np.stack([_means(one) for one in samples]) if means is None else means
        self.scales = np.array([_scale(one, mean) for one, mean in zip(samples, self.means, strict=True)])
        self.dtype = np.dtype(np.float32)

    def __len__(self) -> int:
        """Count the problems."""
        return len(self._samples)

    def __getitem__(self, problems: slice) -> np.ndarray:
        """Center, scale and cast some problems."""
        taken = self._samples[problems]
        result = np.empty(taken.shape, self.dtype)
        for one, mean, scale, out in zip(taken, self.means[problems], self.scales[problems], result, strict=True):
            for start in range(0, len(one), ROWS):
                rows = slice(start, start + ROWS)
                out[rows] = (one[rows].astype(np.float64) - mean) / scale
        return result


def _means(samples: np.ndarray) -> np.ndarray:
    """Average every column in double precision; the second pass removes what the first rounds off."""
    rough = samples.mean(axis=0, dtype=np.float64)
    blocks = range(0, len(samples), ROWS)
    rest = sum((samples[start : start + ROWS].astype(np.float64) - rough).sum(axis=0) for start in blocks)
    return rough + rest / len(samples)


def _scale(samples: np.ndarray, mean: np.ndarray) -> float:
    """Choose a power of two near the largest deviation, one where there is none."""
    high, low = samples.max(axis=0).astype(np.float64) - mean, mean - samples.min(axis=0).astype(np.float64)
    return float(np.ldexp(1.0, np.frexp(max(high.max(), low.max(), 0.0))[1]))
