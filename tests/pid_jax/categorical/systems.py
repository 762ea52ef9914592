"""Samples of sources with information about an answer, all of one shape, so that programs compile once."""

import numpy as np

from pid_jax import CategoricalSpec, LinearClassifier

PROBLEMS, SAMPLES, DIM = 4, 200, 2
SPEC = CategoricalSpec(classifier=LinearClassifier(), cells=12, perturbations=1, folds=3)
Samples = tuple[np.ndarray, np.ndarray, np.ndarray]


def draw(
    seed: int = 0, clarity: tuple[float, float] = (2.0, 1.0), leading: tuple[int, ...] = (PROBLEMS,), yes: float = 0.5
) -> Samples:
    """Draw two sources that are noisy copies of a yes/no answer, which is the same in all problems."""
    rng = np.random.default_rng(seed)
    answer = (np.argsort(rng.random(SAMPLES)) < round(yes * SAMPLES)).astype(int)
    noise = rng.normal(size=(2, *leading, SAMPLES, DIM))
    one, two = (one * answer[:, None] * np.array([1.0, 0.5]) + x for one, x in zip(clarity, noise, strict=True))
    return one, two, answer


def on_a_circle(seed: int, clarity: float, classes: int = 6) -> Samples:
    """Draw two sources that are noisy copies of the point of a class on a circle of radius `clarity`."""
    rng = np.random.default_rng(seed)
    answer = np.argsort(rng.random(SAMPLES)) % classes
    angle = 2 * np.pi * answer / classes
    point = clarity * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    one, two = point + rng.normal(size=(2, PROBLEMS, SAMPLES, DIM))
    return one, two, answer


def two_bits(seed: int, samples: int, dim: int = 8, leading: tuple[int, ...] = ()) -> Samples:
    """Draw an answer of four classes, two independent bits, one seen by each source through 1.2 bit + N(0, 1)."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, size=(2, *leading, samples))
    noise = rng.normal(size=(2, *leading, samples, dim))
    for bit, x in zip(bits, noise, strict=True):
        x[..., 0] += 1.2 * (2 * bit - 1)
    return noise[0], noise[1], 2 * bits[0] + bits[1]


def xor_of_signs(seed: int, samples: int, dim: int = 2) -> Samples:
    """Draw the exclusive or of the signs of one coordinate of each source."""
    rng = np.random.default_rng(seed)
    one, two = rng.normal(size=(2, samples, dim))
    return one, two, ((one[:, 0] > 0) ^ (two[:, 0] > 0)).astype(int)
