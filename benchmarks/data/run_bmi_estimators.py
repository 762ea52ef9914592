"""Run the estimators that benchmark-mi ships, with its default settings, on the kept samples.

Runs in the environment that make_bmi_tasks.py describes, after it:

    taskset -c 1 /tmp/bmi-venv/bin/python benchmarks/data/run_bmi_estimators.py --minutes 60

Writes bmi_estimators.json beside this file after every estimate, and goes on from it when started again. These are
runs of the package's estimators on our samples (n = 5000, one seed a task), not figures of the paper (n = 10000, ten
seeds). The neural ones return the best value on a test half of the sample over their training.
"""

import argparse
import json
import signal
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

import bmi
import numpy as np

HERE = Path(__file__).parent
RESULTS = HERE / "bmi_estimators.json"
SEED = 0  # of the sample; the estimators keep their own default seed
LIMIT_SECONDS = 300  # wall time of one estimate
MAKERS: dict[str, Callable[[], Any]] = {
    "CCA": bmi.estimators.CCAMutualInformationEstimator,
    "InfoNCE": lambda: bmi.estimators.InfoNCEEstimator(verbose=False),
    "MINE": lambda: bmi.estimators.MINEEstimator(verbose=False),
    "KSG": bmi.estimators.KSGEnsembleFirstEstimator,
    "Donsker-Varadhan": lambda: bmi.estimators.DonskerVaradhanEstimator(verbose=False),
    "NWJ": lambda: bmi.estimators.NWJEstimator(verbose=False),
}


def give_up(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError


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


def write(results: list[dict[str, Any]]) -> None:
    """Write all results, one a line, by way of a second file so that an interruption loses none."""
    lines = ",\n".join(json.dumps(result) for result in results)
    partial = RESULTS.with_suffix(".partial")
    partial.write_text(f"[\n{lines}\n]\n")
    partial.replace(RESULTS)


def main(minutes: float) -> None:
    signal.signal(signal.SIGALRM, give_up)
    end = time.monotonic() + 60 * minutes
    tasks = [task for task in json.loads((HERE / "bmi_tasks.json").read_text())["tasks"] if task["seed"] == SEED]
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    done = {(result["estimator"], result["name"]) for result in results}
    with np.load(HERE / "bmi_tasks.npz") as samples:
        for estimator, maker in MAKERS.items():
            for task in tasks:
                name = task["name"]
                if (estimator, name) in done or time.monotonic() > end:
                    continue
                x, y = (samples[f"{name}/{SEED}/{side}"] for side in "xy")
                kept = {key: task[key] for key in ("name", "family", "dim_x", "dim_y", "n", "seed", "truth_nats")}
                results.append({"estimator": estimator, **kept, **estimate(maker, x, y)})
                results[-1]["package"] = f"benchmark-mi {version('benchmark-mi')}"
                write(results)
                print(results[-1], flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="start no estimate after this many minutes")
    main(parser.parse_args().minutes)
