"""The result of decomposing tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pid_jax.decompose.dataset import Result
from pid_jax.decompose.result import ATOMS, INFORMATION, describe_status, span
from pid_jax.gaussian.information import Information
from pid_jax.pid.atoms import PIDAtoms

_AMOUNTS = ("atoms", "information", "entropy", "lower", "upper", "lam", "mu")
SHOWN_DECIMALS = 12  # smaller amounts are rounding
_AXES = {"lam": (..., "cell_1", "class"), "mu": (..., "cell_2", "class")}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DiscreteEstimate(Result, amounts=_AMOUNTS, axes=_AXES, flat=("atoms", "information")):
    """A batch of decompositions of tables. Every array has the leading axes of the input.

    Attributes:
        atoms: Redundancy, unique_1, unique_2, synergy. Those of BROJA follow from the middle of `lower` and `upper`.
        information: I_1, I_2, I_12; the last is NaN if it was not given.
        entropy: H(target), which no information exceeds.
        lower: Certified lower bound of the union information I_∪ = unique_1 + unique_2 + redundancy. Every atom is
            known within `upper` − `lower`. Measures without an optimization have equal bounds.
        upper: Certified upper bound.
        status: `Status` of each problem: NaN comes with `NOT_FINITE`, `NOT_A_DISTRIBUTION` and `EXCEEDS_ENTROPY`; with
            `NOT_CONVERGED` the bounds hold, and are wider than asked.
        lam: Dual variables (..., n1, nt) of BROJA; None for other measures. The union information of one event
            (a, b, y) is λ(a, y) + μ(b, y) − log p(y), whose mean is `lower`, and which is also the influence of the
            event on the union information. −inf where the table is 0.
        mu: Dual variables (..., n2, nt).
        method: Name of the settings of the measure.
        settings: Everything that was chosen, JSON-ready.
        unit: "nats" or "bits", of everything but status.
    """

    atoms: PIDAtoms
    information: Information
    entropy: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    status: np.ndarray
    lam: np.ndarray | None = None
    mu: np.ndarray | None = None
    method: str = "BROJA"
    settings: Mapping[str, Any] = field(default_factory=dict)
    unit: str = "nats"

    @property
    def gap(self) -> np.ndarray:
        """Certified width of the union information, `upper` − `lower`."""
        return self.upper - self.lower

    def __repr__(self) -> str:
        """Show one problem in full, or the range of many."""
        count = self.status.size
        lines = [f"DiscreteEstimate of {count} problem{'s' * (count != 1)} by {self.method}, in {self.unit}"]
        for title, values, names in (("atoms", self.atoms, ATOMS), ("information", self.information, INFORMATION)):
            parts = [f"{name} {span(np.round(getattr(values, name), SHOWN_DECIMALS))}" for name in names]
            lines.append(f"  {title + ':':<13}{', '.join(parts)}")
        lines.append(f"  {'H(target):':<13}{span(self.entropy)}")
        known = self.gap[np.isfinite(self.gap)]
        lines.append(f"  {'gap:':<13}{f'at most {known.max():.1e}' if known.size else 'NaN'}")
        return "\n".join([*lines, *describe_status(self.status)])
