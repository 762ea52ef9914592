"""Settings for the decomposition of information about a categorical answer."""

from dataclasses import dataclass, field
from typing import get_args

from pid_jax.pid.broja import BROJA
from pid_jax.pid.measure import Redundancy
from pid_jax.runtime.checks import check_at_least, check_between, check_positive_int

_FEWEST_FOLDS = 2


def _check_penalties(owner: str, penalties: object) -> None:
    if not isinstance(penalties, tuple) or not penalties:
        raise TypeError(f"{owner}(penalties=...) needs a tuple of numbers, got {penalties!r}.")
    for value in penalties:
        check_at_least(f"{owner}(penalties=...)", value, 0, is_open=True)
    if list(penalties) != sorted(penalties, reverse=True):
        raise ValueError(f"{owner}(penalties=...) needs numbers that fall, got {penalties!r}: sort them.")


@dataclass(frozen=True)
class LinearClassifier:
    """Multinomial logistic regression on the components of one source, or of both side by side.

    Attributes:
        penalties: Weights of the squared coefficients, the largest first. Fitting starts from the classifier that
            knows the frequencies of the classes only, and ends at the penalty with the best held-out likelihood.
    """

    penalties: tuple[float, ...] = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001, 0.00003, 0.00001)

    def __post_init__(self) -> None:
        _check_penalties(type(self).__name__, self.penalties)


@dataclass(frozen=True)
class ProductClassifier:
    """Multinomial logistic regression on components, and on products of two of them.

    With one source these are the products of all pairs of its components; with both, the squares of all components and
    the products of a component of one source with one of the other. These often hold what only both sources tell.

    Attributes:
        leading: Components of each source whose products are taken.
        penalties: See `LinearClassifier`.
    """

    leading: int = 16
    penalties: tuple[float, ...] = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)

    def __post_init__(self) -> None:
        check_positive_int("ProductClassifier(leading=...)", self.leading)
        _check_penalties(type(self).__name__, self.penalties)


@dataclass(frozen=True)
class NetworkClassifier:
    """The mean of networks with one hidden layer, stopped where its held-out likelihood is best.

    Attributes:
        members: Networks, which begin and draw their batches differently.
        hidden: Units of the hidden layer of each.
        epochs: Passes over the training samples, on average; meanwhile the learning rate falls to zero as a cosine.
        fewest_steps: Least number of steps of AdamW, for few samples.
        batch: Samples of a step.
        learning_rate: First rate of AdamW.
        weight_decay: Decay of AdamW, in units of the rate.
    """

    members: int = 2
    hidden: int = 16
    epochs: int = 75
    fewest_steps: int = 400
    batch: int = 96
    learning_rate: float = 1e-2
    weight_decay: float = 0.05

    def __post_init__(self) -> None:
        for name in ("members", "hidden", "epochs", "fewest_steps", "batch"):
            check_positive_int(f"NetworkClassifier({name}=...)", getattr(self, name))
        check_at_least("NetworkClassifier(learning_rate=...)", self.learning_rate, 0, is_open=True)
        check_at_least("NetworkClassifier(weight_decay=...)", self.weight_decay, 0)


Classifier = LinearClassifier | ProductClassifier | NetworkClassifier


@dataclass(frozen=True)
class AutoClassifier:
    """The classifier with the best held-out likelihood, chosen for every problem and source by itself.

    Attributes:
        candidates: The classifiers to choose among. A network finds what products find, in a third of the time.
    """

    candidates: tuple[Classifier, ...] = (LinearClassifier(), NetworkClassifier())

    def __post_init__(self) -> None:
        if not isinstance(self.candidates, tuple) or not self.candidates:
            raise TypeError(f"AutoClassifier(candidates=...) needs a tuple of classifiers, got {self.candidates!r}.")
        for one in self.candidates:
            if not isinstance(one, Classifier):
                raise TypeError(
                    "AutoClassifier(candidates=...) needs LinearClassifier(), ProductClassifier() or "
                    f"NetworkClassifier(), got {one!r}."
                )


@dataclass(frozen=True)
class PoolRare:
    """Answers with fewer samples than `fewest` become one class, "other (pooled)", also where answers are numbers.

    Where these together have fewer samples still, they are left out.

    Attributes:
        fewest: Samples that a class needs.
    """

    fewest: int = 10

    def __post_init__(self) -> None:
        check_positive_int("PoolRare(fewest=...)", self.fewest)


@dataclass(frozen=True)
class DropRare:
    """Samples whose answer has fewer samples than `fewest` are left out.

    Attributes:
        fewest: Samples that a class needs.
    """

    fewest: int = 10

    def __post_init__(self) -> None:
        check_positive_int("DropRare(fewest=...)", self.fewest)


Rare = PoolRare | DropRare


@dataclass(frozen=True)
class CategoricalSpec:
    """Settings for estimates of the information about a categorical answer from samples.

    Attributes:
        classifier: What predicts the answer: `AutoClassifier`, or one of its candidates.
        components: Leading principal components of each source that classifiers see; their axes are fitted without the
            samples that are held out, to four times as many components of all samples where columns are more than that.
        folds: Parts of the samples, each of which is predicted by classifiers that were fitted to the others.
        rare: What happens to answers with few samples: `PoolRare` or `DropRare`.
        cells: Cells into which the predictions of each source are cut at most. There are fewer for many classes: cells
            times classes are at most 640, or 1280 where there would be fewer cells than classes.
        redundancy: The redundancy measure: `BROJA`, `MMI` or `IMin`.
        perturbations: Perturbed copies of the predictions, as different as those of classifiers fitted to other
            samples are; they show by how much such noise changes the union information. 0 skips this correction.
        level: Probability with which an interval covers the truth.
    """

    classifier: AutoClassifier | Classifier = field(default_factory=AutoClassifier)
    components: int = 16
    folds: int = 5
    rare: Rare = field(default_factory=PoolRare)
    cells: int = 64
    redundancy: Redundancy = field(default_factory=BROJA)
    perturbations: int = 2
    level: float = 0.95

    def __post_init__(self) -> None:
        if not isinstance(self.classifier, (AutoClassifier, *get_args(Classifier))):
            raise TypeError(
                "CategoricalSpec(classifier=...) needs AutoClassifier(), LinearClassifier(), ProductClassifier() or "
                f"NetworkClassifier(), got {self.classifier!r}."
            )
        if not isinstance(self.rare, Rare):
            raise TypeError(f"CategoricalSpec(rare=...) needs PoolRare() or DropRare(), got {self.rare!r}.")
        if not isinstance(self.redundancy, Redundancy):
            raise TypeError(
                f"CategoricalSpec(redundancy=...) needs a measure such as BROJA(), got {self.redundancy!r}."
            )
        for name in ("components", "folds", "cells"):
            check_positive_int(f"CategoricalSpec({name}=...)", getattr(self, name))
        if self.folds < _FEWEST_FOLDS:
            raise ValueError("CategoricalSpec(folds=...) needs at least 2, got 1: nothing would be held out.")
        if isinstance(self.perturbations, bool) or not isinstance(self.perturbations, int) or self.perturbations < 0:
            raise ValueError(
                f"CategoricalSpec(perturbations=...) needs a whole number of at least 0, got {self.perturbations!r}."
            )
        check_between("CategoricalSpec(level=...)", self.level, 0, 1)

    @property
    def candidates(self) -> tuple[Classifier, ...]:
        """The classifiers to choose among."""
        return self.classifier.candidates if isinstance(self.classifier, AutoClassifier) else (self.classifier,)
