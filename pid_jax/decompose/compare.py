"""One covariance by several measures, and how many of them agree on a statement."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pid_jax.decompose.dataset import Result
from pid_jax.decompose.pid import solve_pid
from pid_jax.decompose.result import ATOMS, PIDEstimate, describe_status, span
from pid_jax.gaussian.information import Information
from pid_jax.pid.atoms import PIDAtoms
from pid_jax.pid.measure import Redundancy
from pid_jax.pid.registry import MEASURES, measure_of

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, kw_only=True, eq=False)
class Agreement:
    """In which measures a statement holds. Arrays have the leading axes of the problems.

    Attributes:
        holds: Whether it holds, (measure, ...).
        count: In how many measures it holds, of those that have atoms, (...).
        total: How many measures have atoms, (...).
        measures: Names of the measures.
    """

    holds: np.ndarray
    count: np.ndarray
    total: np.ndarray
    measures: tuple[str, ...]

    def names(self, problem: int | tuple[int, ...] = ()) -> tuple[str, ...]:
        """Return the names of the measures in which the statement holds, of one problem."""
        at = problem if isinstance(problem, tuple) else (problem,)
        return tuple(name for name, holds in zip(self.measures, self.holds[:, *at], strict=True) if holds)

    def __repr__(self) -> str:
        """Say how many measures agree, with their names if there is one problem."""
        if self.count.size > 1:
            counts = span(self.count.astype(float), ".0f")
            return (
                f"The statement holds under {counts} of {int(self.total.max())} measures in {self.count.size} problems"
            )
        first = (0,) * self.count.ndim
        named = ", ".join(self.names(first)) or "none"
        return f"The statement holds under {int(self.count[first])} of {int(self.total[first])} measures: {named}"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MeasureComparison(
    Result,
    amounts=("atoms", "information", "gap"),
    axes={"atoms": ("measure", ...), "gap": ("measure", ...)},
    flat=("information",),
):
    """Atoms of the same covariances by several measures.

    Attributes:
        atoms: The four atoms, (measure, ...), NaN where a measure has none.
        information: I_1, I_2 and I_12 (...), the same for all measures.
        status: `Status` of each problem.
        gap: What each measure says about its own numerical error, (measure, ...); NaN for closed forms.
        measures: Names of the measures.
        labels: What readers call them.
        notes: Measures that were left out, and why.
        unit: "nats" or "bits".
    """

    atoms: PIDAtoms
    information: Information
    status: np.ndarray
    gap: np.ndarray
    measures: tuple[str, ...]
    labels: tuple[str, ...]
    notes: tuple[str, ...] = field(default_factory=tuple)
    unit: str = "nats"

    def to_xarray(self, axes: Sequence[str] | None = None) -> "xr.Dataset":
        """Return a labeled data set, with the names of the measures as labels.

        Args:
            axes: Names of the leading axes of problems; "batch_0", "batch_1", ... if not given.

        Raises:
            ValueError: If the names do not fit.
        """
        return super().to_xarray(axes).assign_coords(measure=[*self.measures])

    def of(self, measure: str) -> PIDAtoms:
        """Return the atoms by one measure.

        Raises:
            ValueError: If it is not among `measures`.
        """
        if measure not in self.measures:
            raise ValueError(f"measure needs one of {', '.join(self.measures)}, got {measure!r}.")
        at = self.measures.index(measure)
        return PIDAtoms(**{name: value[at] for name, value in vars(self.atoms).items()})

    def count(self, statement: Callable[[PIDAtoms], Any]) -> Agreement:
        """Find in how many measures a statement about the atoms holds.

        Args:
            statement: A function of the atoms, whose arrays are (measure, ...), that returns true where it holds.

        Raises:
            TypeError: If it returns something else than one truth value for each measure and problem.
        """
        found = np.asarray(statement(self.atoms))
        shape = np.shape(self.atoms.redundancy)
        if found.dtype != bool or found.shape != shape:
            raise TypeError(
                f"statement needs a function that returns truth values of shape {shape}, got {found.dtype} of shape "
                f"{found.shape}: compare atoms, as in lambda atoms: atoms.unique_1 > atoms.unique_2."
            )
        is_known = ~np.isnan(np.stack([*vars(self.atoms).values()])).any(axis=0)
        holds = found & is_known
        return Agreement(holds=holds, count=holds.sum(axis=0), total=is_known.sum(axis=0), measures=self.measures)

    def __repr__(self) -> str:
        """Show a table of the atoms, or of their ranges over problems."""
        number = self.status.size
        rows = [["", *ATOMS, "largest |gap|"]]
        for at, label in enumerate(self.labels):
            shown = [span(np.asarray(getattr(self.atoms, name)[at])) for name in ATOMS]
            gap = np.abs(self.gap[at][np.isfinite(self.gap[at])])
            rows.append([label, *shown, f"{gap.max():.1e}" if gap.size else "closed form"])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"MeasureComparison of {number} problem{'s' * (number != 1)}, in {self.unit}"]
        lines += ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join([*lines, *describe_status(self.status), *(f"  {'note:':<13}{note}" for note in self.notes)])


def compare_measures(estimate: PIDEstimate, measures: Sequence[Redundancy] | None = None) -> MeasureComparison:
    """Decompose the covariance of an estimate by several measures.

    The bias is not corrected, which only some measures allow: all atoms are those of `estimate.cov` as it is.

    Args:
        estimate: The estimate, with its covariances.
        measures: Settings of measures; all that are registered if not given. Of those the ones that refuse the dims
            are left out, with a note.

    Raises:
        TypeError: If `estimate` is no `PIDEstimate`, or something in `measures` no settings of a measure.
        ValueError: If `measures` is empty or names one twice, or a measure of it refuses the dims.

    Example:
        >>> from pid_jax import BROJA, MMI, IDep, compare_measures, gaussian_pid
        >>> from pid_jax.testing.systems import parallel_channels
        >>> estimate = gaussian_pid(*parallel_channels(snr_1=[3.0, 0.0], snr_2=[1.0, 1.0]).problem)
        >>> compared = compare_measures(estimate, [BROJA(), MMI(), IDep()])
        >>> compared.count(lambda atoms: atoms.unique_1 > atoms.synergy)
        The statement holds under 2 of 3 measures: broja, idep
    """
    if not isinstance(estimate, PIDEstimate):
        raise TypeError(f"estimate needs a PIDEstimate, as gaussian_pid returns, got {type(estimate).__name__}.")
    chosen = [measure.settings() for measure in MEASURES.values()] if measures is None else [*measures]
    records = [measure_of(one, "compare_measures(measures=...)") for one in chosen]
    names = [record.name for record in records]
    if not chosen or len(set(names)) < len(names):
        raise ValueError(f"measures needs at least one, and none twice, got {names}.")
    solved, notes = {}, []
    for one, record in zip(chosen, records, strict=True):
        try:
            solved[record.name] = solve_pid(estimate.cov, estimate.dims, one)
        except ValueError as error:
            if measures is not None:
                raise
            notes.append(f"{record.label} is left out: {error}")
    first = next(iter(solved.values()))
    found = MeasureComparison(
        atoms=PIDAtoms(**{n: np.stack([getattr(one.atoms, n) for one in solved.values()]) for n in ATOMS}),
        information=first.information,
        status=first.status,
        gap=np.stack([one.gap for one in solved.values()]),
        measures=tuple(solved),
        labels=tuple(MEASURES[name].label for name in solved),
        notes=tuple(notes),
        leading_axes=estimate.leading_axes,
    )
    return found.in_bits() if estimate.unit == "bits" else found
