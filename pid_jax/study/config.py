"""The file that describes a study."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pid_jax.estimate.gaussianize import GAUSSIANIZERS
from pid_jax.pid.registry import MEASURES, measure_of
from pid_jax.settings.categorical import (
    AutoClassifier,
    CategoricalSpec,
    LinearClassifier,
    NetworkClassifier,
    ProductClassifier,
)
from pid_jax.settings.estimate import PCA, PIDSpec
from pid_jax.settings.gaussianize import Copula
from pid_jax.store import NORM, Activations, ActivationStore, tensor_name
from pid_jax.store.layout import ArrayLayout
from pid_jax.store.open import open_conditions
from pid_jax.store.targets import ANSWERS, LAST, TARGETS, Answer, FinalNorm, State, Target
from pid_jax.study.entries import (
    one_of,
    some_of,
    take_dims,
    take_known,
    take_masks,
    take_names,
    take_number,
    take_several_dims,
    take_text,
    take_texts,
    take_truth,
    take_whole,
)
from pid_jax.study.model import StudyModel
from pid_jax.study.multiverse import Multiverse
from pid_jax.study.spec import StudySpec

# By the names that files and command lines take.
DIMS = (12, 12, 8)
EVERY_TARGET: dict[str, Target | Answer] = {**ANSWERS, **TARGETS}
CLASSIFIERS = {
    "auto": AutoClassifier(),
    "linear": LinearClassifier(),
    "product": ProductClassifier(),
    "network": NetworkClassifier(),
}
PRESETS = {"paper": StudySpec.paper}
# What the preset leaves open.
_LEFT_OPEN = ("tasks", "source_1_role", "source_2_role", "replicates", "level")
_URL = "://"
# How a state of any role is named.
STATES = "state:ROLE"


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Where the stores of a model are.

    Attributes:
        name: What it is called in figures and tables.
        store: Store of the baseline: a folder or a URL. Or arrays of other tools, see `open_activations`; all their
            conditions but the baseline are knockouts.
        knockouts: Stores of knockouts.
        decision: Stores of `pid-extract decision`.
        layout: How to read arrays.
        table: What is known of the samples of arrays: a file; None where the arrays have it, or nothing is known.
    """

    name: str
    store: str
    knockouts: tuple[str, ...] = ()
    decision: tuple[str, ...] = ()
    layout: ArrayLayout = field(default_factory=ArrayLayout)
    table: str | None = None


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """A study as a file describes it.

    Attributes:
        models: Its models.
        spec: Its settings; its own target is that of the multiverse, the first of `targets` that is a state.
        targets: What the information is about, the first one first on the page; none takes `default_targets` of the
            first model.
        multiverse: Other choices to be tried; None tries none.
        paper: Settings of arXiv 2602.15580, with which the same stores are studied too; None where they are not.
        seed: Seed of everything random.
    """

    models: tuple[ModelConfig, ...]
    spec: StudySpec = field(default_factory=StudySpec)
    targets: tuple[Target | Answer, ...] = ()
    multiverse: Multiverse | None = None
    paper: StudySpec | None = None
    seed: int = 0


def study_spec(
    *,
    dims: tuple[int, int, int] = DIMS,
    variance: float | None = None,
    standardize: bool = False,
    gaussianize: str = "copula",
    measures: Sequence[str] = tuple(measure_of(one).name for one in StudySpec().measures),
    classifier: str = "auto",
    **others: Any,
) -> StudySpec:
    """Make the settings of a study from the names that files and command lines take.

    Args:
        dims: Components of source_1, source_2 and target.
        variance: Fraction of the variance that the fewest components, `dims` at most, have to hold; None keeps `dims`.
        standardize: Whether the columns of every state count in units of their standard deviations.
        gaussianize: One of `GAUSSIANIZERS`.
        measures: Some of `MEASURES`; the first is tested.
        classifier: One of `CLASSIFIERS`, which predicts answers.
        others: Other fields of `StudySpec`.
    """
    way = GAUSSIANIZERS[gaussianize].default
    others.setdefault("compared", tuple(one for one in (Copula(), *StudySpec().compared) if type(one) is not type(way)))
    return StudySpec(
        pid=PIDSpec(reduction=PCA(dim=dims, variance=variance, standardize=standardize), gaussianize=way),
        measures=tuple(MEASURES[name].settings() for name in measures),
        categorical=CategoricalSpec(classifier=CLASSIFIERS[classifier]),
        **others,
    )


def default_keep(preset: str | None) -> str:
    """Return which samples a study keeps if nothing else is said: the preset is about correct answers."""
    return "all" if preset is None else "correct"


def paper_spec(preset: str | None, **given: Any) -> StudySpec | None:
    """Return the settings of a preset with the choices that it leaves open, or None without a preset.

    Args:
        preset: One of `PRESETS`, or None.
        given: Entries of a study, of which tasks, roles, replicates and level are taken.
    """
    if preset is None:
        return None
    return PRESETS[preset](**{name: value for name, value in given.items() if name in _LEFT_OPEN})


def read_config(path: Path) -> StudyConfig:
    """Read a study from a TOML file; docs/study.md says what may stand in it.

    Raises:
        ValueError: If the file is missing, is no TOML, or has an entry that is not known or of the wrong kind.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist: give a study file, or --store.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{path} is no TOML file that can be read: {error}.") from error
    try:
        return _parse(content, path.parent)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def open_models(configs: Sequence[ModelConfig]) -> tuple[list[StudyModel], list[str]]:
    """Open the stores of all models.

    Returns:
        The models that have a baseline, and a line on every store that cannot be opened.
    """
    models, problems = [], []
    for config in configs:
        name = config.name
        baseline, *others = _open_baseline(config, problems) or [None]
        knockouts = [*others, *_open_all(name, config.knockouts if baseline else (), problems)]
        decision = _open_all(name, config.decision if baseline else (), problems)
        if len(decision) < len(config.decision):
            decision = []  # of which nothing is complete
        if baseline:
            opened = StudyModel(name=name, baseline=baseline, knockouts=tuple(knockouts), decision=tuple(decision))
            models.append(opened)
    return models, problems


def default_targets(baseline: Activations) -> tuple[Target | Answer, ...]:
    """Return what the information is about where nobody says: an answer, and the last state, as far as they are there.

    Raises:
        ValueError: If there is neither.
    """
    answers = [Answer()] if "predicted" in baseline.columns else []
    if not answers and "gold" in baseline.columns and (baseline.columns["gold"] != "").any():
        answers = [Answer(of="gold")]
    has_norm = tensor_name("last", NORM) in baseline.manifest.tensors
    states = [FinalNorm()] if has_norm else [State()] if "last" in baseline.roles else []
    if not answers and not states:
        raise ValueError(
            f"{baseline.path} has no answers and no role 'last': name a target, state:ROLE with a role of "
            f"{baseline.roles}."
        )
    return (*answers, *states)


def _open_baseline(config: ModelConfig, problems: list[str]) -> list[Activations]:
    """Open the baseline of a model, and the other conditions of arrays."""
    try:
        return open_conditions(config.store, table=config.table, layout=config.layout)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        problems.append(f"model {config.name!r}: {error}")
        return []


def _open_all(name: str, paths: Sequence[str], problems: list[str]) -> list[ActivationStore]:
    """Open stores of a model, and add a line to `problems` for each that cannot be opened."""
    opened = []
    for path in paths:
        try:
            opened.append(ActivationStore.open(path))
        except (ValueError, OSError, ModuleNotFoundError) as error:
            problems.append(f"model {name!r}: {error}")
    return opened


def _parse(content: dict[str, Any], folder: Path) -> StudyConfig:
    tables = content.pop("models", [])
    if not isinstance(tables, list) or not tables or not all(isinstance(one, dict) for one in tables):
        raise ValueError("needs at least one [[models]] with name and store.")
    models = tuple(_model(take_known(one, _MODEL, f"models[{i}]"), folder, i) for i, one in enumerate(tables))
    table = content.pop("multiverse", None)
    given = take_known(content, _STUDY, "the study")
    seed = given.pop("seed", 0)
    if "target" in given and "targets" in given:
        raise ValueError("the study has both target and targets: give targets alone, a list of names.")
    target = given.pop("target", None)
    targets = given.pop("targets", () if target is None else (target,))
    preset = given.pop("preset", None)
    given.setdefault("keep", default_keep(preset))
    paper = paper_spec(preset, **given)
    given["target"] = main_target(targets)
    multiverse = None
    if table is not None:
        if not isinstance(table, dict):
            raise ValueError(f"multiverse needs a table [multiverse], got {table!r}.")
        taken = take_known(table, _MULTIVERSE, "multiverse")
        multiverse = Multiverse(**{_FIELDS.get(name, name): value for name, value in taken.items()})
    return StudyConfig(
        models=models, spec=study_spec(**given), targets=targets, multiverse=multiverse, paper=paper, seed=seed
    )


def main_target(targets: Sequence[Target | Answer]) -> Target | Answer:
    """Return the target of the multiverse: the first that is a state, the first one where all are answers."""
    if not targets:
        return FinalNorm()
    return next((one for one in targets if not isinstance(one, Answer)), targets[0])


def _model(given: dict[str, Any], folder: Path, index: int) -> ModelConfig:
    missing = [name for name in ("name", "store") if name not in given]
    if missing:
        raise ValueError(f"models[{index}] needs {' and '.join(missing)}.")
    listed = {
        name: tuple(dict.fromkeys(path for pattern in given.get(name, ()) for path in _matches(name, pattern, folder)))
        for name in ("knockouts", "decision")
    }
    layout = ArrayLayout(
        pattern=given.get("layout"),
        axes=given.get("axes"),
        masks={role: _mask(one, folder) for role, one in given.get("masks", {}).items()},
        columns=given.get("columns", {}),
    )
    table = None if "table" not in given else _join(given["table"], folder)
    return ModelConfig(name=given["name"], store=_join(given["store"], folder), layout=layout, table=table, **listed)


def _mask(value: str | int, folder: Path) -> str | int:
    """Return a mask: a position, the file that a path names, or the name of an array of the source."""
    path = _join(value, folder) if isinstance(value, str) else ""
    return path if path and Path(path).is_file() else value


def _join(path: str, folder: Path) -> str:
    return path if _URL in path else str(folder / Path(path).expanduser())


def _matches(name: str, pattern: str, folder: Path) -> list[str]:
    """Find the folders that a pattern such as stores/image-question@* means; URLs stand for themselves."""
    if _URL in pattern or not any(sign in pattern for sign in "*?["):
        return [_join(pattern, folder)]
    whole = Path(pattern).expanduser()
    start = Path(whole.anchor) if whole.is_absolute() else folder
    found = sorted(str(path) for path in start.glob(str(whole.relative_to(whole.anchor))) if path.is_dir())
    if not found:
        raise ValueError(f"{name}: no folder matches {pattern!r} in {folder}: check the folder, or leave it out.")
    return found


def _gaussianizers(name: str, value: Any) -> tuple:
    """Take a list of names of Gaussianizers, and return their settings."""
    return tuple(GAUSSIANIZERS[one].default for one in some_of(GAUSSIANIZERS, False)(name, value))


def read_targets(name: str, value: Any) -> tuple[Target | Answer, ...]:
    """Take a list of names of targets, each once, and return what they stand for.

    Raises:
        ValueError: If a name is not known or there twice, or there is none.
    """
    found = tuple(read_target(f"{name}[{i}]", text) for i, text in enumerate(take_texts(name, value)))
    if not found or len(set(found)) < len(found):
        raise ValueError(f"{name} needs at least one of {[*EVERY_TARGET, STATES]}, each once, got {value!r}.")
    return found


def parse_targets(name: str, text: str | None) -> tuple[Target | Answer, ...]:
    """Take names of targets with commas; what is no name of one is the role of a state.

    Raises:
        ValueError: If a name is there twice.
    """
    if text is None:
        return ()
    names = [one.strip() for one in text.split(",")]
    is_role = [one not in EVERY_TARGET and not one.startswith("state:") for one in names]
    return read_targets(name, [f"state:{one}" if role else one for one, role in zip(names, is_role, strict=True)])


def read_target(name: str, value: Any) -> Target | Answer:
    """Take the name of a target: one of `EVERY_TARGET`, or state:ROLE or state:ROLE@LAYER.

    Raises:
        ValueError: If it is not known.
    """
    kind, _, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
    if kind != "state" or not rest:
        return one_of(EVERY_TARGET, True, STATES)(name, value)
    role, _, layer = rest.partition("@")
    try:
        return State(role, int(layer) if layer.isdigit() else layer or LAST)
    except ValueError as error:
        raise ValueError(f"{name} {value!r}: {error}") from error


_measures = some_of(MEASURES, False)


def _settings_of_measures(name: str, value: Any) -> tuple:
    """Take a list of names of measures, and return their settings."""
    return tuple(MEASURES[one].settings() for one in _measures(name, value))


_MODEL = {
    **{"name": take_text, "store": take_text, "knockouts": take_texts, "decision": take_texts},
    **{"layout": take_text, "table": take_text, "axes": take_text, "masks": take_masks, "columns": take_names},
}
_STUDY = {
    "seed": take_whole,
    "preset": one_of(PRESETS, False),
    "dims": take_dims,
    "variance": take_number,
    "standardize": take_truth,
    "gaussianize": one_of(GAUSSIANIZERS, False),
    "compared": _gaussianizers,
    "measures": _measures,
    "compared_measures": _settings_of_measures,
    "target": read_target,
    "targets": read_targets,
    "classifier": one_of(CLASSIFIERS, False),
    "replicates": take_whole,
    "level": take_number,
    "keep": one_of({"all": 0, "correct": 0}, False),
    "tasks": take_texts,
    "source_1_role": take_text,
    "source_2_role": take_text,
}
_MULTIVERSE = {
    "targets": read_targets,
    "dims": take_several_dims,
    "gaussianize": _gaussianizers,
    "measures": _settings_of_measures,
    "conditions": take_texts,
    "full": take_truth,
}
# Fields that are called otherwise in a file.
_FIELDS = {"gaussianize": "gaussianizers", "full": "is_full"}
