"""Settings: frozen, hashable dataclasses with a default for every field. A method is chosen by its type."""

import dataclasses
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard, get_args

from pid_jax.pid.broja import BROJA
from pid_jax.pid.measure import Redundancy
from pid_jax.pid.registry import MEASURES, measure_of
from pid_jax.runtime.by_type import by_type
from pid_jax.runtime.checks import check_between, check_fraction, check_positive_int
from pid_jax.settings.gaussianize import FLOW_SETTINGS, Copula, Gaussianizer, check_gaussianizer


@dataclass(frozen=True)
class Exact:
    """Principal components by the eigendecomposition of the smaller of covariance and Gram matrix."""


@dataclass(frozen=True)
class Randomized:
    """Principal components from a block Krylov space; exact ones where that is as cheap, up to 512 features or samples.

    Attributes:
        oversample: Columns of a block beyond the components wanted.
        power_iterations: Products with the covariance before the components found are judged.
        tolerance: Angle to the exact subspace in radians, by its bound, above which the search goes on from them.
        restarts: How often it goes on at most. The bound that was reached is in the basis.
    """

    oversample: int = 4
    power_iterations: int = 7
    tolerance: float = 1e-3
    restarts: int = 3

    def __post_init__(self) -> None:
        for name in ("oversample", "power_iterations", "restarts"):
            check_positive_int(f"Randomized({name}=...)", getattr(self, name))
        check_fraction("Randomized(tolerance=...)", self.tolerance)


Solver = Exact | Randomized


@dataclass(frozen=True)
class PCA:
    """Reduce each variable to its leading principal components.

    A variable with no more columns than components keeps its columns as they are, unless some nearly repeat others:
    these are rotated to their principal axes, and repetitions are dropped. The result notes whatever was left out.

    Attributes:
        dim: Components kept: one number for all, or (source_1, source_2, target). A variable of lower rank keeps
            its rank; the result reports both.
        variance: Fraction of the variance to keep, such as 0.95: of every variable the fewest components that hold it,
            and `dim` at most. Their number, `rank` of the result, then differs between problems; in a study all layers
            of a task keep as many as the layer that needs most. Components are rotated also where there are no more
            columns than `dim`. None keeps `dim` components.
        rank_cut: Components with at most this fraction of the leading variance count as rounding noise. The default
            is a relative amplitude of 1e-5, above the noise of states computed in float32.
        standardize: Whether columns count in units of their standard deviations. It is wise where columns have
            different units, or a few have most of the variance, as in the residual streams of language models, whose
            few huge coordinates take whole components without it. It is not where scales mean something: small
            columns may be noise, which then counts as much as the others.
        solver: `Randomized` or `Exact`.
    """

    dim: int | tuple[int, int, int] = 16
    variance: float | None = None
    rank_cut: float = 1e-10
    standardize: bool = False
    solver: Solver = field(default_factory=Randomized)

    def __post_init__(self) -> None:
        if isinstance(self.dim, list):
            object.__setattr__(self, "dim", tuple(self.dim))
        dims = self.dim if isinstance(self.dim, tuple) else (self.dim,) * 3
        if len(dims) != 3:
            raise ValueError(
                f"PCA(dim=...) needs one number or three (source_1, source_2, target), got {len(dims)} numbers."
            )
        for value in dims:
            check_positive_int("PCA(dim=...)", value)
        if self.variance is not None:
            check_between("PCA(variance=...)", self.variance, 0, 1)
        check_fraction("PCA(rank_cut=...)", self.rank_cut)
        if not isinstance(self.standardize, bool):
            raise TypeError(f"PCA(standardize=...) needs True or False, got {self.standardize!r}.")
        if not isinstance(self.solver, Solver):
            raise TypeError(f"PCA(solver=...) needs Randomized() or Exact(), got {self.solver!r}.")

    @property
    def dims(self) -> tuple[int, int, int]:
        """Components asked for, for (source_1, source_2, target)."""
        return self.dim if isinstance(self.dim, tuple) else (self.dim, self.dim, self.dim)


@dataclass(frozen=True)
class NoReduction:
    """Use every variable as it comes."""


@dataclass(frozen=True)
class SampleCovariance:
    """The unbiased sample covariance."""


@dataclass(frozen=True)
class LedoitWolf:
    """Sample covariance shrunk towards a multiple of the identity, by the amount of Ledoit & Wolf (2004).

    It exists for any number of samples, also fewer than dimensions. All coordinates are shrunk alike, so they should
    have comparable units: after `Copula` they have.
    """


@dataclass(frozen=True)
class OAS:
    """Sample covariance shrunk by the oracle approximating amount of Chen, Wiesel, Eldar & Hero (2010).

    Closer to the truth than `LedoitWolf` if the samples are Gaussian. The same remark on units holds.
    """


@dataclass(frozen=True)
class ParametricBootstrap:
    """Estimate the bias of the atoms by decomposing sample covariances drawn from the estimated one, and subtract it.

    Corrected atoms can be slightly negative. Shrunk covariances are not corrected: their bias is not that of sampling.

    Attributes:
        draws: Number of sample covariances.
    """

    draws: int = 100

    def __post_init__(self) -> None:
        check_positive_int("ParametricBootstrap(draws=...)", self.draws)


@dataclass(frozen=True)
class IndirectInference:
    """Estimate bias and intervals from models among whose samples the data are typical, and subtract the bias.

    Sample covariances of such models spread the contrast between the sources as far as the data show; those of the
    sample covariance itself, which the bootstrap draws, spread it twice. Corrected atoms can be slightly negative.
    Shrunk covariances are not corrected: their bias is not that of sampling.

    Attributes:
        draws: Number of sample covariances of each model.
    """

    draws: int = 100

    def __post_init__(self) -> None:
        check_positive_int("IndirectInference(draws=...)", self.draws)


@dataclass(frozen=True)
class NoCorrection:
    """Report the decomposition of the estimated covariance itself, which reads high at small n."""


Reduction = PCA | NoReduction
CovarianceEstimator = SampleCovariance | LedoitWolf | OAS
BiasCorrection = IndirectInference | ParametricBootstrap | NoCorrection


@dataclass(frozen=True)
class PIDSpec:
    """All settings of `estimate_pid`, one stage a field.

    Attributes:
        reduction: `PCA` or `NoReduction`.
        gaussianize: `RealNVP`, `Copula`, `NoGaussianization`, or `Auto` to choose for each problem.
        covariance: `SampleCovariance`, `LedoitWolf` or `OAS`.
        redundancy: The measure: `BROJA` or `MMI`.
        bias_correction: `IndirectInference`, `ParametricBootstrap` or `NoCorrection`.

    Example:
        >>> from pid_jax import PCA, PIDSpec, RealNVP
        >>> spec = PIDSpec(reduction=PCA(dim=(12, 12, 8)), gaussianize=RealNVP())
        >>> spec.redundancy
        BROJA(rank_cut=1e-13)
    """

    reduction: Reduction = field(default_factory=PCA)
    gaussianize: Gaussianizer = field(default_factory=Copula)
    covariance: CovarianceEstimator = field(default_factory=SampleCovariance)
    redundancy: Redundancy = field(default_factory=BROJA)
    bias_correction: BiasCorrection = field(default_factory=IndirectInference)

    def __post_init__(self) -> None:
        check_gaussianizer("PIDSpec(gaussianize=...)", self.gaussianize)
        measure_of(self.redundancy, "PIDSpec(redundancy=...)")
        for name, allowed in _STAGES.items():
            value = getattr(self, name)
            if not isinstance(value, allowed):
                wanted = " or ".join(f"{cls.__name__}()" for cls in allowed)
                raise TypeError(f"PIDSpec({name}=...) needs {wanted}, got {value!r}.")


_STAGES: dict[str, tuple[type, ...]] = {
    "reduction": get_args(Reduction),
    "covariance": get_args(CovarianceEstimator),
    "bias_correction": get_args(BiasCorrection),
}


def spec_to_dict(spec: Any) -> dict[str, Any]:
    """Describe a spec as plain JSON-ready values; the class name stands under "method"."""
    return {"method": type(spec).__name__} | {f.name: _plain(getattr(spec, f.name)) for f in dataclasses.fields(spec)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return spec_to_dict(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def spec_from_dict(description: Mapping[str, Any]) -> Any:
    """Make a flow's settings, or a redundancy measure, from what `spec_to_dict` wrote.

    Raises:
        TypeError: If the method is none of these.
    """
    known = {cls.__name__: cls for cls in (*FLOW_SETTINGS, *(measure.settings for measure in MEASURES.values()))}
    method = description["method"]
    if method not in known:
        raise TypeError(f"settings need a method among {', '.join(known)} here, got {method!r}.")
    fields = {
        name: spec_from_dict(value) if isinstance(value, Mapping) else value
        for name, value in description.items()
        if name != "method"
    }
    if method == BROJA.__name__ and fields.pop("dtype", "float64") != "float64":  # a field of earlier versions
        warnings.warn(
            'BROJA(dtype="float32") is read as BROJA(), whose atoms differ by less than 1e-4 nats.', stacklevel=2
        )
    return known[method](**fields)


def is_pca(reduction: Reduction) -> TypeGuard[PCA]:
    """Return whether variables are reduced; a TypeError for an unknown reduction."""
    return by_type("reduction", reduction, {PCA: True, NoReduction: False})


def is_shrunk(covariance: CovarianceEstimator) -> bool:
    """Return whether a covariance is shrunk; a TypeError for an unknown estimator."""
    return by_type("covariance", covariance, {SampleCovariance: False, LedoitWolf: True, OAS: True})
