"""Variables of several problems, put side by side."""

from collections.abc import Sequence

import numpy as np


def side_by_side(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Join variables (problems, n, d) along their coordinates, as float64; one that is the same in all has length 1."""
    count = max(len(x) for x in parts)
    return np.concatenate([np.broadcast_to(x, (count, *x.shape[1:])) for x in parts], axis=-1, dtype=np.float64)
