"""What is chosen in a study."""

import re
from dataclasses import dataclass, field
from typing import Any

from pid_jax.bias.sampling import check_correction
from pid_jax.pid.broja import BROJA
from pid_jax.pid.dependency import IDep
from pid_jax.pid.geometry import IIG
from pid_jax.pid.measure import Redundancy
from pid_jax.pid.mmi import MMI
from pid_jax.pid.registry import choices, measure_of
from pid_jax.pid.surprisal import ICCS
from pid_jax.runtime.checks import check_between, check_positive_int
from pid_jax.settings.categorical import CategoricalSpec
from pid_jax.settings.estimate import PCA, NoCorrection, PIDSpec, is_pca, is_shrunk
from pid_jax.settings.gaussianize import Copula, Gaussianizer, NoGaussianization, RealNVP, check_gaussianizer
from pid_jax.store.targets import ANSWERS, LAST, TARGETS, Answer, FinalNorm, State, Target

# What readers call the sources that are these token groups.
MODALITIES = {"image": "vision", "question": "language"}
# Fewer replicates tell a standard error to 10 % or worse.
FEWEST_REPLICATES = 50


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """Settings of a study.

    Attributes:
        pid: How each problem is estimated. All numbers of a study come from this estimate (decision 0032): atoms,
            differences, metrics, tests and verdicts.
        compared: Other Gaussianizers, whose atoms by the first measure are compared with those of `pid`, in the
            baselines.
        measures: Redundancy measures, each on the same covariance.
        compared_measures: Measures under which the number of every claim about a state is computed again, without the
            correction of the bias, which only some of them have; the first of `measures` is always among them. An empty
            tuple compares none. `Deficiency` is left out by default, since it takes minutes at 16 dims.
        replicates: How often samples are drawn again for tests, which use the first measure: differences between
            conditions, what each source adds to the other, metrics and verdicts. 0 tests nothing.
        keep: "all" samples, or those answered "correct" under the baseline.
        tasks: Tasks to study; None studies all.
        source_1_role: Token group that is source_1.
        source_2_role: Token group that is source_2.
        pairwise: Whether each information has a flow of its own: of source_1, of source_2, and of both sources with the
            target, as arXiv 2602.15580 is said to do; see `paper`. The target then has three maps and there is no joint
            covariance, so that only MMI is defined, nothing is corrected, and estimates have no intervals.
        target: What the information is about: a state (decision 0020), or an answer (decision 0030).
        categorical: How information about an answer is estimated. Its redundancy is chosen by `measures`, its level by
            `level`.
        level: Probability with which the intervals of all estimates cover the truth: about answers, about states, and
            of the model's own decision. Tests, metrics and verdicts always have 0.95, which their criteria fix.
    """

    pid: PIDSpec = field(default_factory=lambda: PIDSpec(reduction=PCA(dim=(12, 12, 8)), gaussianize=Copula()))
    compared: tuple[Gaussianizer, ...] = (RealNVP(intervals=False), NoGaussianization())
    measures: tuple[Redundancy, ...] = (BROJA(), MMI())
    compared_measures: tuple[Redundancy, ...] = (MMI(), BROJA(), IDep(), IIG(), ICCS())
    replicates: int = 200
    keep: str = "all"
    tasks: tuple[str, ...] | None = None
    source_1_role: str = "image"
    source_2_role: str = "question"
    pairwise: bool = False
    target: Target | Answer = field(default_factory=FinalNorm)
    categorical: CategoricalSpec = field(default_factory=CategoricalSpec)
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.keep not in ("all", "correct"):
            raise ValueError(f"StudySpec(keep=...) needs 'all' or 'correct', got {self.keep!r}.")
        if not self.measures:
            raise ValueError(f"StudySpec(measures=...) needs at least one of {choices()}, got none.")
        for measure in self.measures:
            measure_of(measure, "StudySpec(measures=...)")
        for measure in self.compared_measures:
            measure_of(measure, "StudySpec(compared_measures=...)")
        for one in self.compared:
            check_gaussianizer("StudySpec(compared=...)", one)
        for measure in self.measures if not is_shrunk(self.pid.covariance) else ():
            check_correction(measure, self.pid.bias_correction)
        if self.tasks is not None and not self.tasks:
            raise ValueError("StudySpec(tasks=...) needs at least one name, or None for all tasks, got none.")
        named = (("measures", self.measures), ("compared_measures", self.compared_measures), ("compared", self.ways))
        for name, given in named:
            kinds = [type(one).__name__ for one in given]
            if len(set(kinds)) < len(kinds):
                raise ValueError(f"StudySpec({name}=...) needs each kind once, as results name it, got {kinds}.")
        if not isinstance(self.categorical, CategoricalSpec):
            raise TypeError(f"StudySpec(categorical=...) needs a CategoricalSpec, got {self.categorical!r}.")
        if self.pairwise:
            self._check_pairwise()
        check_between("StudySpec(level=...)", self.level, 0, 1)
        if self.replicates != 0:
            check_positive_int("StudySpec(replicates=...)", self.replicates)
        if 0 < self.replicates < FEWEST_REPLICATES:
            raise ValueError(
                f"StudySpec(replicates=...) needs at least {FEWEST_REPLICATES} for standard errors, or 0 to test "
                f"nothing, got {self.replicates}: better use 200."
            )

    @classmethod
    def paper(cls, **changes: Any) -> "StudySpec":
        """Return the settings of arXiv 2602.15580, as far as they are known.

        Components with 95 % of the variance of each variable, at most 20, so that 900 samples are 15 for every
        coordinate of a flow; a flow for each information; MMI; samples that are answered correctly. What is stated
        there and what is second-hand is in docs/paper.md.

        Args:
            changes: Other fields.
        """
        pid = PIDSpec(
            reduction=PCA(dim=20, variance=0.95),
            gaussianize=RealNVP(refits=0, intervals=False),
            redundancy=MMI(),
            bias_correction=NoCorrection(),
        )
        given: dict[str, Any] = {"pid": pid, "measures": (MMI(),), "compared": (), "compared_measures": ()}
        return cls(**{**given, "pairwise": True, "keep": "correct", **changes})

    def _check_pairwise(self) -> None:
        """Refuse settings that need one joint covariance."""
        wanted = {
            "pid.gaussianize": (self.pid.gaussianize, isinstance(self.pid.gaussianize, RealNVP), "RealNVP()"),
            "pid.bias_correction": (
                self.pid.bias_correction,
                isinstance(self.pid.bias_correction, NoCorrection),
                "NoCorrection()",
            ),
            "measures": (self.measures, [type(one) for one in self.measures] == [MMI], "(MMI(),)"),
            "target": (self.target, not isinstance(self.target, Answer), "a state such as FinalNorm()"),
            "compared": (self.compared, not self.compared, "()"),
            "compared_measures": (self.compared_measures, not self.compared_measures, "()"),
        }
        for name, (value, is_right, right) in wanted.items():
            if not is_right:
                raise ValueError(
                    f"StudySpec(pairwise=True) needs {name}={right}, got {value!r}: separate flows have no joint "
                    "covariance. StudySpec.paper() sets all of this."
                )

    @property
    def ways(self) -> tuple[Gaussianizer, ...]:
        """The map of `pid`, then the others that are compared with it."""
        return tuple(dict.fromkeys((self.pid.gaussianize, *self.compared)))

    @property
    def claim_measures(self) -> tuple[Redundancy, ...]:
        """The measures under which claims about a state are compared, with that of the study; none if none are."""
        own = self.measures[0]
        if not self.compared_measures or isinstance(self.target, Answer):
            return ()
        is_there = any(type(own) is type(one) for one in self.compared_measures)
        return self.compared_measures if is_there else (own, *self.compared_measures)

    @property
    def dims(self) -> tuple[int | None, int | None, int | None]:
        """Components wanted of source_1, source_2 and target; None without a reduction."""
        return self.pid.reduction.dims if is_pca(self.pid.reduction) else (None, None, None)

    @property
    def is_tested(self) -> bool:
        """Whether anything is tested: there are replicates, and the covariance is not shrunk, which adds a bias."""
        return self.replicates > 0 and (isinstance(self.target, Answer) or not is_shrunk(self.pid.covariance))

    @property
    def labels(self) -> tuple[str, str, str]:
        """Both sources and the target as readers know them."""
        source_1, source_2 = (MODALITIES.get(role, role) for role in (self.source_1_role, self.source_2_role))
        return source_1, source_2, "target"

    @property
    def source_dims(self) -> tuple[int | None, int | None]:
        """Components wanted of both sources for this target; None without a reduction."""
        first, second, _ = self.dims
        if first is None or second is None or not isinstance(self.target, Answer):
            return first, second
        return self.categorical.components, self.categorical.components


def target_name(target: Target | Answer) -> str:
    """Return the name that study files and files of results use for a target; its label if it has no name."""
    names = {one: name for name, one in (*ANSWERS.items(), *TARGETS.items())}
    if isinstance(target, State):
        own = re.sub(r"[^\w.-]+", "-", target.role)
        return f"state-{own}" if target.layer == LAST else f"state-{own}-{target.layer}"
    return names.get(target) or "-".join(target.label.split())
