"""Union information of measures that need the informations of each source only: MMI and I_min."""

from collections.abc import Callable

import numpy as np

from pid_jax.categorical.assemble import Pointwise
from pid_jax.categorical.union import Union
from pid_jax.discrete.williams_beer import IMin
from pid_jax.pid.broja import BROJA
from pid_jax.pid.measure import Redundancy
from pid_jax.pid.mmi import MMI
from pid_jax.runtime.by_type import by_type


def closed_union(redundancy: Redundancy, pointwise: Pointwise, codes: np.ndarray) -> Union | None:
    """Return the union information of a measure that needs no predictions beyond the informations; None for BROJA.

    It has no cells, no noise and no gap. Every sample has the share that both sources have less what is redundant of
    it: for `MMI` that of the source that tells less, for `IMin` that of the source that tells less about its class.

    Args:
        redundancy: The measure.
        pointwise: Informations of every sample.
        codes: Class of each sample (B, n).

    Source: Barrett (2015), Phys. Rev. E 91, 052802; Williams & Beer (2010), arXiv:1004.2515.
    """
    share_of = check_redundancy(redundancy)
    if share_of is None:
        return None
    sources = pointwise.each[:, :2]
    each = sources.sum(axis=1) - share_of(sources, codes)
    total = each.mean(axis=1)
    nothing = np.zeros((len(codes), 2))
    return Union(
        lower=total,
        upper=total,
        each=each,
        noise=nothing[:, 0],
        loss=nothing,
        temperature=np.full_like(nothing, np.nan),
    )


def _least(sources: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the informations of the source (B, 2, n) that tells less."""
    least = sources.mean(axis=2).argmin(axis=1)
    return sources[np.arange(len(codes)), least]


def _least_of_classes(sources: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the informations of the source that tells less about the class of each sample."""
    members = codes[:, :, None] == np.arange(codes.max() + 1)
    sums = np.einsum("bsn,bnk->bsk", sources, members)
    least = np.take_along_axis(sums.argmin(axis=1), codes, axis=1)  # (B, n)
    return np.take_along_axis(sources, least[:, None], axis=1)[:, 0]


_SHARES: dict[type, Callable[[np.ndarray, np.ndarray], np.ndarray] | None] = {
    BROJA: None,
    MMI: _least,
    IMin: _least_of_classes,
}


def check_redundancy(redundancy: Redundancy) -> Callable[[np.ndarray, np.ndarray], np.ndarray] | None:
    """Return what a measure takes as redundant of each sample; None for BROJA, which has to be solved for.

    Raises:
        TypeError: For measures that are not defined for classes.
    """
    return by_type("CategoricalSpec(redundancy=...)", redundancy, _SHARES)
