"""Rows that depend on the rows before them, as those of time series do."""

import math
import warnings

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from pid_jax.settings.inference import Block

# Standard errors 1/√n by which no column of independent rows is correlated with the row before: chance is 4e-6 for a
# hundred columns.
CHANCE = 5.5
# Blocks that rows have to have.
FEWEST_BLOCKS = 5


def notice_neighbors(latents: Float[np.ndarray, "problems n D"], so: str, stacklevel: int = 3) -> tuple[str, ...]:
    """Warn, and return what was said, if the ranks of rows are correlated with those of the rows before them.

    `so` is what follows from it and what to do; the default `stacklevel` blames the caller of whoever calls this.
    """
    ranks = rankdata(latents, axis=1)  # a few huge values in a row say nothing
    centered = ranks - ranks.mean(axis=1, keepdims=True)
    square = (centered**2).sum(axis=1)
    lag = (centered[:, 1:] * centered[:, :-1]).sum(axis=1) / np.where(square > 0, square, 1)
    largest = float(np.abs(lag).max())
    if largest <= CHANCE / math.sqrt(latents.shape[1]):
        return ()
    note = f"rows depend on their neighbors (correlation with the row before up to {largest:.2f}): {so}"
    warnings.warn(note, stacklevel=stacklevel)
    return (note,)


def choose_length(
    latents: Float[np.ndarray, "problems n D"], blocks: Block | None, so: str, stacklevel: int = 4
) -> tuple[int, tuple[str, ...]]:
    """Return how many rows are drawn together, and a warning if they are single rows that are not independent.

    Raises:
        ValueError: For blocks of which there would be too few.
    """
    if blocks is None:
        return 1, notice_neighbors(latents, so, stacklevel)
    samples = latents.shape[1]
    if blocks.length > samples // FEWEST_BLOCKS:
        raise ValueError(
            f"Block(length={blocks.length}) leaves fewer than {FEWEST_BLOCKS} blocks in {samples} rows: use "
            f"{samples // FEWEST_BLOCKS} rows or fewer."
        )
    return blocks.length, ()
