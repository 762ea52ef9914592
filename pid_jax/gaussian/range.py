"""Singular covariances in coordinates that span what they have variance in."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool

from pid_jax.gaussian.information import Information
from pid_jax.gaussian.joint import block_slices
from pid_jax.gaussian.wishart import information_bias
from pid_jax.runtime.precision import double_precision

# Correlation matrices with a smaller eigenvalue count as singular here.
SINGULAR = 1e-9


def restrict_to_range(
    cov: np.ndarray, dims: tuple[int, int, int], rank_cut: float
) -> tuple[np.ndarray, tuple[int, int, int], int]:
    """Map each variable linearly onto its range; nothing is lost.

    Coordinates without variance are left out. A variable that is singular beyond that is mapped to its principal axes,
    and where both sources share directions source_2 is turned so that these come first.

    Args:
        cov: A covariance (D, D).
        dims: (d1, d2, dt).
        rank_cut: That of the measure: `whiten_any_rank` drops the same directions.

    Returns:
        The covariance (r, r), with as many coordinates of each variable as it has rank; the ranks of source_1, source_2
        and target; and the number of leading coordinates of source_2 that are linear functions of source_1.
    """
    variance = np.diagonal(cov)
    scale = np.where(variance > 0, 1 / np.sqrt(np.where(variance > 0, variance, 1)), 0)
    corr = cov * scale[:, None] * scale
    at_1, at_2, target = block_slices(dims)
    maps = [_onto_range(corr[at, at], rank_cut) for at in (at_1, at_2, target)]
    white_1, white_2 = (_whitening(one, corr[at, at]) for one, at in zip(maps, (at_1, at_2), strict=False))
    _, overlap, turn = np.linalg.svd(white_1 @ corr[at_1, at_2] @ white_2.T)
    cut = max(rank_cut, sum(dims[:2]) * np.finfo(float).eps) * (1 + overlap.max(initial=0))
    shared = int((1 - overlap <= cut).sum())
    maps[1] = turn @ white_2 if shared else maps[1]
    r1, r2, rt = (len(one) for one in maps)
    whole = np.zeros((r1 + r2 + rt, len(cov)))
    for rows, columns, one in zip(block_slices((r1, r2, rt)), (at_1, at_2, target), maps, strict=True):
        whole[rows, columns] = one
    restricted = whole @ corr @ whole.T
    return 0.5 * (restricted + restricted.T), (r1, r2, rt), shared


def groups_on_range(
    cov: np.ndarray, dims: tuple[int, int, int], rank_cut: float
) -> Iterator[tuple[list[int], np.ndarray, tuple[int, int, int], int]]:
    """Restrict covariances (B, D, D), and yield rows, covariances, ranks and shared directions of those alike."""
    groups: dict[tuple[tuple[int, int, int], int], list[tuple[int, np.ndarray]]] = {}
    for row, one in enumerate(cov):
        restricted, ranks, shared = restrict_to_range(one, dims, rank_cut)
        groups.setdefault((ranks, shared), []).append((row, restricted))
    for (ranks, shared), members in groups.items():
        rows, alike = zip(*members, strict=True)
        yield list(rows), np.stack(alike), ranks, shared


def information_bias_on_range(
    cov: np.ndarray, dims: tuple[int, int, int], freedom: float, rank_cut: float, singular: np.ndarray
) -> Information:
    """Compute `information_bias` (B,) of sample covariances of any rank; it is exact for all of them."""
    bias = np.empty((3, len(cov)))
    with double_precision():
        full = information_bias(freedom, dims)
        bias[:] = np.asarray([full.i_1, full.i_2, full.i_12])[:, None]
        places = np.flatnonzero(singular & np.isfinite(cov).all(axis=(-2, -1)))
        for rows, _, ranks, shared in groups_on_range(cov[places], dims, rank_cut):
            of = information_bias(freedom, ranks, shared)
            bias[:, places[rows]] = np.asarray([of.i_1, of.i_2, of.i_12])[:, None]
    return Information(i_1=bias[0], i_2=bias[1], i_12=bias[2])


def is_singular(cov: np.ndarray) -> Bool[np.ndarray, "B"]:
    """Tell which covariances (B, D, D) are singular, or nearly so, or not finite."""
    variance = np.diagonal(cov, axis1=-2, axis2=-1)
    is_good = np.asarray(np.isfinite(cov).all(axis=(-2, -1)) & (variance > 0).all(axis=-1))
    scale = 1 / np.sqrt(np.where(is_good[:, None], variance, 1))
    safe = np.where(is_good[:, None, None], cov * scale[:, :, None] * scale[:, None, :], np.eye(cov.shape[-1]))
    return ~is_good | (np.linalg.eigvalsh(safe)[:, 0] < SINGULAR)


def _onto_range(corr: np.ndarray, rank_cut: float) -> np.ndarray:
    """Return a map (r, d) onto the range of a positive semidefinite matrix of correlations."""
    values, axes = np.linalg.eigh(corr)
    keep = values > max(rank_cut, len(corr) * np.finfo(float).eps) * max(values[-1], 0)
    varies = np.diagonal(corr) > 0
    if keep.sum() == varies.sum():
        return np.eye(len(corr))[varies]
    return (axes[:, keep] / np.sqrt(values[keep])).T


def _whitening(onto: np.ndarray, corr: np.ndarray) -> np.ndarray:
    return np.linalg.solve(np.linalg.cholesky(onto @ corr @ onto.T), onto)
