"""The three informations from a flow each: of source_1, of source_2, and of both sources, each with the target."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np

from pid_jax.decompose.covariances import solve_covariances
from pid_jax.estimate.by_flow import FLOW, RANK_CUT
from pid_jax.estimate.gaussianizer import FitOptions, Latents
from pid_jax.gaussian.information import Information, information_of_all
from pid_jax.pid.atoms import PIDAtoms, compose_atoms
from pid_jax.reduce.pca import Reduced
from pid_jax.runtime.arrays import side_by_side
from pid_jax.runtime.progress import part_of
from pid_jax.settings.gaussianize import RealNVP

_FLOW = RealNVP.__name__


@dataclass(frozen=True, kw_only=True)
class PairLatents:
    """Latents of source_1, source_2 and both sources, each with its own latents of the target.

    Attributes:
        latents: Of each pair, all problems on the leading axis.
        dims: Coordinates of sources and target in each pair.
    """

    latents: tuple[Latents, ...]
    dims: tuple[tuple[int, int], ...]

    @property
    def gaussianizer(self) -> np.ndarray:
        """What made the latents of each problem: the flow only where all pairs have one."""
        each = zip(*(one.gaussianizer for one in self.latents), strict=True)
        return np.array([next((name for name in names if name != _FLOW), _FLOW) for names in each])

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done differently than asked, each line once."""
        return tuple(dict.fromkeys(note for one in self.latents for note in one.notes))


def map_pairs(reduced: Sequence[Reduced], flow: RealNVP, options: FitOptions) -> PairLatents:
    """Fit a flow to each pair, so that the target has three maps.

    Args:
        reduced: source_1, source_2 and target, all problems on the leading axis.
        flow: Its settings.
        options: Key, progress, and names of the three variables.

    Raises:
        ValueError: If the target is discrete in all problems.
    """
    first, second, target = (_trim(one) for one in reduced)
    names = (*options.labels[:2], " with ".join(options.labels[:2]))
    fits, dims = [], []
    for place, (name, source) in enumerate(zip(names, (first, second, _join(first, second)), strict=True)):
        own = dataclasses.replace(
            options,
            key=jax.random.fold_in(options.key, place),
            progress=part_of(options.progress, place, len(names)),
            labels=(name, options.labels[2]),
            is_corrected=False,
        )
        fits.append(FLOW.fit((source, target), flow, own))
        dims.append((source.scores.shape[-1], target.scores.shape[-1]))
    return PairLatents(latents=tuple(fits), dims=tuple(dims))


def information_of_pairs(pairs: PairLatents, covariances: Sequence[np.ndarray]) -> Information:
    """Compute I_1, I_2 and I_12 in nats from a covariance (problems, ..., D, D) of the latents of each pair.

    They come from separate fits, so that I_12 may be below I_1 or I_2.
    """
    i_1, i_2, i_12 = (
        solve_covariances(cov, dims, information_of_all, RANK_CUT)
        for cov, dims in zip(covariances, pairs.dims, strict=True)
    )
    return Information(i_1=i_1, i_2=i_2, i_12=i_12)


def mmi_of(information: Information) -> PIDAtoms:
    """Decompose by minimum mutual information: redundancy is the smaller of I_1 and I_2."""
    return compose_atoms(information, np.abs(information.i_1 - information.i_2))


def _trim(reduced: Reduced) -> Reduced:
    """Leave out columns that are constant in all problems, but for one."""
    varies = (np.ptp(reduced.scores, axis=1) > 0).any(axis=0)
    varies[0] |= not varies.any()
    return dataclasses.replace(reduced, scores=np.asarray(reduced.scores)[..., varies])


def _join(first: Reduced, second: Reduced) -> Reduced:
    """Put both sources side by side."""
    return dataclasses.replace(
        first,
        scores=side_by_side([np.asarray(first.scores), np.asarray(second.scores)]),
        rounding=np.hypot(first.rounding, second.rounding),
        rank=np.asarray(first.rank) + np.asarray(second.rank),
    )
