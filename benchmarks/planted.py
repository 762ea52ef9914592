"""Whether the metrics of a study recover what was planted, and whether their intervals hold it.

`python -m benchmarks.planted [runs] [--gaussianize NAME]`; `copula` is the default of a study. The seeds were not used
while metrics and intervals were chosen.
"""

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import xarray as xr

from benchmarks.measure import Cost
from benchmarks.planted_system import CONDITIONS, CUTS, DIMS, MODELS, TASKS, Drawn, draw_task, last_cut, plant
from benchmarks.problems import ZERO, split
from benchmarks.record import write_results
from benchmarks.tables import Row, by
from pid_jax.decompose.result import ATOMS
from pid_jax.estimate.gaussianize import GAUSSIANIZERS, label_of
from pid_jax.pid.broja import BROJA
from pid_jax.settings.estimate import NoReduction, PIDSpec
from pid_jax.settings.gaussianize import Gaussianizer
from pid_jax.store import NORM, ActivationStore, Manifest, tensor_name
from pid_jax.study.metrics.add import add_metrics
from pid_jax.study.metrics.claims import CONTRADICTED, NOT_TESTABLE, SUPPORTED
from pid_jax.study.metrics.sources import LANGUAGE, VISION
from pid_jax.study.model import StudyModel
from pid_jax.study.run import run_study
from pid_jax.study.spec import StudySpec

RUNS, SAMPLES, REPLICATES = 200, 1000, 200
SEED = 3061
CELL = ("model", "task", "condition")
# Families of numbers: the variable, and the coordinate that tells its members apart.
FAMILIES = {
    "metric": "metric_name",
    "overall_metric": "metric_name",
    "effect": "effect_name",
    "overall_effect": "effect_name",
    "fingerprint": "share",
    "fingerprint_distance": "",
    "layer_share": "share",
    "model_correlation": "atom",
    "overall_model_correlation": "atom",
    "task_correlation": "atom",
}
LAYERS = max(MODELS.values()) + 1


def true_study() -> xr.Dataset:
    """Make the study as it would be with infinitely many samples."""
    atoms = np.full((4, len(MODELS), len(TASKS), len(CONDITIONS), LAYERS), np.nan)
    accuracy = np.empty(atoms.shape[1:4])
    for place in np.ndindex(accuracy.shape):
        cell = plant(*place)
        found = cell.atoms
        atoms[(slice(None), *place, slice(found.shape[-1]))] = found
        accuracy[place] = cell.accuracy
    names = [name.partition("@") for name in CONDITIONS]
    last = np.array([[last_cut(blocks, cut) for cut in CUTS] for blocks in MODELS.values()])
    data: dict[str, Any] = {
        name: ((*CELL, "measure", "layer"), atoms[i][..., None, :], {"units": "nats"}) for i, name in enumerate(ATOMS)
    }
    data["accuracy"] = (CELL, accuracy)
    data["n_samples"] = (CELL[:2], np.full(accuracy.shape[:2], SAMPLES))
    return xr.Dataset(
        data,
        coords={
            "model": list(MODELS),
            "task": list(TASKS),
            "condition": list(CONDITIONS),
            "measure": ["broja"],
            "layer": np.arange(LAYERS),
            "edges": ("condition", [edges if window else "" for edges, _, window in names]),
            "window": ("condition", [window for _, _, window in names]),
            "cut_first": (("model", "condition"), np.minimum(last, 0)),
            "cut_last": (("model", "condition"), last),
            "last_layer": ("model", list(MODELS.values())),
        },
        attrs={"source_1_label": VISION, "source_2_label": LANGUAGE},
    )


def sampled_study(gaussianize: Gaussianizer, seed: int, run: int) -> xr.Dataset:
    """Draw samples of each task, write them to stores, and make the study of the stores with one Gaussianizer."""
    rng = np.random.default_rng([seed, run])
    spec = StudySpec(
        pid=PIDSpec(reduction=NoReduction(), gaussianize=gaussianize),
        compared=(),
        compared_measures=(),
        measures=(BROJA(),),
        replicates=REPLICATES,
    )
    drawn = [draw_task(task, SAMPLES, rng) for task in range(len(TASKS))]
    with TemporaryDirectory() as folder:
        models = []
        for model, name in enumerate(MODELS):
            places = [(model, condition) for condition in range(len(CONDITIONS))]
            stores = [_write(Path(folder) / f"{model}-{at[1]}", *at, [task[at] for task in drawn]) for at in places]
            models.append(StudyModel(name=name, baseline=stores[0], knockouts=tuple(stores[1:])))
        return run_study(models, spec=spec, seed=run).sel(task=list(TASKS))


def _write(path: Path, model: int, condition: int, tasks: list[Drawn]) -> ActivationStore:
    """Write the states of one model under one condition."""
    blocks = list(MODELS.values())[model]
    samples, last = tasks[0][0].shape[1], last_cut(blocks, CUTS[condition])
    ids = tuple(f"{task}-{i:05d}" for task in TASKS for i in range(samples))
    rows = np.concatenate([rows for rows, _ in tasks], axis=1).astype(np.float32)
    is_correct = np.concatenate([correct for _, correct in tasks])
    image, question, target = split(rows, DIMS)
    values = {
        tensor_name(role, i): x[i] for role, x in (("image", image), ("question", question)) for i in range(len(x))
    }
    values[tensor_name("last", NORM)] = target[0]
    edges = [["image", "question"]] if last >= 0 else []
    about = {"name": CONDITIONS[condition], "label": CONDITIONS[condition], "edges": edges}
    manifest = Manifest(
        ids=ids,
        shard_size=len(ids),
        tensors=tuple(values),
        condition=about | {"first": min(last, 0), "last": last},
        settings={"model": {"name": list(MODELS)[model]}, "data": {"reader": "planted"}, "versions": {}},
    )
    store = ActivationStore.create(path, manifest)
    place = {one: i for i, one in enumerate(ids)}
    order = [place[one] for one in store.shard_ids(0)]
    gold = np.where(np.arange(len(ids)) % 2, "yes", "no")
    columns = [{"task": ids[i].rsplit("-", 1)[0], "gold": str(gold[i]), "correct": bool(is_correct[i])} for i in order]
    store.write_shard(0, store.shard_ids(0), columns, {name: x[order] for name, x in values.items()})
    return ActivationStore.open(path)


def coverage(truth: xr.Dataset, found: xr.Dataset) -> Iterator[Row]:
    """Compare all runs (dimension `run`) with the truth, number by number."""
    for family, along in FAMILIES.items():
        members = [(str(name), {along: name}) for name in truth[along].values] if along else [("", {})]
        for name, at in members:
            true = truth[family].sel(at).values
            counts = np.isfinite(true) & _is_unknown(truth[family].sel(at))
            ends = (found[f"{family}{end}"].sel(at).values[:, counts] for end in ("", "_lower", "_upper"))
            yield {"family": family, "number": name, **_compared(true[counts], *ends)}


def _compared(true: np.ndarray, value: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> Row:
    has_interval = np.isfinite(lower) & np.isfinite(upper)
    above, below = true > upper + ZERO, true < lower - ZERO
    by_number = np.where(has_interval, ~(above | below), np.nan)
    known = has_interval.any(axis=0)
    spread = np.nanstd(value, axis=0)
    off = np.abs(np.nanmean(value, axis=0) - true) / np.where(spread > 0, spread, 1)
    return {
        "numbers": known.sum(),
        "held": np.nanmean(by_number),
        "held, worst number": np.nanmean(by_number[:, known], axis=0).min(),
        "misses above": above[has_interval].mean(),
        "misses below": below[has_interval].mean(),
        "largest bias, sd": off[known].max(),
        "mean width": np.nanmean(upper - lower),
        "no interval": 1 - has_interval.mean(),
    }


def _is_unknown(one: xr.DataArray) -> np.ndarray:
    """Leave out what is known beforehand: that of something with itself; and one of two that are the same."""
    for name in ("model", "task", "profile"):
        if f"{name}_2" in one.dims:
            place = {n: xr.DataArray(np.arange(one.sizes[n]), dims=n) for n in (name, f"{name}_2")}
            return (place[name] < place[f"{name}_2"]).broadcast_like(one).transpose(*one.dims).values
    return np.ones(one.shape, bool)


def verdicts(truth: xr.Dataset, found: xr.Dataset) -> Iterator[Row]:
    """Count verdicts over all runs, beside what is true."""
    for claim, model in product(truth["claim"].values, truth["model"].values):
        at = {"claim": claim, "model": model}
        given = found["verdict"].sel(at).values
        row = {"claim": str(claim), "model": str(model), "true value": truth["claim_value"].sel(at).values}
        yield row | {verdict: (given == verdict).mean() for verdict in (SUPPORTED, CONTRADICTED, NOT_TESTABLE)}


def run_all(make: Callable[[int], xr.Dataset], runs: int) -> xr.Dataset:
    """Make studies with their metrics, and keep what is compared with the truth."""
    names = [f"{name}{end}" for name in FAMILIES for end in ("", "_lower", "_upper")]
    kept: list[xr.Dataset] = []
    for run in range(runs):
        kept.append(add_metrics(make(run))[[*names, "verdict"]])
        print(f"{run + 1}/{runs}", end="\r", flush=True)
    return xr.concat(kept, "run")


def main(runs: int, gaussianize: str) -> None:
    truth = add_metrics(true_study())
    settings = GAUSSIANIZERS[gaussianize].default
    with Cost() as cost:
        found = run_all(partial(sampled_study, settings, SEED), runs)
    tables = {
        f"{family}, {runs} runs": [{name: x for name, x in row.items() if name != "family"} for row in rows]
        for family, rows in by("family", coverage(truth, found)).items()
    }
    tables[f"Verdicts, {runs} runs"] = list(verdicts(truth, found))
    is_default = type(settings) is type(StudySpec().pid.gaussianize)
    write_results(
        "planted" if is_default else f"planted_{gaussianize}",
        f"Metrics of a planted study, {label_of(type(settings).__name__)}",
        f"Studies of {len(MODELS)} models, {len(TASKS)} tasks and {len(CONDITIONS)} conditions, through stores, "
        f"{SAMPLES} samples a task, {REPLICATES} replicates; 95 % intervals. {cost.cpu:.0f} CPU seconds.",
        tables,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=RUNS)
    parser.add_argument("--gaussianize", choices=[*GAUSSIANIZERS], default="copula")
    main(**vars(parser.parse_args()))
