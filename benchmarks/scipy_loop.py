"""The same decomposition as a plain loop: the same LAPACK calls, one problem after the other, through SciPy."""

import numpy as np
from scipy.linalg.lapack import dgeqrf, dpotrf, dsyevd, dtrtrs

PROBES, BORDER = 4, 1e9


def decompose_all(covs: np.ndarray, dims: tuple[int, int, int]) -> np.ndarray:
    """Atoms and certificate (R, U_1, U_2, S, gap) of every covariance; they must be of full rank."""
    return np.array([decompose(cov, dims) for cov in covs])


def decompose(cov: np.ndarray, dims: tuple[int, int, int]) -> tuple[float, ...]:
    d1, d2, dt = dims
    both = d1 + d2
    scale = 1 / np.sqrt(np.diag(cov))
    corr = cov * scale[:, None] * scale
    joint, pair, target = _cholesky(_bordered(corr)), _cholesky(corr[d1:, d1:]), _cholesky(corr[both:, both:])
    crosses = _solve(target, np.concatenate([joint[both:-PROBES, :both], pair[d2:, :d2]], axis=1))
    cross_1, cross_12, cross_2 = crosses[:, :d1], crosses[:, :both], crosses[:, both:]
    known_1, known_2 = cross_1 @ cross_1.T, cross_2 @ cross_2.T
    i_1, i_2, i_12 = (_information(q) for q in (known_1, known_2, cross_12 @ cross_12.T))
    factor = _cholesky(2 * np.eye(dt) - known_1 - known_2)
    relative = _solve(factor, _solve(factor, known_2 - known_1).T)
    contrast, axes, _ = dsyevd((relative + relative.T) / 2, lower=1)
    half_log = np.arctanh(contrast)
    unique_1, unique_2 = np.maximum(-half_log, 0).sum(), np.maximum(half_log, 0).sum()
    union = 0.5 * (i_1 + unique_2 + i_2 + unique_1)
    spread = (factor @ axes) * np.sqrt(np.abs(contrast))
    gap = _coupled(cross_1, cross_2, 0.5 * (known_1 + known_2 + spread @ spread.T)) - union
    redundancy = i_1 + i_2 - union
    return redundancy, unique_1, unique_2, i_12 - union, gap


def _coupled(cross_1: np.ndarray, cross_2: np.ndarray, estimate: np.ndarray) -> float:
    size = len(estimate)
    small = 8 * size * np.finfo(float).eps
    root = _cholesky((1 - small) * estimate + small * np.eye(size))
    one, two = _restrict(cross_1), _restrict(cross_2)
    half = _solve(root, np.concatenate([one, two], axis=1))
    between = half[:, : one.shape[1]].T @ half[:, one.shape[1] :]
    rest = _cholesky(np.eye(len(between.T)) - between.T @ between)
    added = _solve(rest, (two - one @ between).T).T
    return _information(one @ one.T + added @ added.T)


def _bordered(corr: np.ndarray) -> np.ndarray:
    size = len(corr)
    bordered = np.empty((size + PROBES, size + PROBES))
    bordered[:size, :size] = corr
    bordered[size:, :size] = np.cos(np.arange(PROBES * size)).reshape(PROBES, size)
    bordered[size:, size:] = BORDER * np.eye(PROBES)
    return bordered


def _information(gram: np.ndarray) -> float:
    factor = _cholesky(np.eye(len(gram)) - gram)
    return -0.5 * np.log1p(-(np.diag(gram) + (np.tril(factor, -1) ** 2).sum(axis=1))).sum()


def _restrict(cross: np.ndarray) -> np.ndarray:
    if cross.shape[1] <= cross.shape[0]:
        return cross
    return np.triu(dgeqrf(cross.T)[0][: len(cross)]).T


def _cholesky(matrix: np.ndarray) -> np.ndarray:
    return dpotrf(matrix, lower=1, clean=1)[0]


def _solve(factor: np.ndarray, right: np.ndarray) -> np.ndarray:
    return dtrtrs(factor, right, lower=1)[0]
