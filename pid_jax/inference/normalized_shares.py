"""Shares of a decomposition compared with those of random systems of the same size, spectra and information."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from pid_jax.decompose.covariances import solve_covariances
from pid_jax.decompose.dataset import Result
from pid_jax.decompose.result import ATOMS, PIDEstimate, describe_status, span
from pid_jax.inference.null_shares import (
    DRAWS,
    Positions,
    errors_of,
    interval_of,
    levels_of,
    null_shares,
    position_of,
)
from pid_jax.inference.null_systems import spectra_of
from pid_jax.pid.atoms import LEAST_INFORMATION, PIDAtoms
from pid_jax.pid.measure import Redundancy
from pid_jax.runtime.checks import check_at_least, check_between, check_key, check_positive_int
from pid_jax.runtime.devices import use_devices
from pid_jax.settings.estimate import spec_from_dict, spec_to_dict

FEWEST_DRAWS = 20
FEWEST_REPLICATES = 20


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class NormalizedShares(Result, amounts=("atoms", "i_12"), axes={"null": (..., "draw")}):
    """Shares of the atoms in I_12, and where each lies among those of null systems.

    Attributes:
        atoms: Redundancy, unique_1, unique_2, synergy, which shares are to be read with.
        i_12: I(target; source_1, source_2).
        share: Atoms divided by I_12.
        percentile: Fraction of null systems with a smaller share, ties counted half.
        above_chance: Share minus the mean share of null systems; zero on average for null systems.
        null: Shares of all null systems (..., draws).
        percentile_error: Monte Carlo standard error of the percentile.
        percentile_lower: Lower ends of intervals; None without replicates.
        percentile_upper: Upper ends.
        above_chance_lower: Lower ends of intervals; None without replicates.
        above_chance_upper: Upper ends.
        status: `Status` of each problem. Numbers are NaN where there is no share: infinite or next to no information.
        level: Nominal coverage of the intervals.
        settings: Everything that was chosen, JSON-ready.
        unit: "nats" or "bits", of atoms and i_12.
    """

    atoms: PIDAtoms
    i_12: np.ndarray
    share: PIDAtoms
    percentile: PIDAtoms
    above_chance: PIDAtoms
    null: PIDAtoms
    percentile_error: PIDAtoms
    status: np.ndarray
    percentile_lower: PIDAtoms | None = None
    percentile_upper: PIDAtoms | None = None
    above_chance_lower: PIDAtoms | None = None
    above_chance_upper: PIDAtoms | None = None
    level: float = 0.95
    settings: Mapping[str, Any] = field(default_factory=dict)
    unit: str = "nats"

    def __repr__(self) -> str:
        """Show one problem in full, or the range of many."""
        count = self.status.size
        lines = [f"NormalizedShares of {count} problem{'s' * (count != 1)}, I_12 {span(self.i_12)} {self.unit}"]
        for name in ATOMS:
            share, place, above = (getattr(getattr(self, part), name) for part in _SHOWN)
            text = f"{span(share, '.1%')} of I_12, percentile {span(place, '.2f')}, above chance {span(above, '+.1%')}"
            lines.append(f"  {name + ':':<13}{text}")
        return "\n".join([*lines, *describe_status(self.status)])


_SHOWN = ("share", "percentile", "above_chance")


def normalize_shares(
    estimate: PIDEstimate,
    *,
    key: jax.Array,
    draws: int = DRAWS,
    replicates: PIDAtoms | None = None,
    level: float = 0.95,
) -> NormalizedShares:
    """Compare shares with those of random Gaussian systems of the same size, spectra and information.

    More noise alone moves shares, so that a share means little without what chance gives. A null system has the same
    dims, I_12, canonical correlations between the sources, and proportions among the gains of each source (the
    singular values of the map from the white source to the target in units of its noise); all directions, and how much
    gain each source has, are random.

    Args:
        estimate: A decomposition by covariances. Atoms without bias are compared with null systems of an I_12 without
            bias; spectra are those of `estimate.cov`.
        key: A JAX random key. Problems of equal dims share their random orientations.
        draws: Number of null systems for each problem.
        replicates: Atoms (R, ...) of replicates in the unit of the estimate, as `PIDBootstrap.replicates`, for
            intervals. Each is compared with null systems of its own I_12.
        level: Nominal coverage of the intervals, which include the Monte Carlo error of the null.

    Returns:
        Shares, percentiles and shares above chance.

    The null describes unlikely structure, not significance: a percentile of 0.97 means that 3 % of random systems have
    a larger share. Spectra are those of the samples, which sampling spreads.

    Raises:
        TypeError: If `estimate` is no PIDEstimate, or `key` no key.
        ValueError: For too few draws or replicates, replicates of other shapes, or a `level` outside (0, 1).

    Example:
        >>> import jax
        >>> from pid_jax import gaussian_pid, normalize_shares
        >>> from pid_jax.testing.systems import parallel_channels
        >>> estimate = gaussian_pid(*parallel_channels(snr_1=[3.0, 2.0], snr_2=[0.1, 0.0]).problem)
        >>> found = normalize_shares(estimate, key=jax.random.key(0))
        >>> print(f"{found.share.unique_1:.2f}, above {found.percentile.unique_1:.0%} of random systems")
        0.95, above 88% of random systems

    Source: Liardi, Rosas, Carhart-Harris, Blackburne, Bor & Mediano (2025), arXiv:2410.11583, for null models of the
    same information; docs/decisions/0034-null-of-shares.md for the spectra.
    """
    if not isinstance(estimate, PIDEstimate):
        raise TypeError(f"estimate needs a PIDEstimate, as gaussian_pid or estimate_pid returns, got {estimate!r}.")
    check_options(key, draws, level)
    redundancy: Redundancy = spec_from_dict(estimate.settings["redundancy"])
    leading, factor = estimate.status.shape, math.log(2) if estimate.unit == "bits" else 1.0
    atoms = factor * stack_atoms(estimate.atoms).reshape(-1, len(ATOMS))
    i_12 = atoms.sum(axis=-1)
    drawn = None if replicates is None else factor * check_replicates(replicates, leading)
    levels = i_12[None] if drawn is None else levels_of(i_12, drawn.sum(axis=-1))
    with use_devices():
        flat = estimate.cov.reshape(-1, *estimate.cov.shape[-2:])
        spectra = solve_covariances(flat, estimate.dims, spectra_of, redundancy.rank_cut)
        null = np.stack([null_shares(spectra, one, estimate.dims, redundancy, key, int(draws)) for one in levels])
    share = shares_of(atoms)
    middle = null[len(levels) // 2]
    positions = position_of(share, middle)
    ends: dict[str, PIDAtoms] = {}
    if drawn is not None:
        pair = interval_of(positions, shares_of(drawn), drawn.sum(axis=-1), levels, null, level)
        for end, found in zip(("lower", "upper"), pair, strict=True):
            ends |= {f"{name}_{end}": atoms_of(value, leading) for name, value in found._asdict().items()}
    errors: Positions = errors_of(positions, middle)
    return NormalizedShares(
        atoms=estimate.atoms,
        i_12=(i_12 / factor).reshape(leading),
        share=atoms_of(share, leading),
        percentile=atoms_of(positions.percentile, leading),
        above_chance=atoms_of(positions.above_chance, leading),
        null=atoms_of(np.moveaxis(middle, 0, 1), (*leading, int(draws))),
        percentile_error=atoms_of(errors.percentile, leading),
        status=estimate.status,
        level=level,
        settings={"redundancy": spec_to_dict(redundancy), "draws": int(draws)},
        unit=estimate.unit,
        leading_axes=estimate.leading_axes,
        **ends,
    )


def check_options(key: jax.Array, draws: int, level: float) -> None:
    """Refuse what no comparison with a null can be made with."""
    check_key(key)
    check_positive_int("draws", draws)
    check_at_least("draws", int(draws), FEWEST_DRAWS)
    check_between("level", level, 0, 1)


def shares_of(atoms: np.ndarray) -> np.ndarray:
    """Divide atoms (..., 4) in nats by their sum; NaN where that is infinite or next to nothing."""
    total = atoms.sum(axis=-1, keepdims=True)
    is_known = np.isfinite(total) & (np.nan_to_num(total) > LEAST_INFORMATION)
    return atoms / np.where(is_known, total, np.nan)


def stack_atoms(atoms: PIDAtoms) -> np.ndarray:
    """Stack atoms (...) on a last axis (..., 4)."""
    return np.stack([np.asarray(getattr(atoms, name), float) for name in ATOMS], axis=-1)


def atoms_of(values: np.ndarray, leading: tuple[int, ...]) -> PIDAtoms:
    """Undo `stack_atoms`, with other leading axes."""
    return PIDAtoms(**{name: values[..., i].reshape(leading) for i, name in enumerate(ATOMS)})


def check_replicates(replicates: PIDAtoms, leading: tuple[int, ...]) -> np.ndarray:
    """Return replicates as an array (R, problem, 4).

    Raises:
        TypeError: If they are no atoms.
        ValueError: If they are too few, or of other problems.
    """
    if not isinstance(replicates, PIDAtoms):
        raise TypeError(f"replicates needs PIDAtoms, as PIDBootstrap.replicates, got {type(replicates).__name__}.")
    values = stack_atoms(replicates)
    if values.ndim != len(leading) + 2 or values.shape[1:-1] != leading or len(values) < FEWEST_REPLICATES:
        raise ValueError(
            f"replicates needs atoms of shape (R, {', '.join(map(str, leading))}) with R of at least "
            f"{FEWEST_REPLICATES}, one axis of replicates before those of the estimate, got shape {values.shape[:-1]}."
        )
    return values.reshape(len(values), -1, len(ATOMS))
