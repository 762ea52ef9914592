"""The verdicts of a study under other choices, side by side: what depends on a choice, and what does not."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from pid_jax.pid.measure import Redundancy
from pid_jax.pid.registry import measure_of
from pid_jax.runtime.processes import ALONE, Processes
from pid_jax.runtime.progress import Progress, no_progress, part_of
from pid_jax.settings.estimate import is_pca
from pid_jax.settings.gaussianize import Gaussianizer, check_gaussianizer
from pid_jax.store.targets import Answer, FinalNorm, Target
from pid_jax.study.metrics.add import add_metrics
from pid_jax.study.metrics.claims import NOT_TESTABLE
from pid_jax.study.model import StudyModel, condition_name
from pid_jax.study.run import run_study
from pid_jax.study.spec import StudySpec

Dims = tuple[int, int, int]
_JUDGED = ("claim_value", "claim_lower", "claim_upper", "verdict", "reason")
_CHOICES = ("target", "dims", "gaussianizer", "measure")


@dataclass(frozen=True, kw_only=True)
class Multiverse:
    """Choices to be tried as alternatives to those of the study.

    Attributes:
        targets: Other targets.
        dims: Other numbers of components of source_1, source_2 and target.
        gaussianizers: Other Gaussianizers, each also that of the tests.
        measures: Other redundancy measures.
        conditions: Knockouts to include, by name; the baseline always is.
        is_full: Whether all combinations are tried; else one choice is changed at a time.
    """

    targets: tuple[Target | Answer, ...] = ()
    dims: tuple[Dims, ...] = ()
    gaussianizers: tuple[Gaussianizer, ...] = ()
    measures: tuple[Redundancy, ...] = ()
    conditions: tuple[str, ...] = ()
    is_full: bool = False

    def __post_init__(self) -> None:
        for measure in self.measures:
            measure_of(measure, "Multiverse(measures=...)")
        for gaussianizer in self.gaussianizers:
            check_gaussianizer("Multiverse(gaussianizers=...)", gaussianizer)


@dataclass(frozen=True, kw_only=True)
class Universe:
    """One combination of choices.

    Attributes:
        target: What the information is about.
        dims: Components of source_1, source_2 and target; None without a reduction.
        gaussianizer: The Gaussianizer, also that of the tests.
        measure: Redundancy measure.
    """

    target: Target | Answer = field(default_factory=FinalNorm)
    dims: Dims | None
    gaussianizer: Gaussianizer
    measure: Redundancy

    @property
    def labels(self) -> dict[str, str]:
        """Every choice in a few words."""
        dims = "all" if self.dims is None else ",".join(map(str, self.dims))
        names = (self.target.label, dims, type(self.gaussianizer).__name__, measure_of(self.measure).name)
        return dict(zip(_CHOICES, names, strict=True))

    def apply(self, spec: StudySpec) -> StudySpec:
        """Return the settings of the study with these choices."""
        reduction = spec.pid.reduction
        if self.dims is not None and is_pca(reduction):
            reduction = dataclasses.replace(reduction, dim=self.dims)
        pid = dataclasses.replace(spec.pid, reduction=reduction, gaussianize=self.gaussianizer)
        changed = {"pid": pid, "target": self.target, "measures": (self.measure,)}
        return dataclasses.replace(spec, compared=(), compared_measures=(), **changed)


def list_universes(spec: StudySpec, multiverse: Multiverse) -> list[Universe]:
    """List the study itself, and then every other combination of choices, each once.

    Dims and Gaussianizers make no difference to an answer, so that its universes have those of the study.
    """
    reduction = spec.pid.reduction
    own = Universe(
        target=spec.target,
        dims=reduction.dims if is_pca(reduction) else None,
        gaussianizer=spec.pid.gaussianize,
        measure=spec.measures[0],
    )
    others = {
        "target": multiverse.targets,
        "dims": multiverse.dims if own.dims is not None else (),
        "gaussianizer": multiverse.gaussianizers,
        "measure": multiverse.measures,
    }
    if multiverse.is_full:
        every = itertools.product(*((getattr(own, name), *values) for name, values in others.items()))
        found = [Universe(**dict(zip(others, values, strict=True))) for values in every]
    else:
        found = [own]
        found += [dataclasses.replace(own, **{name: value}) for name, values in others.items() for value in values]
    return list(dict.fromkeys(_without_unused(one, own) for one in found))


def _without_unused(universe: Universe, own: Universe) -> Universe:
    """Take the dims and the Gaussianizer of the study where the target is an answer, which uses neither."""
    if not isinstance(universe.target, Answer):
        return universe
    return dataclasses.replace(universe, dims=own.dims, gaussianizer=own.gaussianizer)


def run_multiverse(
    results: xr.Dataset,
    models: Sequence[StudyModel],
    *,
    spec: StudySpec,
    multiverse: Multiverse,
    seed: int = 0,
    cells: Path | None = None,
    progress: Progress = no_progress,
    tell: Callable[[str], None] = lambda line: None,
    processes: Processes = ALONE,
) -> xr.Dataset:
    """Judge the claims in every universe, and add `universe_*` to the results of a study.

    All compiled programs of the process are dropped wherever the shape of the problems changes: JAX itself keeps each,
    and those of one shape take up to 0.8 GB.

    Args:
        results: The study, with metrics.
        models: Its models.
        spec: Its settings.
        multiverse: Choices to be tried.
        seed: Its seed.
        cells: Folder for cells, as for `run_study`.
        progress: Called with steps done and all there are.
        tell: Called with a line for each universe that cannot be had.
        processes: Those that share the work, as for `run_study`; all return the same.

    Returns:
        The results with the variables of docs/study_dataset.md that begin with `universe_`. A universe that cannot be
        had is not testable, and says why.

    Raises:
        ValueError: If a condition is in no model.
        ProcessError: If another process failed, was lost, or has other stores.
    """
    check_conditions(models, multiverse.conditions)
    chosen = [_with_conditions(model, multiverse.conditions) for model in models]
    if isinstance(spec.target, Answer) and not multiverse.is_full and (multiverse.dims or multiverse.gaussianizers):
        tell("multiverse: dims and gaussianize change nothing about an answer: put a state first among the targets")
    universes = list_universes(spec, multiverse)
    judged = []
    for number, universe in enumerate(universes):
        if number == 0:  # the study itself
            judged.append(results)
            continue
        part = part_of(progress, number, len(universes))
        before = universes[number - 1]
        if (universe.target, universe.dims) != (before.target, before.dims):
            jax.clear_caches()
        try:
            found = run_study(
                chosen, spec=universe.apply(spec), seed=seed, cells=cells, progress=part, processes=processes
            )
            judged.append(add_metrics(found)[list(_JUDGED)].reindex(model=results["model"], claim=results["claim"]))
        except ValueError as error:
            tell(f"{', '.join(universe.labels.values())}: {error}")
            judged.append(_unknown(results, str(error)))
    dims = ("universe", "model", "claim")
    data = {
        f"universe_{name.removeprefix('claim_')}": (dims, np.stack([_filled(one[name]) for one in judged]))
        for name in _JUDGED
    }
    labels = [universe.labels for universe in universes]
    coordinates: dict[str, Any] = {f"universe_{n}": ("universe", [one[n] for one in labels]) for n in _CHOICES}
    return results.assign(data).assign_coords(universe=np.arange(len(universes)), **coordinates)


def _filled(values: xr.DataArray) -> np.ndarray:
    """Fill texts of models that a universe does not have."""
    if values.dtype.kind == "f":
        return values.values
    default = NOT_TESTABLE if values.name == "verdict" else "this model could not be studied under this choice"
    return np.where(values.isnull(), default, values.values).astype(object)


def _unknown(results: xr.Dataset, reason: str) -> xr.Dataset:
    """Say why a universe cannot be had, for every model and claim."""
    dims, shape = ("model", "claim"), (results.sizes["model"], results.sizes["claim"])
    data = {name: (dims, np.full(shape, np.nan)) for name in ("claim_value", "claim_lower", "claim_upper")}
    data |= {"verdict": (dims, np.full(shape, NOT_TESTABLE, dtype=object))}
    data |= {"reason": (dims, np.full(shape, reason, dtype=object))}
    return xr.Dataset(data, coords={"model": results["model"].values, "claim": results["claim"].values})


def check_conditions(models: Sequence[StudyModel], conditions: Sequence[str]) -> None:
    """Refuse conditions that no model has.

    Raises:
        ValueError: If there is one.
    """
    known = list(dict.fromkeys(condition_name(store) for model in models for store in model.knockouts))
    unknown = [name for name in conditions if name not in known]
    if unknown:
        raise ValueError(f"Multiverse(conditions=...) must be among {known}, got {unknown}: check the spelling.")


def _with_conditions(model: StudyModel, conditions: Sequence[str]) -> StudyModel:
    kept = tuple(store for store in model.knockouts if condition_name(store) in conditions)
    return dataclasses.replace(model, knockouts=kept)
