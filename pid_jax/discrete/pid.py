"""Decomposition of the information of two sources about a class, from tables of probabilities."""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from pid_jax.discrete.measures import class_measure_of
from pid_jax.discrete.result import DiscreteEstimate
from pid_jax.discrete.tables import (
    as_distributions,
    check_table,
    entropy_of,
    information_of_table,
    reconcile,
    refuse_all_bad,
)
from pid_jax.gaussian.information import Information
from pid_jax.gaussian.status import Status
from pid_jax.pid.atoms import compose_atoms
from pid_jax.pid.broja import BROJA
from pid_jax.pid.measure import Redundancy
from pid_jax.runtime.arrays import to_numpy
from pid_jax.runtime.checks import check_at_least
from pid_jax.runtime.leading import join_axis_labels, read_axis_labels
from pid_jax.settings.estimate import spec_to_dict

TOLERANCE = 1e-9
# Informations of tables in float32 are off by less than this, in nats.
INFORMATION_ROUNDING = 1e-5


def discrete_pid(pmf: ArrayLike, *, redundancy: Redundancy | None = None, tol: float = TOLERANCE) -> DiscreteEstimate:
    """Decompose the information of two discrete sources about a class.

    Args:
        pmf: Joint probabilities (..., n1, n2, nt) of source_1, source_2 and target. Entries may be 0.
        redundancy: `BROJA()` (default), `MMI()` or `IMin()`.
        tol: Width in nats at which the bounds of BROJA's union information are close enough.

    Returns:
        The decomposition in nats. A table of a batch that is no distribution has a status and NaN.

    BROJA solves systems of nt min(n1, n2) unknowns. Sparse random tables took, on two cores with compilation: 128 x 128
    cells of 2 classes 7 CPU s, of 40 classes 95 CPU s and 1.0 GB, of 100 classes 494 CPU s and 4.4 GB
    (`benchmarks.discrete.large`). Time grows as the cube of the unknowns, memory
    as the square. Above 12 800 unknowns the systems are solved iteratively, and the status is often `NOT_CONVERGED`:
    merge cells, or raise `tol`.

    Raises:
        TypeError: For tracers, what holds no numbers, or a `redundancy` that has no solver for tables.
        ValueError: For fewer than three axes, no entries, no table that is a distribution, or a `tol` not above 0.

    Example:
        >>> import numpy as np
        >>> from pid_jax import discrete_pid
        >>> pmf = np.zeros((2, 2, 2))
        >>> for a, b in np.ndindex(2, 2):
        ...     pmf[a, b, a & b] = 1 / 4
        >>> atoms = discrete_pid(pmf).in_bits().atoms
        >>> print(f"{atoms.redundancy:.4f} {atoms.unique_1:.4f} {atoms.synergy:.4f}")
        0.3113 0.0000 0.5000

    Source: Bertschinger, Rauh, Olbrich, Jost & Ay (2014), Entropy 16(4), 2161; Williams & Beer (2010), arXiv:1004.2515.
    """
    redundancy = _check_settings(redundancy, tol)
    table = check_table("pmf", pmf, ("n1", "n2", "nt"))
    joint, status = as_distributions(table, 3)
    refuse_all_bad("pmf", table, status)
    i_12 = information_of_table(joint.reshape(*joint.shape[:-3], -1, joint.shape[-1]))
    found = _decompose(joint.sum(axis=-2), joint.sum(axis=-3), i_12, status, redundancy, tol, has_joint=True)
    return dataclasses.replace(found, leading_axes=read_axis_labels(pmf, table.ndim - 3))


def discrete_pid_from_pairs(
    p_1t: ArrayLike,
    p_2t: ArrayLike,
    i_12: ArrayLike | None = None,
    *,
    redundancy: Redundancy | None = None,
    tol: float = TOLERANCE,
) -> DiscreteEstimate:
    """Decompose from the two pairwise tables, which determine all atoms but the synergy, and I_12.

    Args:
        p_1t: Joint probabilities (..., n1, nt) of source_1 and target.
        p_2t: Joint probabilities (..., n2, nt) of source_2 and target, with the same class probabilities.
        i_12: I(target; source_1, source_2) in nats (...), NaN or None where it is not known; then the synergy is NaN.
            At least I_1 and I_2, and at most H(target), but for 1e-5 nats of rounding.
        redundancy: `BROJA()` (default), `MMI()` or `IMin()`.
        tol: Width in nats at which the bounds of BROJA's union information are close enough.

    Returns:
        The decomposition in nats, as `discrete_pid` returns it. An `i_12` between those limits but below the union
        information, which no joint table has but an estimate can have, makes the synergy negative. A problem of a batch
        whose `i_12` is outside has NaN and a status: `EXCEEDS_ENTROPY` above H(target), `NOT_A_DISTRIBUTION` below
        I_1 or I_2.

    Raises:
        TypeError: As `discrete_pid`.
        ValueError: As `discrete_pid`, for shapes that do not fit, and if no problem has a possible `i_12`.
    """
    redundancy = _check_settings(redundancy, tol)
    first, second = check_table("p_1t", p_1t, ("n1", "nt")), check_table("p_2t", p_2t, ("n2", "nt"))
    if first.shape[-1] != second.shape[-1] or first.shape[:-2] != second.shape[:-2]:
        raise ValueError(
            f"p_1t and p_2t need equal leading axes and as many classes in the last, got shapes {first.shape} and "
            f"{second.shape}: give absent classes a probability of 0."
        )
    tables = (("p_1t", p_1t), ("p_2t", p_2t))
    labels = join_axis_labels([(name, read_axis_labels(value, first.ndim - 2)) for name, value in tables])
    (p_1, status_1), (p_2, status_2) = as_distributions(first, 2), as_distributions(second, 2)
    refuse_all_bad("p_1t", first, status_1)
    refuse_all_bad("p_2t", second, status_2)
    p_1, p_2, status = reconcile(p_1, p_2, np.where(status_1 == Status.OK, status_2, status_1))
    if not (status == Status.OK).any():
        raise ValueError(
            "p_1t and p_2t need the same class probabilities (sums over cells), got others in every problem: divide "
            "both by those of each class, and multiply by common ones."
        )
    given = _read_i_12(i_12, status.shape)
    found = _decompose(p_1, p_2, given, _check_i_12(given, p_1, p_2, status), redundancy, tol, has_joint=False)
    return dataclasses.replace(found, leading_axes=labels)


def _check_settings(redundancy: Redundancy | None, tol: float) -> Redundancy:
    found = BROJA() if redundancy is None else redundancy
    class_measure_of(found)
    check_at_least("tol", tol, 0, is_open=True)
    return found


def _read_i_12(i_12: ArrayLike | None, leading: tuple[int, ...]) -> np.ndarray:
    if i_12 is None:
        return np.full(leading, np.nan)
    array = to_numpy("i_12", i_12).astype(np.float64)
    if array.shape not in ((), leading):
        raise ValueError(f"i_12 needs one number, or one for each problem, {leading}, got shape {array.shape}.")
    return np.broadcast_to(array, leading)


def _check_i_12(i_12: np.ndarray, p_1: np.ndarray, p_2: np.ndarray, status: np.ndarray) -> np.ndarray:
    """Return the status of problems, with those whose joint information is impossible.

    Raises:
        ValueError: If it is impossible in all problems whose tables are distributions.
    """
    least = np.maximum(information_of_table(p_1), information_of_table(p_2))
    most = entropy_of(p_1.sum(axis=-2), 1)
    is_good = status == Status.OK
    is_low = is_good & (i_12 < least - INFORMATION_ROUNDING)
    is_high = is_good & (i_12 > most + INFORMATION_ROUNDING)
    is_bad = is_low | is_high
    if np.array_equal(is_bad, is_good):
        first = np.unravel_index(np.argmax(is_bad), is_bad.shape)
        raise ValueError(
            f"i_12 needs at least max(I_1, I_2) = {least[first]:.6g} and at most H(target) = {most[first]:.6g} nats, "
            f"got {i_12[first]:.6g}: give that of the joint table in nats, or NaN if it is unknown."
        )
    status = np.where(is_low, Status.NOT_A_DISTRIBUTION, np.where(is_high, Status.EXCEEDS_ENTROPY, status))
    return status.astype(np.int32)


def _decompose(
    p_1: np.ndarray,
    p_2: np.ndarray,
    i_12: np.ndarray,
    status: np.ndarray,
    redundancy: Redundancy,
    tol: float,
    has_joint: bool,
) -> DiscreteEstimate:
    """Decompose checked tables; those with a bad status are 0."""
    i_1, i_2 = information_of_table(p_1), information_of_table(p_2)
    union = class_measure_of(redundancy).union(p_1, p_2, tol)
    # Identities of every measure here: 0 ≤ unique informations, 0 ≤ redundancy.
    lower = np.maximum(union.lower, np.maximum(i_1, i_2))
    upper = np.maximum(np.minimum(union.upper, i_1 + i_2), lower)
    if has_joint and isinstance(redundancy, BROJA):
        upper = np.maximum(np.minimum(upper, i_12), lower)
    is_wide = (status == Status.OK) & ~(upper - lower <= tol)
    status = np.where(is_wide, Status.NOT_CONVERGED, status).astype(np.int32)
    middle = (lower + upper) / 2
    information = Information(i_1=np.asarray(i_1), i_2=np.asarray(i_2), i_12=np.asarray(i_12))
    result = DiscreteEstimate(
        atoms=compose_atoms(information, 2 * middle - i_1 - i_2),
        information=information,
        entropy=np.asarray(entropy_of(p_1.sum(axis=-2), 1)),
        lower=np.asarray(lower),
        upper=np.asarray(upper),
        status=status,
        lam=union.lam,
        mu=union.mu,
        method=type(redundancy).__name__,
        settings={"redundancy": spec_to_dict(redundancy), "tol": tol},
    )
    return (
        result.without(np.where(status == Status.NOT_CONVERGED, Status.OK, status)) if (status != 0).any() else result
    )
