"""What a Gaussianizer is: a record of its settings, its names, the function that fits it, what is special about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from pid_jax.reduce.pca import Reduced
from pid_jax.runtime.progress import Progress
from pid_jax.runtime.registry import check_texts
from pid_jax.settings.gaussianize import Gaussianizer

if TYPE_CHECKING:  # flows are loaded on first use: Flax and Distrax take seconds
    from pid_jax.flow.fitted import FlowFit
    from pid_jax.flow.refit import Replicates


@dataclass(frozen=True, kw_only=True)
class Latents:
    """Latents of all variables side by side, and where they come from. All problems are on one leading axis.

    Attributes:
        values: Latents (problems, n, D) in float64.
        gaussianizer: Name of what made those of each problem.
        fit: The flow, if there is one; it holds those problems only that can have one.
        fitted: Which problems these are.
        replicates: What `refit_covariances` found for some problems.
        used: Which problems have the latents of their flow; those of `replicates`.
        preferred: Of all problems, the name of the map that held-out samples prefer, empty without a flow; None if no
            maps were compared.
        gain: Of all problems, how much likelier held-out samples are with the flow than with the best other map, in
            nats a sample; NaN without a flow.
        notes: What was done differently than asked, in plain words.
    """

    values: np.ndarray
    gaussianizer: np.ndarray
    fit: "FlowFit | None" = None
    fitted: np.ndarray | None = None
    replicates: "Replicates | None" = None
    used: np.ndarray | None = None
    preferred: np.ndarray | None = None
    gain: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Gaussianizer, values: np.ndarray) -> "Latents":
        """Make latents (problems, n, D) that one Gaussianizer made in all problems."""
        return cls(values=values, gaussianizer=np.full(len(values), type(settings).__name__))


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """Everything besides samples and settings that a Gaussianizer may use.

    Attributes:
        key: A JAX random key.
        progress: Called with steps done and all there are.
        is_corrected: Whether the bias of the atoms is subtracted, for which flows are fitted again.
        labels: Names of the variables in notes.
        problem: Name of a problem in notes.
    """

    key: jax.Array
    progress: Progress
    is_corrected: bool
    labels: Sequence[str]
    problem: str


@dataclass(frozen=True, kw_only=True)
class GaussianizerRecord:
    """One Gaussianizer, with everything that is special about it.

    Attributes:
        name: Name in study files and on the command line.
        label: Name in figures and on the page.
        default: Settings that this name stands for. Results and their files name the class.
        fit: Makes latents of reduced variables. Each variable has scores (problems or 1, n, d) in float64, and columns
            without variance are zero.
        is_ranked: Whether latents are normal scores of the ranks of single coordinates. Their noise is then removed
            from covariances and counted in intervals and tests; other latents are taken as exact.
    """

    name: str
    label: str
    default: Gaussianizer
    fit: Callable[[Sequence[Reduced], Any, FitOptions], Latents]
    is_ranked: bool = False

    def __post_init__(self) -> None:
        check_texts("GaussianizerRecord", name=self.name, label=self.label)
        params = getattr(self.default, "__dataclass_params__", None)
        if not isinstance(self.default, Gaussianizer) or params is None or not params.frozen:
            raise TypeError(
                "GaussianizerRecord(default=...) needs settings: an object of a frozen dataclass derived from "
                f"Gaussianizer, got {self.default!r}."
            )
        if not callable(self.fit):
            raise TypeError(f"GaussianizerRecord(fit=...) needs a function that makes Latents, got {self.fit!r}.")

    @property
    def method(self) -> str:
        """Name of its settings in results."""
        return type(self.default).__name__
