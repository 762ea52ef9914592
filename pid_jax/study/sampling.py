"""How often each sample is drawn in each replicate, by its id alone: the same for all layers, conditions and models."""

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def draw_weights(ids: Sequence[str], replicates: int, seed: int) -> Float[np.ndarray, "replicates n"]:
    """Draw the weights of samples in every replicate: Poisson counts of mean one, scaled to n in total.

    Args:
        ids: Ids of the samples.
        replicates: Number of replicates.
        seed: Seed of the study.

    Source: Hanley & MacGibbon (2006), Comput. Methods Programs Biomed. 83, 57: counts of rows drawn with replacement
    are nearly independent Poisson numbers, so that each sample can draw its own.
    """
    counts = np.stack([_generator(one, seed).poisson(1.0, replicates) for one in ids], axis=1).astype(np.float64)
    return counts * (counts.shape[1] / np.maximum(counts.sum(axis=1, keepdims=True), 1.0))


def _generator(sample: str, seed: int) -> np.random.Generator:
    digest = hashlib.blake2b(f"{seed}/{sample}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def mean_of_replicates(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average values (n,) by the weights of every replicate, over those that are known; NaN where none is."""
    known = np.isfinite(values)
    total = weights[:, known].sum(axis=1)
    return np.where(total > 0, weights[:, known] @ values[known] / np.where(total > 0, total, 1), np.nan)
