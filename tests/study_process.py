"""One of several processes that run a small study, started by the tests: `study_process.py FOLDER CELLS [ACCIDENT]`.

It writes its results and the names of all tensors that it read, and it may have an accident: process 1 is killed while
it writes its second cell, fails there, or finds other stores than process 0.
"""

import json
import os
import signal
import sys
from pathlib import Path

from pid_jax import atomic
from pid_jax.full_study import run_full_study
from pid_jax.launch import find_launch
from pid_jax.processes import join_processes
from pid_jax.store import ActivationStore
from pid_jax.study.results import save_study
from pid_jax.study_config import read_config


def record_reads() -> list[str]:
    """Make stores note which tensors are read."""
    reads: list[str] = []
    read = ActivationStore.read

    def recorded(store, **which):
        reads.append(f"{Path(store.path).name} {which['role']} {which['layer']}")
        return read(store, **which)

    ActivationStore.read = recorded
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
                raise OSError("No space left on device")
        flush(path)

    atomic._flush = stopped


def main(folder: Path, cells: Path, accident: str) -> None:
    reads, launch, lines = record_reads(), find_launch(), []
    name = "study.toml"
    if launch.rank == 1 and accident in ("killed", "full"):
        plan_accident(accident)
    if launch.rank == 1 and accident == "other":
        name = "other.toml"
    with join_processes(launch) as processes:
        results, problems = run_full_study(
            read_config(folder / name), cells=cells, tell=lines.append, processes=processes
        )
        save_study(results, cells.parent / f"{cells.name}-{launch.rank}.nc")
    said = {"reads": reads, "lines": lines, "problems": problems}
    (cells.parent / f"{cells.name}-{launch.rank}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "")
