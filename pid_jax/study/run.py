"""From activation stores to a labeled data set: tasks x conditions x layers."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

import jax
import numpy as np
import xarray as xr

from pid_jax.bias import INTERVAL_LEVEL
from pid_jax.checks import check_enough_samples
from pid_jax.estimate_reduced import estimate_reduced
from pid_jax.gaussianizers import Copula, Gaussianizer, NoGaussianization, RealNVP
from pid_jax.named_key import named_key
from pid_jax.progress import Progress, no_progress, part_of
from pid_jax.reduce.pca import Reduced
from pid_jax.result import ATOMS, PIDEstimate
from pid_jax.scores import Scores, read_scores
from pid_jax.spec import BROJA, MMI, PCA, PIDSpec, Redundancy, SampleCovariance, spec_to_dict
from pid_jax.store import NORM, ActivationStore
from pid_jax.study.cell_data import accuracy, cell_data, coordinates, task_data, unknown_intervals
from pid_jax.study.cell_tests import LEVEL, infer_task
from pid_jax.study.results import SCHEMA

# Of each task and condition, as far as progress is told.
STEPS = 1000
_PACKAGES = ("pid_jax", "jax", "jaxlib", "numpy", "xarray")


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """Settings of a study.

    Attributes:
        pid: How each problem is estimated.
        compared: Other maps to latents, whose atoms by the first measure stand beside those of `pid`.
        measures: Redundancy measures, each on the same covariance.
        tested: The map behind which differences between conditions, and what each source adds to the other, are tested
            by the first measure. Ranks need no fit, so that nothing scatters but samples; None tests nothing.
        keep: "all" samples, or those answered "correct" under the baseline.
        tasks: Tasks to study; None studies all.
        source_1_role: Token group that is source_1.
        source_2_role: Token group that is source_2.
    """

    pid: PIDSpec = field(default_factory=lambda: PIDSpec(reduction=PCA(dim=(12, 12, 8)), gaussianize=RealNVP()))
    compared: tuple[Gaussianizer, ...] = (Copula(), NoGaussianization())
    measures: tuple[Redundancy, ...] = (BROJA(), MMI())
    tested: Gaussianizer | None = field(default_factory=Copula)
    keep: str = "all"
    tasks: tuple[str, ...] | None = None
    source_1_role: str = "image"
    source_2_role: str = "question"

    def __post_init__(self) -> None:
        if self.keep not in ("all", "correct"):
            raise ValueError(f"StudySpec(keep=...) needs 'all' or 'correct', got {self.keep!r}.")
        if not self.measures:
            raise ValueError("StudySpec(measures=...) needs at least one of BROJA() and MMI(), got none.")


def run_study(
    stores: Sequence[ActivationStore],
    *,
    spec: StudySpec | None = None,
    key: jax.Array,
    progress: Progress = no_progress,
) -> xr.Dataset:
    """Decompose, per task, condition and layer, the information about the model's prediction.

    source_1 is the mean state of the image tokens, source_2 that of the question tokens, the target the final norm's
    output at the last prompt position. The stores are read one layer at a time, and only scores are kept. Components
    are fitted on the baseline, task by task and layer by layer, and shared by all conditions, so that all are compared
    in the same subspace. All layers of one task and condition are then one compiled call.

    Args:
        stores: The baseline first, then knockouts of the same model on the same samples.
        spec: Settings, `StudySpec()` if not given.
        key: A JAX random key.
        progress: Called with steps done and all there are.

    Returns:
        Atoms (task, condition, measure, layer) and informations (task, condition, layer) in nats, with status and
        certificate, accuracy, answer entropy and everything that was chosen in the attributes.

    Raises:
        ValueError: If the stores do not belong together, or no sample is left.
    """
    spec = StudySpec() if spec is None else spec
    _check_stores(stores)
    ids = _common_ids(stores, spec)
    baseline = stores[0]
    rows = np.isin(baseline.ids, ids)
    labels = baseline.columns["task"][rows]
    tasks = list(dict.fromkeys(labels.tolist()))
    rows_of = {_name(store): np.flatnonzero(np.isin(store.ids, ids)) for store in stores}
    selected = {task: [rows_of[_name(store)][labels == task] for store in stores] for task in tasks}
    reduction_key, key = jax.random.split(key)
    variables = _read_variables(stores, selected, spec, reduction_key)
    stacked = []
    for place, task in enumerate(tasks):
        scores = [[variable[task][j] for variable in variables] for j in range(len(stores))]
        told = part_of(progress, place, len(tasks))
        cells = _study_task(task, stores, scores, spec, key, told)
        right = xr.DataArray(
            [accuracy(s, rows) for s, rows in zip(stores, selected[task], strict=True)], dims="condition"
        )
        stacked.append(cells.assign(accuracy=right.assign_attrs(units="1")))
    data = xr.concat(stacked, dim="task").assign_coords(coordinates(stores, tasks))
    data = data.assign_coords(measure=[type(measure).__name__.lower() for measure in spec.measures])
    data = data.drop_vars(unknown_intervals(data)).assign(task_data(baseline, rows, labels, tasks))
    return data.assign_attrs(_attributes(stores, spec))


def study_digest(stores: Sequence[ActivationStore], spec: StudySpec, seed: int) -> str:
    """Hash what a study depends on: the bytes of every shard, the settings, the seed, the versions."""
    shards = [[header.digest for header in store.headers.values()] for store in stores]  # they cover every byte
    manifests = [store.manifest.digest for store in stores]
    content = [SCHEMA, shards, manifests, spec_to_dict(spec), seed, _versions(stores)]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _read_variables(
    stores: Sequence[ActivationStore], rows: Mapping[str, Sequence[np.ndarray]], spec: StudySpec, key: jax.Array
) -> list[dict[str, list[Scores]]]:
    """Read source_1, source_2 and the target, which is the same for all layers."""
    reduction, layers = spec.pid.reduction, stores[0].layers
    dims = reduction.dims if isinstance(reduction, PCA) else (None, None, None)
    places = ((spec.source_1_role, layers), (spec.source_2_role, layers), ("last", (NORM,)))
    return [
        read_scores(stores, rows, role=role, layers=read, reduction=reduction, dim=dim, key=key)
        for (role, read), dim in zip(places, dims, strict=True)
    ]


def _study_task(
    task: str,
    stores: Sequence[ActivationStore],
    scores: Sequence[Sequence[Scores]],
    spec: StudySpec,
    key: jax.Array,
    progress: Progress,
) -> xr.Dataset:
    """Decompose one task under every condition, and test it."""
    reduced = [[_as_reduced(variable) for variable in one] for one in scores]
    tested = spec.tested if isinstance(spec.pid.covariance, SampleCovariance) else None
    steps = len(stores) + (tested is not None)
    parts = [part_of(progress, place, steps) for place in range(steps)]
    cells: list[xr.Dataset] = []
    for store, own_scores, own, part in zip(stores, scores, reduced, parts, strict=False):
        part(0, STEPS)
        try:
            estimates, others = _estimate(own, spec, named_key(key, f"{task}/{_name(store)}"), part)
        except ValueError as error:
            raise ValueError(f"task {task!r}, {_name(store)}: {error} Or leave the task out.") from error
        part(STEPS, STEPS)
        cells.append(cell_data(estimates, own_scores).merge(_compared(estimates[0], others, spec)))
    data = xr.concat(cells, dim="condition")
    if tested is None:
        return data
    pid = dataclasses.replace(spec.pid, redundancy=spec.measures[0])
    tests = infer_task(reduced, pid, tested, named_key(key, f"{task}/tests"), parts[-1])
    return xr.merge([data, tests])


def _as_reduced(variable: Scores) -> Reduced:
    rank = (np.ptp(variable.values, axis=1) > 0).sum(axis=-1)
    return Reduced(scores=variable.values, explained_variance=variable.explained_variance, rank=rank)


def _estimate(
    reduced: Sequence[Reduced], spec: StudySpec, key: jax.Array, progress: Progress
) -> tuple[list[PIDEstimate], list[PIDEstimate]]:
    """Decompose the scores of one task and condition by every measure, and by the first behind each compared map."""
    d1, d2, dt = (variable.scores.shape[-1] for variable in reduced)
    if isinstance(spec.pid.covariance, SampleCovariance):
        check_enough_samples(reduced[0].scores.shape[1], (d1, d2, dt))
    words = {"labels": _labels(spec), "problem": "layer"}
    estimates = estimate_reduced(reduced, spec.pid, spec.measures, key, progress, **words)
    ways = [dataclasses.replace(spec.pid, gaussianize=way) for way in spec.compared]
    others = [estimate_reduced(reduced, way, spec.measures[:1], key, no_progress)[0] for way in ways]
    return estimates, others


def _compared(chosen: PIDEstimate, others: Sequence[PIDEstimate], spec: StudySpec) -> xr.Dataset:
    """Put the atoms of the first measure behind every map side by side."""
    names = [type(way).__name__ for way in (spec.pid.gaussianize, *spec.compared)]
    every = [chosen, *others]
    dims, nats = ("gaussianizer", "layer"), {"units": "nats"}
    data = {f"compared_{name}": (dims, np.stack([getattr(e.atoms, name) for e in every]), nats) for name in ATOMS}
    return xr.Dataset(data, coords={"gaussianizer": names})


def _labels(spec: StudySpec) -> tuple[str, str, str]:
    """Name both sources and the target as readers know them."""
    modality = {"image": "vision", "question": "language"}
    source_1, source_2 = (modality.get(role, role) for role in (spec.source_1_role, spec.source_2_role))
    return source_1, source_2, "target"


def _attributes(stores: Sequence[ActivationStore], spec: StudySpec) -> dict[str, str]:
    settings = stores[0].manifest.settings
    extraction = {k: v for k, v in settings.items() if k not in ("versions", "fingerprint")}
    return {
        "schema": SCHEMA,
        "source_1_label": _labels(spec)[0],
        "source_2_label": _labels(spec)[1],
        "target_label": "final-norm state at the last position",
        "model": str(settings.get("model", {}).get("name", "unknown")),
        "dataset": str(settings.get("data", {}).get("reader", "unknown")),
        "interval_level": str(INTERVAL_LEVEL),
        "interval_kind": "sampling of the covariance; with flows also what the fit may have missed",
        "tested_by": "" if spec.tested is None else type(spec.tested).__name__,
        "tested_measure": type(spec.measures[0]).__name__.lower(),
        "tested_level": str(LEVEL),
        "reduction": (
            "components of the baseline, fitted task by task and layer by layer, for all conditions"
            if isinstance(spec.pid.reduction, PCA)
            else "none"
        ),
        "settings": json.dumps({"study": spec_to_dict(spec), "extraction": extraction}),
        "versions": json.dumps(_versions(stores)),
    }


def _versions(stores: Sequence[ActivationStore]) -> Mapping[str, str]:
    return {name: version(name) for name in _PACKAGES} | dict(stores[0].manifest.settings.get("versions", {}))


def _name(store: ActivationStore) -> str:
    return str(store.manifest.condition["name"])


def _common_ids(stores: Sequence[ActivationStore], spec: StudySpec) -> np.ndarray:
    """Ids that every store has; with keep="correct" those that the baseline answers correctly."""
    columns = stores[0].columns
    known = list(dict.fromkeys(columns["task"].tolist()))
    unknown = [task for task in spec.tasks or () if task not in known]
    if unknown:
        raise ValueError(f"tasks must be among {known}, got {unknown}: check the spelling.")
    chosen = np.isin(columns["task"], known if spec.tasks is None else spec.tasks)
    if spec.keep == "correct":
        if not (columns["gold"] != "").any():
            raise ValueError(f'keep="correct" needs gold answers, and {stores[0].path} has none: use keep="all".')
        chosen &= columns["correct"]
    ids = stores[0].ids[chosen]
    for store in stores[1:]:
        ids = np.intersect1d(ids, store.ids)
    if not len(ids):
        raise ValueError(
            "The stores have no sample in common that can be used: check that they were made from one baseline."
        )
    return ids


def _check_stores(stores: Sequence[ActivationStore]) -> None:
    if not stores:
        raise ValueError("stores is empty: give the baseline store, then the knockouts.")
    if stores[0].manifest.condition["edges"]:
        raise ValueError(
            f"The first store must be a baseline, got {_name(stores[0])} at {stores[0].path}: reorder the stores."
        )
    names = [_name(store) for store in stores]
    if len(set(names)) != len(names):
        raise ValueError(f"Every store needs a condition of its own, got {names}: leave the repeated ones out.")
    for store in stores[1:]:
        if store.manifest.settings != stores[0].manifest.settings or store.layers != stores[0].layers:
            raise ValueError(
                f"{store.path} was not made like {stores[0].path} (model, data, template or versions differ): "
                "make it with `pid-extract knockout --baseline`."
            )
