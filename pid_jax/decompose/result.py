"""What the host functions return: NumPy arrays with the leading axes of the input, their units and their settings."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pid_jax.decompose.dataset import STATUS_FLAGS, Result, labeled, read_axes
from pid_jax.gaussian.information import Information
from pid_jax.gaussian.status import Status
from pid_jax.pid.atoms import PIDAtoms

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from pid_jax.normality.diagnostics import Diagnostics

VARIABLES = ("source_1", "source_2", "target")
ATOMS = tuple(f.name for f in dataclasses.fields(PIDAtoms))
INFORMATION = tuple(f.name for f in dataclasses.fields(Information))
_OF_ATOMS = ("bias", "lower", "upper")
# Arrays that a data set has under the names of the fields: their last axes, and attributes.
_ARRAYS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "status": ((), STATUS_FLAGS),
    "cov": (("row", "column"), {}),
    "explained_variance": (("variable",), {"units": "1"}),
    "rank": (("variable",), {}),
    "shrinkage": ((), {"units": "1"}),
    "gaussianizer": ((), {}),
}
_IN_JSON = ("dims", "settings", "notes", "findings")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PIDEstimate(Result, amounts=("atoms", "information", "gap", *_OF_ATOMS), axes={"flow": ()}, version=3):
    """A batch of decompositions. Every array has the leading axes of the input.

    Attributes:
        atoms: Redundancy, unique_1, unique_2, synergy.
        information: I_1, I_2, I_12.
        status: `Status` of each problem. Where it is `INFINITE_INFORMATION` what is finite is there and what is
            infinite is `inf`: if each source alone has finite information, only I_12 and the synergy are infinite; else
            the atoms are NaN. Where there is no covariance all numbers are NaN.
        gap: Certificate of the optimization: upper minus lower bound on the union information of the whitened
            covariance, zero up to rounding. NaN for measures without an optimization.
        cov: Joint covariance (..., D, D) that was decomposed, in the order source_1, source_2, target.
        dims: (d1, d2, dt).
        samples: Number of samples, None if unknown.
        explained_variance: Fraction of variance kept by the reduction, (..., 3) over `VARIABLES`; None without samples.
        rank: Coordinates that carry variance after the reduction, (..., 3); None without samples.
        shrinkage: Weight of the multiple of the identity in a shrunk covariance; None without samples.
        bias: What was subtracted from each atom; None if nothing was.
        lower: Lower ends of 90 % intervals of the atoms, if the bias was estimated. With flows they say between which
            values the truth lies if the fit has missed as little, or as much, as it can have; not the chance that the
            maps are of the wrong kind.
        upper: Upper ends.
        gaussianizer: Name of the map that made the variables of each problem Gaussian; None without samples.
        notes: What was done differently than asked, and which variables are discrete, in plain words.
        diagnostics: What is not Gaussian in the latents; None without samples, or where these came in blocks.
        findings: The same in plain words, adjusted over all problems, with what there is to say about flows that have
            over-fitted, have few samples, were not needed, or have left variables skewed.
        flow: The fitted flows (`FlowFit`), for the problems that have one. `save` leaves it out; see `FlowFit.save`.
        settings: Everything that was chosen, JSON-ready.
        unit: "nats" or "bits", of atoms, information, gap, bias and intervals.
    """

    atoms: PIDAtoms
    information: Information
    status: np.ndarray
    gap: np.ndarray
    cov: np.ndarray
    dims: tuple[int, int, int]
    samples: int | None = None
    explained_variance: np.ndarray | None = None
    rank: np.ndarray | None = None
    shrinkage: np.ndarray | None = None
    bias: PIDAtoms | None = None
    lower: PIDAtoms | None = None
    upper: PIDAtoms | None = None
    gaussianizer: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    diagnostics: "Diagnostics | None" = None
    findings: tuple[str, ...] = ()
    flow: Any = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    unit: str = "nats"

    def to_xarray(self, axes: Sequence[str] | None = None) -> "xr.Dataset":
        """Return a labelled data set.

        Args:
            axes: Names of the leading axes; their own, or "batch_0", "batch_1", ..., if not given.

        Raises:
            ValueError: If the names do not fit.
        """
        from pid_jax.normality.diagnose import flatten

        lead = self._name_axes(axes, self.status.ndim)
        amounts = vars(self.atoms) | vars(self.information) | {"gap": self.gap}
        for role in _OF_ATOMS:
            atoms = getattr(self, role)
            amounts |= {} if atoms is None else {_named(name, role): value for name, value in vars(atoms).items()}
        data = {name: ([*lead], value, {"units": self.unit}) for name, value in amounts.items()}
        for name, (trailing, attributes) in _ARRAYS.items():
            value = getattr(self, name)
            if value is not None:
                text = value.dtype.kind == "U"
                data[name] = ([*lead, *trailing], value.astype(object) if text else value, attributes)
        if self.diagnostics is not None:
            data |= {name: ([*lead, *axes], value, unit) for name, axes, value, unit in flatten(self.diagnostics)}
        attrs = self._common_attributes(lead) | {name: json.dumps(getattr(self, name)) for name in _IN_JSON}
        attrs |= {"samples": -1 if self.samples is None else self.samples, "unit": self.unit}
        coords = {"variable": list(VARIABLES)} if "rank" in data else {}
        return labeled(lead, data, coords, attrs)

    def to_dataframe(self, axes: Sequence[str] | None = None) -> "pd.DataFrame":
        """Return one row a problem (needs pandas): atoms, informations, gap and status."""
        table = self.to_xarray(axes)[[*ATOMS, *INFORMATION, "gap", "status"]]
        if self.status.ndim == 0:
            table = table.expand_dims("problem")
        return table.to_dataframe().reset_index(drop=self.status.ndim == 0)

    @classmethod
    def from_xarray(cls, data: "xr.Dataset") -> "PIDEstimate":
        """Return the estimate that `to_xarray` made a data set of; it has no flow.

        Raises:
            ValueError: If it was made of something else.
        """
        from pid_jax.normality.diagnose import unflatten

        cls._check_schema(data)
        n = int(data.attrs["samples"])
        found = {name: data[name].values for name in ("gap", *_ARRAYS) if name in data}
        if "gaussianizer" in found:
            found["gaussianizer"] = found["gaussianizer"].astype(str)
        read = {name: json.loads(data.attrs[name]) for name in _IN_JSON}
        read |= {name: tuple(value) for name, value in read.items() if isinstance(value, list)}
        return cls(
            atoms=PIDAtoms(**{name: data[name].values for name in ATOMS}),
            information=Information(**{name: data[name].values for name in INFORMATION}),
            samples=None if n < 0 else n,
            diagnostics=unflatten(data),
            unit=data.attrs["unit"],
            leading_axes=read_axes(data),
            **{role: _read_atoms(data, role) for role in _OF_ATOMS},
            **found,
            **read,
        )

    def _describe(self, values: PIDAtoms | Information, name: str) -> str:
        text = f"{name} {span(np.asarray(getattr(values, name)))}"
        if values is self.atoms and self.lower is not None and self.upper is not None and self.status.size == 1:
            ends = (span(np.asarray(getattr(end, name))) for end in (self.lower, self.upper))
            text += f" [{', '.join(ends)}]"
        return text

    def __repr__(self) -> str:
        """Show one problem in full, or the range of many."""
        n = "" if self.samples is None else f", n = {self.samples}"
        head = f"PIDEstimate of {self.status.size} problem{'s' * (self.status.size != 1)}, dims {self.dims}{n}"
        rows = [("atoms", self.atoms, ATOMS), ("information", self.information, INFORMATION)]
        lines = [f"{head}, in {self.unit}"]
        for title, values, names in rows:
            parts = [self._describe(values, name) for name in names]
            lines.append(f"  {title + ':':<13}{', '.join(parts)}")
        bad = {Status(code).name: int((self.status == code).sum()) for code in np.unique(self.status) if code}
        lines.append(f"  {'status:':<13}{bad or 'all OK'}; largest |gap| {_largest(self.gap)}")
        if self.gaussianizer is not None:
            names, counts = np.unique(self.gaussianizer, return_counts=True)
            parts = [f"{name} ({count})" for name, count in zip(names, counts, strict=True)]
            lines.append(f"  {'Gaussian by:':<13}{', '.join(parts)}")
        lines += [f"  {'note:':<13}{note}" for note in self.notes]
        lines += [f"  {'finding:':<13}{finding}" for finding in self.findings]
        return "\n".join(lines)


def _named(atom: str, role: str) -> str:
    """Name what belongs to an atom in a data set: "bias_synergy", "synergy_lower"."""
    return f"{role}_{atom}" if role == "bias" else f"{atom}_{role}"


def _read_atoms(data: "xr.Dataset", role: str) -> PIDAtoms | None:
    """Read what belongs to the atoms, if a data set has it."""
    if _named(ATOMS[0], role) not in data:
        return None
    return PIDAtoms(**{name: data[_named(name, role)].values for name in ATOMS})


def span(values: np.ndarray, form: str = ".4g") -> str:
    """Return a number, or the range of several, as text in a format; NaN if none is known."""
    known = values[~np.isnan(values)]
    if not known.size:
        return "NaN"
    low, high = float(known.min()), float(known.max())
    form = form.replace("+", "+z") if "+" in form else f"z{form}"  # no zero has a minus
    return f"{low:{form}}" if values.size == 1 else f"{low:{form}} to {high:{form}}"


def describe_status(status: np.ndarray) -> list[str]:
    """Return a line with the statuses other than `OK` and how many problems have each, or no line."""
    bad = {Status(code).name: int((status == code).sum()) for code in np.unique(status) if code}
    return [f"  {'status:':<13}{bad}"] if bad else []


def _largest(gap: np.ndarray) -> str:
    finite = np.abs(gap[np.isfinite(gap)])
    return f"{float(finite.max()):.1e}" if finite.size else "not defined"
