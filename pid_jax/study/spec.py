"""What is chosen in a study."""

from dataclasses import dataclass, field

from pid_jax.bias.sampling import check_correction
from pid_jax.pid.broja import BROJA
from pid_jax.pid.measure import Redundancy
from pid_jax.pid.mmi import MMI
from pid_jax.pid.registry import choices, measure_of
from pid_jax.runtime.checks import check_between, check_positive_int
from pid_jax.settings.categorical import CategoricalSpec
from pid_jax.settings.estimate import PCA, PIDSpec, is_pca, is_shrunk
from pid_jax.settings.gaussianize import Copula, Gaussianizer, NoGaussianization, RealNVP, check_gaussianizer
from pid_jax.store.targets import ANSWERS, TARGETS, Answer, FinalNorm, Target

# What readers call the sources that are these token groups.
MODALITIES = {"image": "vision", "question": "language"}
# Fewer replicates tell a standard error to 10 % or worse.
FEWEST_REPLICATES = 50


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """Settings of a study.

    Attributes:
        pid: How each problem is estimated.
        compared: Other Gaussianizers, whose atoms by the first measure are compared with those of `pid`.
        measures: Redundancy measures, each on the same covariance.
        tested: The Gaussianizer of all tests, which use the first measure: differences between conditions,
            what each source adds to the other, metrics and verdicts. Ranks need no fit, so that nothing scatters but
            samples; None tests nothing. Information about an answer is tested by its held-out predictions instead.
        replicates: How often samples are drawn again for it.
        keep: "all" samples, or those answered "correct" under the baseline.
        tasks: Tasks to study; None studies all.
        source_1_role: Token group that is source_1.
        source_2_role: Token group that is source_2.
        target: What the information is about: a state (decision 0020), or an answer (decision 0030).
        categorical: How information about an answer is estimated. Its redundancy is chosen by `measures`, its level by
            `level`.
        level: Probability with which the intervals of all estimates cover the truth: about answers, about states, and
            of the model's own decision. Tests, metrics and verdicts always have 0.95, which their criteria fix.
    """

    pid: PIDSpec = field(default_factory=lambda: PIDSpec(reduction=PCA(dim=(12, 12, 8)), gaussianize=RealNVP()))
    compared: tuple[Gaussianizer, ...] = (Copula(), NoGaussianization())
    measures: tuple[Redundancy, ...] = (BROJA(), MMI())
    tested: Gaussianizer | None = field(default_factory=Copula)
    replicates: int = 200
    keep: str = "all"
    tasks: tuple[str, ...] | None = None
    source_1_role: str = "image"
    source_2_role: str = "question"
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
        for one in self.compared:
            check_gaussianizer("StudySpec(compared=...)", one)
        if self.tested is not None:
            check_gaussianizer("StudySpec(tested=...)", self.tested)
        for measure in self.measures if not is_shrunk(self.pid.covariance) else ():
            check_correction(measure, self.pid.bias_correction)
        if self.tasks is not None and not self.tasks:
            raise ValueError("StudySpec(tasks=...) needs at least one name, or None for all tasks, got none.")
        for name, given in (("measures", self.measures), ("compared", self.ways)):
            kinds = [type(one).__name__ for one in given]
            if len(set(kinds)) < len(kinds):
                raise ValueError(f"StudySpec({name}=...) needs each kind once, as results name it, got {kinds}.")
        if not isinstance(self.categorical, CategoricalSpec):
            raise TypeError(f"StudySpec(categorical=...) needs a CategoricalSpec, got {self.categorical!r}.")
        check_between("StudySpec(level=...)", self.level, 0, 1)
        check_positive_int("StudySpec(replicates=...)", self.replicates)
        if self.replicates < FEWEST_REPLICATES:
            raise ValueError(
                f"StudySpec(replicates=...) needs at least {FEWEST_REPLICATES} for standard errors, got "
                f"{self.replicates}: better use 200."
            )

    @property
    def ways(self) -> tuple[Gaussianizer, ...]:
        """The map of `pid`, then the others that are compared with it."""
        return tuple(dict.fromkeys((self.pid.gaussianize, *self.compared)))

    @property
    def dims(self) -> tuple[int | None, int | None, int | None]:
        """Components wanted of source_1, source_2 and target; None without a reduction."""
        return self.pid.reduction.dims if is_pca(self.pid.reduction) else (None, None, None)

    @property
    def tested_map(self) -> Gaussianizer | None:
        """The Gaussianizer of all tests; None without tests, as for shrunk covariances, which have their own bias."""
        return None if is_shrunk(self.pid.covariance) else self.tested

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
    return names.get(target) or "-".join(target.label.split())
