"""Settings of the stage that makes variables jointly Gaussian: frozen, hashable dataclasses."""

from dataclasses import dataclass, field, fields
from typing import Any, TypeGuard, get_args

from pid_jax.runtime.by_type import by_type
from pid_jax.runtime.checks import check_at_least, check_fraction, check_positive_int


class Gaussianizer:
    """Base of the settings of every Gaussianizer; `pid_jax.estimate.gaussianize.GAUSSIANIZERS` lists what each does."""


@dataclass(frozen=True)
class NoGaussianization(Gaussianizer):
    """Take the samples as jointly Gaussian."""


@dataclass(frozen=True)
class Copula(Gaussianizer):
    """Map each coordinate to a standard normal by its ranks (Gaussian rank copula).

    Equal values share one rank, and so do scores of a reduction that differ by no more than rounding can have done to
    them. Strictly monotone maps of single coordinates change nothing, to the last bit.

    Attributes:
        tie_tolerance: Values that agree within this fraction of the spread of their column share one rank as well, so
            that noise between equal states is not spread over the whole normal range. The spread is the distance of
            the quartiles over that of a standard normal.
    """

    tie_tolerance: float = 0.0

    def __post_init__(self) -> None:
        check_fraction("Copula(tie_tolerance=...)", self.tie_tolerance)


@dataclass(frozen=True)
class Standardize:
    """Scale each coordinate to mean zero and variance one."""


@dataclass(frozen=True)
class Joint:
    """Maximize the likelihood of all latents under one Gaussian, whose covariance is that of the batch itself.

    Each map alone is only defined up to maps that preserve a Gaussian; this objective picks those that make the
    variables jointly Gaussian, and with them the information comes out right.
    """


@dataclass(frozen=True)
class Marginal:
    """Maximize the likelihood of each variable under a standard normal, one by one.

    The reading of the paper that proposed the method (arXiv 2602.15580); kept for comparison. Pairs of variables need
    not be jointly Gaussian afterwards, and the information is then a lower bound.
    """


ACTIVATIONS = ("relu", "silu")
Marginals = Copula | Standardize
Objective = Joint | Marginal


@dataclass(frozen=True, kw_only=True)
class RealNVP(Gaussianizer):
    """Normalizing flows of affine couplings, one a variable, fitted to make all variables jointly Gaussian.

    Fields that are None are chosen from the number of samples and the dims (`pid_jax.flow.recipe`, docs/flows.md); the
    settings of a result name what was chosen.

    Attributes:
        couplings: Affine couplings, each behind a learned linear map and a learned sinh-arcsinh map.
        width: Units in the hidden layer of a conditioner.
        activation: What those units compute: "relu" or "silu".
        marginals: What every coordinate goes through first: `Copula`, a smooth monotone map, or `Standardize`.
        knots: Knots of that map.
        unmixings: How many linear maps to independent components are tried, the first in front of those maps, others
            behind; each is taken if the held-out samples are more likely with it. With `Copula` only.
        objective: `Joint` or `Marginal`.
        epochs: Passes through the training samples.
        batch_size: Samples a step; as many as there are, or more, for all.
        learning_rate: Peak of the one-cycle schedule of AdamW.
        weight_decay: Decoupled decay of all weights towards the identity map.
        input_noise: Standard deviation of the noise added to the coordinates at every step.
        validation_fraction: Samples held out.
        evaluations: How often the held-out samples are evaluated.
        refits: Data sets drawn from the fitted model and fitted again, to measure the bias of the fit and take it off;
            none to correct for the sampling of the covariance only.
        intervals: Whether as many Gaussian data sets are fitted too: intervals come from both. Without it a fit takes a
            third less time, the fitted model alone says the bias, and there are no intervals.
        gaussian_share: Part of the bias taken off that the Gaussian data sets say; the fitted model says the rest.
    """

    couplings: int | None = None
    width: int | None = None
    activation: str | None = None
    marginals: Marginals = field(default_factory=Copula)
    knots: int | None = None
    unmixings: int = 2
    objective: Objective = field(default_factory=Joint)
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    input_noise: float | None = None
    validation_fraction: float | None = None
    evaluations: int = 25
    refits: int | None = None
    intervals: bool = True
    gaussian_share: float | None = None

    def __post_init__(self) -> None:
        for one in fields(self):
            value, (check, *limits) = getattr(self, one.name), _CHECKS[one.name]
            if value is not None or one.default is not None:
                check(f"RealNVP({one.name}=...)", value, *limits)


def _check_choice(name: str, value: object, kinds: tuple[type, ...]) -> None:
    if not isinstance(value, kinds):
        wanted = " or ".join(f"{kind.__name__}()" for kind in kinds)
        raise TypeError(f"{name} needs {wanted}, got {value!r}.")


def _check_activation(name: str, value: object) -> None:
    if value not in ACTIVATIONS:
        raise ValueError(f"{name} needs {' or '.join(map(repr, ACTIVATIONS))}, got {value!r}.")


def _check_truth(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name} needs True or False, got {value!r}.")


def _check_count(name: str, value: object) -> None:
    if value != 0:
        check_positive_int(name, value)


_CHECKS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("couplings", "width", "knots", "epochs", "batch_size", "evaluations"), (check_positive_int,)),
    **dict.fromkeys(("refits", "unmixings"), (_check_count,)),
    **dict.fromkeys(("weight_decay", "input_noise"), (check_at_least, 0.0)),
    **dict.fromkeys(("validation_fraction", "gaussian_share"), (check_fraction,)),
    "learning_rate": (check_at_least, 0.0, True),
    "intervals": (_check_truth,),
    "activation": (_check_activation,),
    "marginals": (_check_choice, get_args(Marginals)),
    "objective": (_check_choice, get_args(Objective)),
}


@dataclass(frozen=True)
class Auto(Gaussianizer):
    """Compare no map, the copula and a flow by the likelihood of held-out samples; use the best for each problem.

    Of two that differ by less than the standard error of the difference the simpler is used.

    Attributes:
        flow: The flow to compare with.
    """

    flow: RealNVP = field(default_factory=RealNVP)


# What the settings of a flow consist of, to be read from files.
FLOW_SETTINGS = (RealNVP, *get_args(Marginals), *get_args(Objective))


# Records of Gaussianizers by name. `pid_jax.estimate.gaussianize` adds those of this package when it is imported.
RECORDS: dict[str, Any] = {}


def check_gaussianizer(name: str, value: object) -> None:
    """Refuse anything but the settings of a Gaussianizer, and one that is not registered.

    Before the registry is imported any Gaussianizer passes; whatever uses it imports the registry and checks it again.
    """
    known = [type(record.default) for record in RECORDS.values()]
    if not isinstance(value, Gaussianizer) or (known and type(value) not in known):
        wanted = " or ".join(f"{one.__name__}()" for one in known or Gaussianizer.__subclasses__())
        remedy = ": register its record by pid_jax.estimate.gaussianize.register" * isinstance(value, Gaussianizer)
        raise TypeError(f"{name} needs {wanted}, got {value!r}{remedy}.")


def is_ranked(marginals: Copula | Standardize) -> TypeGuard[Copula]:
    """Return whether a flow takes ranks of single coordinates; a TypeError for unknown marginals."""
    return by_type("RealNVP(marginals=...)", marginals, {Copula: True, Standardize: False})
