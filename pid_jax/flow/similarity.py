"""How alike the layers of a variable are, and a coordinate along which they lie."""

import numpy as np


def layer_coordinates(samples: np.ndarray, count: int) -> np.ndarray:
    """Place the layers of one variable along smooth coordinates found from the samples alone.

    Layers l and m are as alike as the subspaces that their columns span: K_lm = ‖Q_lᵀ Q_m‖² / d with orthonormal bases
    Q of the centered columns, the mean squared canonical correlation. The coordinates are the leading eigenvectors of
    the doubly centered K, as in classical scaling, each with largest absolute value one. They depend neither on the
    order of the layers, nor on the basis of any of them.

    Args:
        samples: Samples (layers, n, d), row i of every layer from the same sample.
        count: Coordinates wanted.

    Returns:
        Coordinates (layers, count); zero where layers do not differ, or there are not enough of them.
    """
    layers = samples.shape[0]
    bases = [np.linalg.qr(x - x.mean(axis=0))[0] for x in samples.astype(np.float64)]
    kernel = np.empty((layers, layers))
    for i, first in enumerate(bases):
        for j in range(i + 1):
            kernel[i, j] = kernel[j, i] = ((first.T @ bases[j]) ** 2).sum() / samples.shape[2]
    centered = kernel - kernel.mean(axis=0) - kernel.mean(axis=1, keepdims=True) + kernel.mean()
    values, vectors = np.linalg.eigh(centered)
    found = np.zeros((layers, count))
    for place in range(min(count, layers - 1)):
        if values[-1 - place] > 1e-9 * layers:
            vector = vectors[:, -1 - place]
            found[:, place] = vector / np.abs(vector).max() * _sign(vector)
    return found


def _sign(vector: np.ndarray) -> float:
    """Choose the sign by the third moment, so that it does not depend on the order of the entries."""
    return 1.0 if (vector**3).sum() >= 0 else -1.0
