"""Sample the tasks of the mutual-information benchmark of Czyż et al. (2023), and run its package's estimators on them.

benchmark-mi 0.1.3 imports only with an old JAX and SciPy, so this runs in an environment of its own (Python 3.11):

    python3.11 -m venv /tmp/bmi-venv
    /tmp/bmi-venv/bin/pip install benchmark-mi==0.1.3 jax==0.4.30 jaxlib==0.4.30 'scipy<1.13' 'numpy<2'
    /tmp/bmi-venv/bin/python benchmarks/data/make_bmi.py tasks
    taskset -c 1 /tmp/bmi-venv/bin/python benchmarks/data/make_bmi.py estimators

`tasks` writes bmi_tasks.npz (float32, keys `<name>/<seed>/x` and `<name>/<seed>/y`) and bmi_tasks.json beside this
file. `estimators` writes bmi_estimators.json: runs of the package's estimators with its default settings on our samples
(n = 5000, one seed a task), not figures of the paper (n = 10000, ten seeds). The neural ones return the best value on a
test half of the sample over their training.

Source: P. Czyż, F. Grabowski, J. Vogt, N. Beerenwinkel, A. Marx, "Beyond Normal: On the Evaluation of Mutual
Information Estimators", NeurIPS 2023, arXiv:2306.11078.
"""

import json
import signal
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

import bmi
import numpy as np

HERE = Path(__file__).parent
N_SAMPLES = 5000
MOST_DIMS = 25  # of x and of y; larger tasks are left out
SMALL_DIMS, SMALL_SEEDS, LARGE_SEEDS = 5, (0, 1, 2), (0,)  # the small tasks cost little space
PACKAGES = ("benchmark-mi", "jax", "jaxlib", "numpy", "scipy", "tensorflow-probability")
# The first prefix that a name starts with gives its family: the transformed tasks come before their bases.
FAMILIES = {
    "swissroll_x-": "swiss roll",
    "spiral-normal_cdf-": "spiral of uniform",
    "spiral-": "spiral",
    "half_cube-": "half-cube",
    "normal_cdf-": "uniform margins",
    "wiggly-": "wiggly",
    "asinh-student-": "asinh student-t",
    "student-": "student-t",
    "multinormal-": "normal",
    "1v1-normal": "normal",
    "1v1-additive": "additive noise",
    "1v1-bimodal": "bimodal",
}
SEED = 0  # of the samples to estimate; the estimators keep their own default seed
LIMIT_SECONDS = 300  # wall time of one estimate
MAKERS: dict[str, Callable[[], Any]] = {
    "CCA": bmi.estimators.CCAMutualInformationEstimator,
    "InfoNCE": lambda: bmi.estimators.InfoNCEEstimator(verbose=False),
    "MINE": lambda: bmi.estimators.MINEEstimator(verbose=False),
    "KSG": bmi.estimators.KSGEnsembleFirstEstimator,
    "Donsker-Varadhan": lambda: bmi.estimators.DonskerVaradhanEstimator(verbose=False),
    "NWJ": lambda: bmi.estimators.NWJEstimator(verbose=False),
}


def make_tasks() -> None:
    """Draw every task that is small enough; write samples, a record for each task and seed, and what is left out."""
    samples, tasks, left_out = {}, [], []
    for name, task in bmi.benchmark.BENCHMARK_TASKS.items():
        dims = {"dim_x": task.dim_x, "dim_y": task.dim_y}
        if max(dims.values()) > MOST_DIMS:
            left_out.append({"name": name, **dims, "why": f"more than {MOST_DIMS} dimensions"})
            continue
        family = next(family for prefix, family in FAMILIES.items() if name.startswith(prefix))
        about = {"name": name, "title": task.name, "family": family}
        about["is_student_t"] = "student-t" in family  # asinh acts on the margins; the copula stays
        for seed in SMALL_SEEDS if max(dims.values()) <= SMALL_DIMS else LARGE_SEEDS:
            for side, values in zip("xy", task.sample(N_SAMPLES, seed=seed), strict=True):
                samples[f"{name}/{seed}/{side}"] = np.asarray(values, np.float32)
            known = {"n": N_SAMPLES, "seed": seed, "truth_nats": float(task.mutual_information)}
            tasks.append({**about, **dims, **known})
    broken = [key for key, values in samples.items() if not np.isfinite(values).all()]
    if broken:
        raise ValueError(f"samples must be finite; these are not: {', '.join(broken)}")
    np.savez_compressed(HERE / "bmi_tasks.npz", **samples)
    record = {"packages": {name: version(name) for name in PACKAGES}, "tasks": tasks, "left_out": left_out}
    (HERE / "bmi_tasks.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(tasks)} samples of {len({task['name'] for task in tasks})} tasks; left out: {left_out}")


def run_estimators() -> None:
    """Run every estimator on every task, and write one result a line."""
    signal.signal(signal.SIGALRM, give_up)
    tasks = [task for task in json.loads((HERE / "bmi_tasks.json").read_text())["tasks"] if task["seed"] == SEED]
    results = []
    with np.load(HERE / "bmi_tasks.npz") as samples:
        for estimator, maker in MAKERS.items():
            for task in tasks:
                x, y = (samples[f"{task['name']}/{SEED}/{side}"] for side in "xy")
                kept = {key: task[key] for key in ("name", "family", "dim_x", "dim_y", "n", "seed", "truth_nats")}
                results.append({"estimator": estimator, **kept, **estimate(maker, x, y)})
                results[-1]["package"] = f"benchmark-mi {version('benchmark-mi')}"
                print(results[-1], flush=True)
    lines = ",\n".join(json.dumps(result) for result in results)
    (HERE / "bmi_estimators.json").write_text(f"[\n{lines}\n]\n")


def estimate(maker: Callable[[], Any], x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Run one estimator within the time limit.

    Returns:
        The estimate in nats (None where none came out), CPU seconds of all threads, and what went wrong or None.
    """
    start, found, problem = time.process_time(), None, None
    signal.alarm(LIMIT_SECONDS)
    try:
        found = float(maker().estimate(x, y))
    except TimeoutError:
        problem = f"no estimate in {LIMIT_SECONDS} s"
    except Exception as error:  # one estimator that fails must not stop the rest
        problem = f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    if found is not None and not np.isfinite(found):
        found, problem = None, f"the estimate is {found}"
    return {"estimate": found, "cpu_seconds": round(time.process_time() - start, 2), "problem": problem}


def give_up(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError


if __name__ == "__main__":
    {"tasks": make_tasks, "estimators": run_estimators}[sys.argv[1]]()
