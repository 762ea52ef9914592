"""Shares of the information about a class, compared with those of random tables of the same information."""

import math

import jax
import numpy as np
from numpy.typing import ArrayLike

from pid_jax.categorical.result import CategoricalPID
from pid_jax.decompose.result import ATOMS
from pid_jax.discrete.measures import CLASS_MEASURES
from pid_jax.discrete.result import DiscreteEstimate
from pid_jax.inference.normalized_shares import (
    NormalizedShares,
    atoms_of,
    check_options,
    check_replicates,
    shares_of,
    stack_atoms,
)
from pid_jax.inference.null_shares import Positions, ends_of, errors_of, position_of
from pid_jax.inference.null_tables import DRAWS, NullTables, null_shares_of_answers, null_tables
from pid_jax.pid.atoms import PIDAtoms
from pid_jax.pid.measure import Redundancy
from pid_jax.settings.estimate import spec_to_dict


def normalize_class_shares(
    estimate: DiscreteEstimate | CategoricalPID,
    probabilities: ArrayLike | None = None,
    *,
    key: jax.Array,
    draws: int = DRAWS,
    replicates: PIDAtoms | None = None,
    level: float = 0.95,
) -> NormalizedShares:
    """Compare shares of the information about a class with those of random tables of the same information.

    Null tables have the class probabilities, and I_12 as the same part of the entropy. The class follows from random
    scores of both cells and of their pair, in random proportions, and both sources are equal with a random
    probability. I_1 and I_2 are not kept: given all three informations one number alone is free, the redundancy.

    Args:
        estimate: A decomposition of tables, or of answers.
        probabilities: Probabilities of the classes (K,), the same for all problems. Those of the samples for a
            `CategoricalPID`. Of more than eight classes the rarest are pooled.
        key: A JAX random key.
        draws: Number of null tables; each of two sources with eight cells.
        replicates: Atoms (R, ...) of replicates in the unit of the estimate, for intervals.
        level: Nominal coverage of the intervals, which include the Monte Carlo error of the null.

    Returns:
        Shares, percentiles and shares above chance; see `normalize_shares` for what they do not say.

    Raises:
        TypeError: If `estimate` or `key` is something else.
        ValueError: For missing or impossible `probabilities`, too few draws or replicates, or a `level` outside (0, 1).

    Example:
        >>> import jax
        >>> import numpy as np
        >>> from pid_jax import discrete_pid, normalize_class_shares
        >>> pmf = np.full((2, 2, 2), 0.02)
        >>> for a, b in np.ndindex(2, 2):
        ...     pmf[a, b, a ^ b] = 0.23
        >>> found = normalize_class_shares(discrete_pid(pmf), [0.5, 0.5], key=jax.random.key(0))
        >>> print(f"{found.share.synergy:.2f}, above {found.percentile.synergy:.0%} of random tables")
        1.00, above 100% of random tables

    Source: Liardi, Rosas, Carhart-Harris, Blackburne, Bor & Mediano (2025), arXiv:2410.11583, for null models of the
    same information.
    """
    if not isinstance(estimate, (DiscreteEstimate, CategoricalPID)):
        raise TypeError(f"estimate needs a DiscreteEstimate or a CategoricalPID, got {type(estimate).__name__}.")
    check_options(key, draws, level)
    classes = _check_probabilities(probabilities, estimate)
    redundancy = _measure_of(estimate)
    leading, factor = estimate.status.shape, math.log(2) if estimate.unit == "bits" else 1.0
    atoms = factor * stack_atoms(estimate.atoms).reshape(-1, len(ATOMS))
    drawn = np.zeros((0, *atoms.shape))
    if replicates is not None:
        drawn = factor * check_replicates(replicates, leading)
    null = null_tables(classes, redundancy, key, int(draws))
    entropy = factor * np.asarray(estimate.entropy).reshape(-1)
    positions, lower, upper, middle = place_answers(np.concatenate([atoms[None], drawn]), entropy, null, level)
    ends: dict[str, PIDAtoms] = {}
    if replicates is not None:
        for end, found in (("lower", lower), ("upper", upper)):
            ends |= {f"{name}_{end}": atoms_of(value, leading) for name, value in found._asdict().items()}
    return NormalizedShares(
        atoms=estimate.atoms,
        i_12=(atoms.sum(axis=-1) / factor).reshape(leading),
        share=atoms_of(shares_of(atoms), leading),
        percentile=atoms_of(positions.percentile, leading),
        above_chance=atoms_of(positions.above_chance, leading),
        null=atoms_of(np.moveaxis(middle, 0, 1), (*leading, int(draws))),
        percentile_error=atoms_of(errors_of(positions, middle).percentile, leading),
        status=estimate.status,
        level=level,
        settings={"redundancy": spec_to_dict(redundancy), "draws": int(draws)},
        unit=estimate.unit,
        leading_axes=estimate.leading_axes,
        **ends,
    )


def place_answers(
    atoms: np.ndarray, entropy: np.ndarray, null: NullTables, level: float
) -> tuple[Positions, Positions, Positions, np.ndarray]:
    """Place the shares of problems among those of null tables.

    Args:
        atoms: Estimate and replicates (draw, problem, atom) in nats.
        entropy: Of the class (problem,) in nats.
        null: Tables of its probabilities.
        level: Nominal coverage.

    Returns:
        Positions and the ends of their intervals (problem, atom), NaN without replicates, and the shares of null
        tables of the same information (null draw, problem, atom).
    """
    shares, part = shares_of(atoms), atoms.sum(axis=-1) / entropy
    middle = null_shares_of_answers(null, part[0])
    positions = position_of(shares[0], middle)
    if len(atoms) < 2:
        unknown = Positions(*(np.full_like(value, np.nan) for value in positions))
        return positions, unknown, unknown, middle
    pairs = zip(shares[1:], part[1:], strict=True)
    found = [position_of(share, null_shares_of_answers(null, one)) for share, one in pairs]
    return positions, *ends_of(positions, found, errors_of(positions, middle), level), middle


def _measure_of(estimate: DiscreteEstimate | CategoricalPID) -> Redundancy:
    method = estimate.settings["redundancy"]["method"]
    return next(one.settings() for one in CLASS_MEASURES.values() if one.method == method)


def _check_probabilities(probabilities: ArrayLike | None, estimate: DiscreteEstimate | CategoricalPID) -> np.ndarray:
    if probabilities is None:
        if not isinstance(estimate, CategoricalPID):
            raise ValueError("probabilities needs those of the classes for tables, got None: give pmf.sum((0, 1)).")
        return np.bincount(estimate.answer.ravel(), minlength=len(estimate.classes)) / estimate.answer.size
    values = np.asarray(probabilities, float)
    is_distribution = values.ndim == 1 and (values >= 0).all() and abs(values.sum() - 1) < 1e-6
    if not is_distribution or (values > 0).sum() < 2:
        raise ValueError(
            "probabilities needs one axis of numbers of at least 0 that sum to 1, two or more of them above 0, got "
            f"shape {values.shape} with sum {values.sum():.6g}: give the class probabilities of one problem."
        )
    return values
