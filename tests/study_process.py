"""One of several processes that run a small study, started by the tests: `study_process.py FOLDER CELLS KIND`.

It writes its results, the names of all tensors that it read and what it told. KIND is "quick" or "whole" (with tests,
verdicts and another universe), or an accident: process 1 is "killed" while it writes its second cell, finds the disk
"full" there, or has "other" settings than process 0.
"""

import errno
import json
import os
import signal
import sys
from pathlib import Path

import xarray as xr

from pid_jax.pid.mmi import MMI
from pid_jax.runtime import files as atomic
from pid_jax.runtime.launch import find_launch
from pid_jax.runtime.processes import ALONE, Processes, join_processes
from pid_jax.settings.estimate import PCA, NoCorrection, PIDSpec
from pid_jax.settings.gaussianize import NoGaussianization
from pid_jax.store import ActivationStore
from pid_jax.study.config import read_config
from pid_jax.study.full import run_full_study
from pid_jax.study.model import StudyModel
from pid_jax.study.results import save_study
from pid_jax.study.run import run_study
from pid_jax.study.spec import StudySpec

# Little is compiled for this.
PID = PIDSpec(reduction=PCA(dim=(3, 3, 2)), gaussianize=NoGaussianization(), bias_correction=NoCorrection())
QUICK = StudySpec(pid=PID, compared=(), compared_measures=(), measures=(MMI(),), replicates=0)


def run_small(
    folder: Path, cells: Path, kind: str = "quick", seed: int = 0, processes: Processes = ALONE
) -> tuple[xr.Dataset, list[str]]:
    """Run the study of a folder; return its results and what it told."""
    lines: list[str] = []
    if kind == "whole":
        config = read_config(folder / "study.toml")
        found = run_full_study(config, cells=cells, tell=lines.append, processes=processes)
        return found.targets["final-norm"].results, lines
    baseline, *knockouts = (ActivationStore.open(folder / name) for name in ("b", "k", "damaged"))
    model = StudyModel(name="m", baseline=baseline, knockouts=tuple(knockouts))
    return run_study([model], spec=QUICK, seed=seed, cells=cells, tell=lines.append, processes=processes), lines


def record_reads() -> list[str]:
    """Make stores note which tensors are read."""
    reads: list[str] = []
    read = ActivationStore.read

    def recorded(store, **which):
        reads.append(f"{Path(store.path).name} {which['role']} {which['layer']}")
        return read(store, **which)

    setattr(ActivationStore, "read", recorded)  # noqa: B010 - a checker of types would refuse the plain way
    return reads


def plan_accident(kind: str) -> None:
    """Stop the second file that is written, before it has its name."""
    written: list[Path] = []
    flush = atomic._flush

    def stopped(path: Path) -> None:
        if path.suffix == atomic.TEMPORARY_SUFFIX:
            written.append(path)
            if len(written) == 2 and kind == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if len(written) == 2:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(path)

    atomic._flush = stopped


def main(folder: Path, cells: Path, kind: str) -> None:
    reads, launch = record_reads(), find_launch()
    is_struck = launch.rank == 1
    if is_struck and kind in ("killed", "full"):
        plan_accident(kind)
    with join_processes(launch) as processes:
        seed = 1 if is_struck and kind == "other" else 0
        results, lines = run_small(folder, cells, kind, seed, processes)
        save_study(results, folder / f"{cells.name}-{launch.rank}.nc")
    (folder / f"{cells.name}-{launch.rank}.json").write_text(json.dumps({"reads": reads, "lines": lines}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
