"""Sample the tasks of the mutual-information benchmark of Czyż et al. (2023) once and keep them as data.

benchmark-mi 0.1.3 imports only with an old JAX and SciPy, so this runs in an environment of its own (Python 3.11):

    python3.11 -m venv /tmp/bmi-venv
    /tmp/bmi-venv/bin/pip install benchmark-mi==0.1.3 jax==0.4.30 jaxlib==0.4.30 'scipy<1.13' 'numpy<2'
    /tmp/bmi-venv/bin/python benchmarks/data/make_bmi_tasks.py

Writes bmi_tasks.npz (float32, keys `<name>/<seed>/x` and `<name>/<seed>/y`) and bmi_tasks.json beside this file.

Source: P. Czyż, F. Grabowski, J. Vogt, N. Beerenwinkel, A. Marx, "Beyond Normal: On the Evaluation of Mutual
Information Estimators", NeurIPS 2023, arXiv:2306.11078.
"""

import json
from importlib.metadata import version
from pathlib import Path
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


def family_of(name: str) -> str:
    return next(family for prefix, family in FAMILIES.items() if name.startswith(prefix))


def sample_all() -> tuple[dict[str, np.ndarray], list[dict[str, Any]], list[dict[str, Any]]]:
    """Draw every task that is small enough.

    Returns:
        The samples by key, one record for each task and seed, and one for each task left out.
    """
    samples, tasks, left_out = {}, [], []
    for name, task in bmi.benchmark.BENCHMARK_TASKS.items():
        dims = {"dim_x": task.dim_x, "dim_y": task.dim_y}
        if max(dims.values()) > MOST_DIMS:
            left_out.append({"name": name, **dims, "why": f"more than {MOST_DIMS} dimensions"})
            continue
        for seed in SMALL_SEEDS if max(dims.values()) <= SMALL_DIMS else LARGE_SEEDS:
            for side, values in zip("xy", task.sample(N_SAMPLES, seed=seed), strict=True):
                samples[f"{name}/{seed}/{side}"] = np.asarray(values, np.float32)
            family = family_of(name)
            tasks.append(
                {
                    "name": name,
                    "title": task.name,
                    "family": family,
                    "is_student_t": "student-t" in family,  # asinh acts on the margins; the copula stays
                    **dims,
                    "n": N_SAMPLES,
                    "seed": seed,
                    "truth_nats": float(task.mutual_information),
                }
            )
    return samples, tasks, left_out


def main() -> None:
    samples, tasks, left_out = sample_all()
    broken = [key for key, values in samples.items() if not np.isfinite(values).all()]
    if broken:
        raise ValueError(f"samples must be finite; these are not: {', '.join(broken)}")
    np.savez_compressed(HERE / "bmi_tasks.npz", **samples)
    record = {"packages": {name: version(name) for name in PACKAGES}, "tasks": tasks, "left_out": left_out}
    (HERE / "bmi_tasks.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(tasks)} samples of {len({task['name'] for task in tasks})} tasks; left out: {left_out}")


if __name__ == "__main__":
    main()
