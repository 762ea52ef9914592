"""What a redundancy measure consists of: settings, functions and names, in one record."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import jax
from jaxtyping import Array, Float

from pid_jax.gaussian.information import Information
from pid_jax.gaussian.whitened import WhitenedGaussian
from pid_jax.pid.atoms import PIDAtoms, PIDSolution
from pid_jax.runtime.checks import check_fraction
from pid_jax.runtime.registry import check_texts


@dataclass(frozen=True)
class Redundancy:
    """Settings of a redundancy measure, of which each has a subclass.

    Attributes:
        rank_cut: Directions of a variable whose variance is below this fraction of its largest are dropped.
    """

    rank_cut: float = 1e-13

    def __post_init__(self) -> None:
        check_fraction(f"{type(self).__name__}(rank_cut=...)", self.rank_cut)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What sampling did to a decomposition.

    Attributes:
        bias: By how much the atoms read high.
        information_bias: The same of I_1, I_2, I_12.
        lower: Lower ends of the intervals of the atoms.
        upper: Upper ends.
    """

    bias: PIDAtoms
    information_bias: Information
    lower: PIDAtoms
    upper: PIDAtoms


Calibrate = Callable[..., Calibration]
"""Bias and intervals from a sample covariance, its dims, n − 1, factors of white Wishart matrices (see `WhiteFactors`),
the probability that an interval is to hold the truth, and the number of leading coordinates of source_2 that are linear
functions of source_1; see `calibrate_broja`."""
Unique = Callable[[Information, Float[Array, "... dt"]], Float[Array, "..."]]
"""U_1 + U_2 from the informations and the half log ratios (see `Contrast`) of covariances."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """All that is special about a redundancy measure. Only what has no default here is needed.

    Attributes:
        settings: Its subclass of `Redundancy`, without fields of its own.
        name: What files and results call it.
        label: What readers call it.
        solve: Decomposes one whitened problem. JAX differentiates it for influences and jackknives.
        unique: U_1 + U_2, see `Unique`, which makes parametric replicates cheap. Without it each replicate is
            decomposed by `solve`.
        calibrate: Bias and intervals of the atoms of samples, see `Calibrate`. Without it `IndirectInference` and
            `Calibrated` are refused.
        remark: What it counts and what readers must know of it: sentences that continue its label on the page.
    """

    settings: type[Redundancy]
    name: str
    label: str
    solve: Callable[[WhitenedGaussian], PIDSolution]
    unique: Unique | None = None
    calibrate: Calibrate | None = None
    remark: str = ""

    def __post_init__(self) -> None:
        check_texts("Measure", name=self.name, label=self.label)
        _check_settings(self.settings)
        if not callable(self.solve):
            raise TypeError(f"Measure(solve=...) needs a function of one whitened problem, got {self.solve!r}.")

    @property
    def method(self) -> str:
        """Name of its settings in results."""
        return self.settings.__name__


def _check_settings(settings: Any) -> None:
    """Refuse settings that no function of a record would get."""
    if not isinstance(settings, type) or not issubclass(settings, Redundancy) or settings is Redundancy:
        raise TypeError(f"Measure(settings=...) needs a subclass of Redundancy, got {settings!r}.")
    own = [field.name for field in fields(settings) if field.name != "rank_cut"]
    if own:
        raise TypeError(
            f"Measure(settings=...) needs a class with no field but rank_cut, got {settings.__name__} with "
            f"{', '.join(own)}: solve gets the whitened problem only, so register one measure for each value."
        )
