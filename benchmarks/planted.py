"""Whether the metrics of a study recover what was planted, and whether their intervals hold it.

Run `make bench`, or `python -m benchmarks.planted`. Prints tables and writes them to benchmarks/results/planted.json
and planted.md. The seeds were not used while metrics and intervals were chosen.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import jax
import numpy as np
import xarray as xr

from benchmarks.pages import write_page
from benchmarks.planted_stores import stored_study
from benchmarks.planted_system import (
    CONDITIONS,
    CUTS,
    DIMS,
    MODELS,
    TASKS,
    draw_task,
    last_cut,
    plant,
    stacked,
)
from benchmarks.timing import circumstances
from pid_jax.bias.sampling import sampling_errors, subtract_sampling
from pid_jax.decompose.pid import solve_pid
from pid_jax.decompose.result import ATOMS
from pid_jax.inference.influence import influence_of_rows
from pid_jax.pid.broja import BROJA
from pid_jax.pid.calibration import LEAST_SHARE
from pid_jax.runtime.threads import one_blas_thread
from pid_jax.settings.estimate import IndirectInference
from pid_jax.study.metrics.add import add_metrics
from pid_jax.study.metrics.claims import NOT_SUPPORTED, NOT_TESTABLE, SUPPORTED

PACKAGES = ("pid_jax", "jax", "numpy", "scipy", "xarray")
RUNS, STORED_RUNS, SAMPLES, REPLICATES = 200, 40, 1000, 200
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
    return _study(atoms, accuracy)


def sampled_study(rng: np.random.Generator, samples: int = SAMPLES, replicates: int = REPLICATES) -> xr.Dataset:
    """Draw samples, and estimate the study from them."""
    shape = (len(MODELS), len(TASKS), len(CONDITIONS))
    atoms = np.full((4, *shape, LAYERS), np.nan)
    drawn = np.full((4, *shape, LAYERS, replicates), np.nan, np.float32)
    accuracy, of_replicates = np.empty(shape), np.empty((*shape, replicates))
    for task in range(len(TASKS)):
        weights = rng.poisson(1.0, (replicates, samples)).astype(float)
        weights *= samples / weights.sum(axis=1, keepdims=True)
        cells = draw_task(task, samples, rng)
        found, scatter = _estimate(np.concatenate([rows for rows, _ in cells.values()]), weights)
        first = 0
        for (model, condition), (rows, is_correct) in cells.items():
            at, own = (slice(None), model, task, condition, slice(len(rows))), slice(first, first + len(rows))
            atoms[at] = found[:, own]
            drawn[at] = found[:, own, None] + scatter[:, own]
            accuracy[model, task, condition] = is_correct.mean()
            of_replicates[model, task, condition] = weights @ is_correct / samples
            first += len(rows)
    data: dict[str, Any] = {
        f"replicate_{name}": ((*CELL, "layer", "replicate"), drawn[i]) for i, name in enumerate(ATOMS)
    }
    data["replicate_accuracy"] = ((*CELL, "replicate"), of_replicates)
    return _study(atoms, accuracy).assign(data)


def _estimate(rows: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimate atoms (atom, problem) and how replicates are off (atom, problem, replicate), as a study does."""
    samples = rows.shape[1]
    centered = rows - rows.mean(axis=1, keepdims=True)
    with one_blas_thread(sum(DIMS)):
        cov = np.stack([one.T @ one for one in centered]) / (samples - 1)
        weighted = np.stack([_weighted(one, weights) for one in centered], axis=1)
    plain = solve_pid(cov, DIMS, BROJA())
    errors = sampling_errors(plain, cov, DIMS, samples, BROJA(), IndirectInference(), jax.random.key(0))
    influence = stacked(influence_of_rows(cov, DIMS, BROJA(), rows))
    smooth = influence @ (weights - 1).T / samples
    rough = np.moveaxis(stacked(solve_pid(weighted, DIMS, BROJA()).atoms), 1, -1)
    smooth, rough = (x - x.mean(axis=-1, keepdims=True) for x in (smooth, rough))
    is_blind = smooth.std(axis=-1, keepdims=True) < LEAST_SHARE * rough.std(axis=-1, keepdims=True)
    return stacked(subtract_sampling(plain, errors).found.atoms), np.where(is_blind, rough, smooth)


def _weighted(centered: np.ndarray, weights: np.ndarray) -> np.ndarray:
    samples = len(centered)
    mean = weights @ centered / samples
    squares = np.einsum("rn,ni,nj->rij", weights, centered, centered, optimize=True)
    return (squares - samples * mean[:, :, None] * mean[:, None]) / (samples - 1)


def _study(atoms: np.ndarray, accuracy: np.ndarray) -> xr.Dataset:
    """Label atoms (atom, model, task, condition, layer) and accuracies as a study does."""
    names = [name.partition("@") for name in CONDITIONS]
    last = np.array([[last_cut(blocks, cut) for cut in CUTS] for blocks in MODELS.values()])
    data: dict[str, Any] = {
        f"tested_{name}": ((*CELL, "layer"), atoms[i], {"units": "nats"}) for i, name in enumerate(ATOMS)
    }
    data["accuracy"] = (CELL, accuracy)
    data["n_samples"] = (CELL[:2], np.full(accuracy.shape[:2], SAMPLES))
    return xr.Dataset(
        data,
        coords={
            "model": list(MODELS),
            "task": list(TASKS),
            "condition": list(CONDITIONS),
            "layer": np.arange(LAYERS),
            "edges": ("condition", [edges if window else "" for edges, _, window in names]),
            "window": ("condition", [window for _, _, window in names]),
            "cut_first": (("model", "condition"), np.minimum(last, 0)),
            "cut_last": (("model", "condition"), last),
            "last_layer": ("model", list(MODELS.values())),
        },
    )


def coverage(truth: xr.Dataset, found: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Compare all runs (dimension `run`) with the truth, number by number."""
    for family, along in FAMILIES.items():
        members = [(str(name), {along: name}) for name in truth[along].values] if along else [("", {})]
        for name, at in members:
            true = truth[family].sel(at).values
            value, lower, upper = (found[f"{family}{end}"].sel(at).values for end in ("", "_lower", "_upper"))
            counts = np.isfinite(true) & _is_unknown(truth[family].sel(at))
            true, value, lower, upper = true[counts], value[:, counts], lower[:, counts], upper[:, counts]
            has_interval = np.isfinite(lower) & np.isfinite(upper)
            rounding = 1e-9
            holds = (lower - rounding <= true) & (true <= upper + rounding)
            by_number = np.where(has_interval, holds, np.nan)
            known = has_interval.any(axis=0)
            spread = np.nanstd(value, axis=0)
            off = np.abs(np.nanmean(value, axis=0) - true) / np.where(spread > 0, spread, 1)
            yield {
                "family": family,
                "number": name,
                "numbers": int(known.sum()),
                "held": float(np.nanmean(by_number)),
                "held, worst number": float(np.nanmean(by_number[:, known], axis=0).min()),
                "misses above": float((true > upper + rounding)[has_interval].mean()),
                "misses below": float((true < lower - rounding)[has_interval].mean()),
                "largest bias, sd": float(off[known].max()),
                "mean width": float(np.nanmean(upper - lower)),
                "no interval": float(1 - has_interval.mean()),
            }


def _is_unknown(one: xr.DataArray) -> np.ndarray:
    """Leave out what is known beforehand: that of something with itself; and one of two that are the same."""
    for name in ("model", "task", "profile"):
        if f"{name}_2" in one.dims:
            place = {n: xr.DataArray(np.arange(one.sizes[n]), dims=n) for n in (name, f"{name}_2")}
            return (place[name] < place[f"{name}_2"]).broadcast_like(one).transpose(*one.dims).values
    return np.ones(one.shape, bool)


def verdicts(truth: xr.Dataset, found: xr.Dataset) -> Iterator[dict[str, object]]:
    """Count verdicts over all runs, beside what is true."""
    for claim, model in product(truth["claim"].values, truth["model"].values):
        at = {"claim": claim, "model": model}
        row: dict[str, object] = {
            "claim": str(claim),
            "model": str(model),
            "true value": float(truth["claim_value"].sel(at)),
        }
        given = found["verdict"].sel(at).values
        yield row | {verdict: float((given == verdict).mean()) for verdict in (SUPPORTED, NOT_SUPPORTED, NOT_TESTABLE)}


def run_all(make: Callable[[int], xr.Dataset], runs: int) -> xr.Dataset:
    """Make studies with their metrics, and keep what is compared with the truth."""
    names = [f"{name}{end}" for name in FAMILIES for end in ("", "_lower", "_upper")]
    kept: list[xr.Dataset] = []
    for run in range(runs):
        kept.append(add_metrics(make(run))[[*names, "verdict"]])
        print(f"{run + 1}/{runs}", end="\r", flush=True)
    return xr.concat(kept, "run")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--stored", type=int, default=STORED_RUNS)
    options = parser.parse_args()
    truth = add_metrics(true_study())
    start = time.process_time()
    direct = run_all(lambda run: sampled_study(np.random.default_rng([SEED, run])), options.runs)
    tables = {f"{family}, {options.runs} runs": [] for family in FAMILIES}
    for row in coverage(truth, direct):
        tables[f"{row.pop('family')}, {options.runs} runs"].append(row)
    tables[f"Verdicts, {options.runs} runs"] = list(verdicts(truth, direct))
    if options.stored:
        stored = run_all(
            lambda run: stored_study(np.random.default_rng([SEED + 1, run]), SAMPLES, REPLICATES, run), options.stored
        )
        tables[f"Through stores and ranks, {options.stored} runs"] = list(coverage(truth, stored))
    seconds = time.process_time() - start
    write_page(
        "planted",
        "Metrics of a planted study",
        f"Studies of {len(MODELS)} models, {len(TASKS)} tasks and {len(CONDITIONS)} conditions, {SAMPLES} samples a "
        f"task, {REPLICATES} replicates; 95 % intervals. {seconds:.0f} CPU seconds.",
        tables,
        circumstances(*PACKAGES),
    )


if __name__ == "__main__":
    main()
