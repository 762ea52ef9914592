"""Systems of two sources and a categorical answer whose decomposition is known: exactly, or by quadrature."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pid_jax import discrete_pid_from_pairs

ATOMS = ("redundancy", "unique_1", "unique_2", "synergy")
QUANTITIES = (*ATOMS, "i_1", "i_2", "i_12")
_GRID, _REACH = 4001, 9.0  # points of a quadrature, and standard deviations that it goes beyond the outermost means
_CELLS = 96


class System(NamedTuple):
    """A joint distribution of two sources and an answer.

    Attributes:
        draw: Draws (source_1, source_2, answer) of n samples with d coordinates, most of which are noise.
        truth: Its atoms and informations in nats, in the order of `QUANTITIES`.
    """

    draw: Callable[[np.random.Generator, int, int], tuple[np.ndarray, np.ndarray, np.ndarray]]
    truth: np.ndarray


def rotated(rng: np.random.Generator, signal: np.ndarray, d: int) -> np.ndarray:
    """Add coordinates of white noise to a signal (n, k), and rotate all (n, d)."""
    joined = np.concatenate([signal, rng.normal(size=(len(signal), d - signal.shape[1]))], axis=1)
    return joined @ np.linalg.qr(rng.normal(size=(d, d)))[0]


def bit_information(snr: float) -> float:
    """Return I(bit; ±snr + white noise) in nats, by quadrature."""
    return _class_information(np.array([-snr, snr]))


def two_bits(snr_1: float, snr_2: float) -> System:
    """Each source sees one of two independent bits, and the answer is both."""

    def draw(rng: np.random.Generator, n: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        bits = rng.integers(0, 2, size=(2, n))
        sources = [_noisy_bit(rng, bit, snr, d) for bit, snr in zip(bits, (snr_1, snr_2), strict=True)]
        return sources[0], sources[1], 2 * bits[0] + bits[1]

    i_1, i_2 = bit_information(snr_1), bit_information(snr_2)
    return System(draw, _quantities(i_1, i_2, i_1 + i_2, i_1 + i_2))


def degraded(snr_1: float, snr_2: float) -> System:
    """Both sources see the bit that is the answer, the second one less well."""

    def draw(rng: np.random.Generator, n: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        bit = rng.integers(0, 2, size=n)
        return _noisy_bit(rng, bit, snr_1, d), _noisy_bit(rng, bit, snr_2, d), bit

    i_1, i_2 = bit_information(snr_1), bit_information(snr_2)
    return System(draw, _quantities(i_1, i_2, bit_information(float(np.hypot(snr_1, snr_2))), i_1))


def xor_of_signs() -> System:
    """Whether the signs of one coordinate of each source differ."""

    def draw(rng: np.random.Generator, n: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        signal = rng.normal(size=(2, n, 1))
        answer = ((signal[0] > 0) != (signal[1] > 0))[:, 0].astype(int)
        return rotated(rng, signal[0], d), rotated(rng, signal[1], d), answer

    return System(draw, _quantities(0, 0, np.log(2), 0))


def xor_of_bits(snr: float) -> System:
    """Whether two bits differ, of which each source sees one with noise."""

    def draw(rng: np.random.Generator, n: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        bits = rng.integers(0, 2, size=(2, n))
        return _noisy_bit(rng, bits[0], snr, d), _noisy_bit(rng, bits[1], snr, d), bits[0] ^ bits[1]

    x = np.linspace(-snr - _REACH, snr + _REACH, _GRID // 2)
    weight = (_density(x - snr) + _density(x + snr)) / 2 * (x[1] - x[0])
    differs = (1 - np.outer(np.tanh(snr * x), np.tanh(snr * x))) / 2
    i_12 = np.log(2) - np.sum(np.outer(weight, weight) * (_entropies(differs) + _entropies(1 - differs)))
    return System(draw, _quantities(0, 0, float(i_12), 0))


def gaussian_classes(means_1: np.ndarray, means_2: np.ndarray, *, is_same: bool = False) -> System:
    """Classes with different means of one coordinate of each source, which are independent given the class.

    Args:
        means_1: Mean of each class in source_1, in units of the noise.
        means_2: The same for source_2.
        is_same: Whether both sources have one distribution, so that neither tells anything unique.
    """

    def draw(rng: np.random.Generator, n: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        answer = rng.integers(0, len(means_1), size=n)
        signals = [means[answer][:, None] + rng.normal(size=(n, 1)) for means in (means_1, means_2)]
        return rotated(rng, signals[0], d), rotated(rng, signals[1], d), answer

    i_1, i_2 = _class_information(means_1), _class_information(means_2)
    if is_same:
        union = i_1
    else:
        tables = [_table(means) for means in (means_1, means_2)]
        found = discrete_pid_from_pairs(*tables, tol=1e-7)
        # Cells lose information: the union lies between that of cells and that with the losses added.
        lost = i_1 + i_2 - float(found.information.i_1 + found.information.i_2)
        union = float(found.lower + found.upper) / 2 + lost / 2
    return System(draw, _quantities(i_1, i_2, _joint_information(means_1, means_2), union))


def _noisy_bit(rng: np.random.Generator, bit: np.ndarray, snr: float, d: int) -> np.ndarray:
    return rotated(rng, snr * (2 * bit[:, None] - 1) + rng.normal(size=(len(bit), 1)), d)


def _density(x: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)


def _entropies(p: np.ndarray) -> np.ndarray:
    return -p * np.log(np.where(p > 0, p, 1))


def _points(means: np.ndarray, count: int) -> np.ndarray:
    return np.linspace(means.min() - _REACH, means.max() + _REACH, count)


def _class_information(means: np.ndarray) -> float:
    """Return I(class; mean of the class + white noise) of equally likely classes, by quadrature."""
    x = _points(means, _GRID)
    joint = _density(x[:, None] - means) / len(means)
    return float(np.log(len(means)) - _conditional_entropy(joint) * (x[1] - x[0]))


def _joint_information(means_1: np.ndarray, means_2: np.ndarray) -> float:
    x, y = _points(means_1, 401), _points(means_2, 401)
    joint = _density(x[:, None, None] - means_1) * _density(y[:, None] - means_2) / len(means_1)
    return float(np.log(len(means_1)) - _conditional_entropy(joint) * (x[1] - x[0]) * (y[1] - y[0]))


def _conditional_entropy(joint: np.ndarray) -> float:
    total = joint.sum(axis=-1, keepdims=True)
    ratio = np.where(joint > 0, joint / np.where(total > 0, total, 1), 1)
    return float(-np.sum(joint * np.log(ratio)))


def _table(means: np.ndarray) -> np.ndarray:
    """Return the joint table of class and cell, for cells of equal probability of a fine grid."""
    x = _points(means, _GRID)
    joint = _density(x[:, None] - means)
    joint /= joint.sum(axis=0) * len(means)
    edges = np.minimum((np.cumsum(joint.sum(axis=1)) * _CELLS).astype(int), _CELLS - 1)
    table = np.zeros((_CELLS, len(means)))
    np.add.at(table, edges, joint)
    return table


def _quantities(i_1: float, i_2: float, i_12: float, union: float) -> np.ndarray:
    return np.array([i_1 + i_2 - union, union - i_2, union - i_1, i_12 - union, i_1, i_2, i_12])


FOUR = np.array([-2.4, -0.8, 0.8, 2.4])
TEN = np.linspace(-6, 6, 10)
SHUFFLED = np.array([3, 8, 1, 6, 0, 9, 4, 2, 7, 5])


def systems() -> dict[str, System]:
    """Make all systems; the unions of Gaussian classes take a few seconds."""
    return {
        "two bits": two_bits(1.2, 0.8),
        "degraded channels": degraded(1.2, 0.6),
        "XOR of noisy bits": xor_of_bits(2.0),
        "4 Gaussian classes": gaussian_classes(FOUR, FOUR[[2, 0, 3, 1]] * 0.75),
        "10 Gaussian classes": gaussian_classes(TEN, TEN[SHUFFLED] * 0.5),
        "6 classes, sources alike": gaussian_classes(np.linspace(-3, 3, 6), np.linspace(-3, 3, 6), is_same=True),
        "XOR of signs": xor_of_signs(),
    }
