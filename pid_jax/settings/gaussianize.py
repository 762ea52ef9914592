"""Settings of the stage that makes variables jointly Gaussian: frozen, hashable dataclasses."""

from dataclasses import dataclass, field
from typing import TypeGuard

from pid_jax.runtime.by_type import by_type
from pid_jax.runtime.checks import check_at_least, check_fraction, check_positive_int


@dataclass(frozen=True)
class NoGaussianization:
    """Take the samples as jointly Gaussian."""


@dataclass(frozen=True)
class Copula:
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


@dataclass(frozen=True)
class Separate:
    """Fit the flows of every problem (layer) by itself."""


@dataclass(frozen=True)
class Shared:
    """Fit the flows of all problems (layers) together, with weights that vary smoothly from one to the next.

    A variable that is the same in all problems has one flow. The weights of any other are p_0 + p_1 c(l), where c is a
    coordinate of the problems found from the samples, so that it does not depend on their order.
    """


ACTIVATIONS = ("relu", "silu")
Marginals = Copula | Standardize
Objective = Joint | Marginal
Sharing = Separate | Shared


@dataclass(frozen=True, kw_only=True)
class RealNVP:
    """Normalizing flows of affine couplings, one a variable, fitted to make all variables jointly Gaussian.

    Fields that are None are chosen from the number of samples and the dims (`pid_jax.flow.recipe`, docs/flows.md); the
    settings of a result name what was chosen.

    Attributes:
        couplings: Affine couplings, each behind a learned linear map and a learned sinh-arcsinh map.
        width: Units in each hidden layer of a conditioner.
        hidden_layers: Hidden layers of a conditioner.
        activation: What those units compute: "relu" or "silu".
        marginals: What every coordinate goes through first: `Copula`, a smooth monotone map, or `Standardize`.
        knots: Knots of that map.
        unmixings: How many linear maps to independent components are tried, the first in front of those maps, others
            behind; each is taken if the held-out samples are more likely with it. With `Copula` only.
        objective: `Joint` or `Marginal`.
        sharing: `Separate` or `Shared`.
        epochs: Passes through the training samples.
        batch_size: Samples a step; as many as there are, or more, for all.
        learning_rate: Peak of the one-cycle schedule of AdamW.
        weight_decay: Decoupled decay of all weights towards the identity map.
        input_noise: Standard deviation of the noise added to the coordinates at every step.
        clip_norm: Gradients longer than this are shortened.
        validation_fraction: Samples held out.
        evaluations: How often the held-out samples are evaluated.
        keep_best: Whether the weights of the best evaluation are kept, or the last ones.
        patience: Evaluations without improvement before a fit stops; only if the best weights are kept.
        refits: Data sets drawn from the fitted model and fitted again, to measure the bias of the fit and take it off;
            none to correct for the sampling of the covariance only.
        intervals: Whether as many Gaussian data sets are fitted too: intervals come from both. Without it a fit takes a
            third less time, the fitted model alone says the bias, and there are no intervals.
        folds: Instead of refits, fit flows to all of so many folds of the samples but one, and decompose the latents of
            that one; the atoms are the mean over folds. They are not over-fitted, and read low by what flows have not
            learned (docs/flows.md has a comparison). There are no intervals then.
        gaussian_share: Part of the bias taken off that the Gaussian data sets say; the fitted model says the rest.
        layer_batch: Problems fitted by one call of the compiled program on accelerators, None for all; a CPU takes one.
    """

    couplings: int | None = None
    width: int | None = None
    hidden_layers: int = 1
    activation: str | None = None
    marginals: Marginals = field(default_factory=Copula)
    knots: int | None = None
    unmixings: int = 2
    objective: Objective = field(default_factory=Joint)
    sharing: Sharing | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float = 5e-3
    weight_decay: float | None = None
    input_noise: float | None = None
    clip_norm: float = 5.0
    validation_fraction: float | None = None
    evaluations: int = 25
    keep_best: bool | None = None
    patience: int = 10
    refits: int | None = None
    intervals: bool = True
    folds: int | None = None
    gaussian_share: float | None = None
    layer_batch: int | None = None

    def __post_init__(self) -> None:
        for name in ("hidden_layers", "evaluations", "patience"):
            check_positive_int(f"RealNVP({name}=...)", getattr(self, name))
        for name in ("couplings", "width", "epochs", "batch_size", "layer_batch", "knots"):
            if getattr(self, name) is not None:
                check_positive_int(f"RealNVP({name}=...)", getattr(self, name))
        for name in ("refits", "unmixings"):
            if getattr(self, name):
                check_positive_int(f"RealNVP({name}=...)", getattr(self, name))
        if self.folds is not None:
            check_at_least("RealNVP(folds=...)", self.folds, 2)
            check_positive_int("RealNVP(folds=...)", self.folds)
        for name in ("learning_rate", "clip_norm"):
            check_at_least(f"RealNVP({name}=...)", getattr(self, name), 0.0, is_open=True)
        for name in ("weight_decay", "input_noise"):
            if getattr(self, name) is not None:
                check_at_least(f"RealNVP({name}=...)", getattr(self, name), 0.0)
        for name in ("validation_fraction", "gaussian_share"):
            if getattr(self, name) is not None:
                check_fraction(f"RealNVP({name}=...)", getattr(self, name))
        if self.activation not in (None, *ACTIVATIONS):
            wanted = " or ".join(repr(name) for name in ACTIVATIONS)
            raise ValueError(f"RealNVP(activation=...) needs {wanted}, got {self.activation!r}.")
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if not isinstance(value, allowed) and not (name == "sharing" and value is None):
                wanted = " or ".join(f"{cls.__name__}()" for cls in allowed)
                raise TypeError(f"RealNVP({name}=...) needs {wanted}, got {value!r}.")


_CHOICES: dict[str, tuple[type, ...]] = {
    "marginals": (Copula, Standardize),
    "objective": (Joint, Marginal),
    "sharing": (Separate, Shared),
}


@dataclass(frozen=True)
class Auto:
    """Compare no map, the copula and a flow by the likelihood of held-out samples; use the best for each problem.

    Of two that differ by less than the standard error of the difference the simpler is used.

    Attributes:
        flow: The flow to compare with.
    """

    flow: RealNVP = field(default_factory=RealNVP)


Gaussianizer = Copula | NoGaussianization | RealNVP | Auto


def is_ranked(marginals: Copula | Standardize) -> TypeGuard[Copula]:
    """Return whether a flow takes ranks of single coordinates; a TypeError for unknown marginals."""
    return by_type("RealNVP(marginals=...)", marginals, {Copula: True, Standardize: False})
