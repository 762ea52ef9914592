"""How a launcher tells a process which of several it is: one set of rules for studies and extractions."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

# torchrun says with "True" that it listens at MASTER_PORT itself.
_PORT_IS_TAKEN = "TORCHELASTIC_USE_AGENT_STORE"
_COORDINATOR = ("MASTER_ADDR", "MASTER_PORT")
_ABOUT_COORDINATOR = " (MASTER_ADDR is the host of process 0, MASTER_PORT a free port there)"
_HIGHEST_PORT = 65535


@dataclass(frozen=True, kw_only=True)
class _Launcher:
    """The variables that a launcher sets.

    Attributes:
        title: Its name, for messages.
        rank: Number of the process.
        count: How many processes there are.
        local_ranks: Number of the process on its machine; the first that is set counts.
        signs: The launcher was used if one of these is set.
        needed: Variables that it always sets.
    """

    title: str
    rank: str
    count: str
    local_ranks: tuple[str, ...]
    signs: tuple[str, ...]
    needed: tuple[str, ...]


_TORCHRUN = _Launcher(
    title="torchrun",
    rank="RANK",
    count="WORLD_SIZE",
    local_ranks=("LOCAL_RANK",),
    signs=("RANK", "WORLD_SIZE"),
    needed=("RANK", "WORLD_SIZE"),
)
_OPEN_MPI = _Launcher(
    title="mpirun",
    rank="OMPI_COMM_WORLD_RANK",
    count="OMPI_COMM_WORLD_SIZE",
    local_ranks=("OMPI_COMM_WORLD_LOCAL_RANK",),
    signs=("OMPI_COMM_WORLD_RANK",),
    needed=("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
)
_SRUN = _Launcher(
    title="srun",
    rank="SLURM_PROCID",
    count="SLURM_NTASKS",
    local_ranks=("SLURM_LOCALID",),
    signs=("SLURM_STEP_NODELIST",),  # which a batch script without srun does not have
    needed=("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID"),
)
_PMI = _Launcher(  # MPICH and Intel MPI
    title="mpiexec",
    rank="PMI_RANK",
    count="PMI_SIZE",
    local_ranks=("MPI_LOCALRANKID", "PMI_LOCAL_RANK"),
    signs=("PMI_RANK",),
    needed=("PMI_RANK", "PMI_SIZE"),
)
_LAUNCHERS = (_TORCHRUN, _OPEN_MPI, _SRUN, _PMI)


@dataclass(frozen=True, kw_only=True)
class Launch:
    """The place of this process among those of a run.

    Attributes:
        rank: Its number among all, from 0.
        count: How many there are.
        local_rank: Its number on its machine, which chooses the accelerator; None if no variable states it.
        launcher: Name of the launcher; empty for a process that none started.
        coordinator: Where process 0 listens, as "host:port"; None where JAX finds it itself, from what Slurm says.
    """

    rank: int = 0
    count: int = 1
    local_rank: int | None = None
    launcher: str = ""
    coordinator: str | None = None


def find_process(environment: Mapping[str, str] = os.environ) -> Launch:
    """Return the number of this process among those that a launcher started; without a launcher it is alone.

    The variables of torchrun count first, then those of Open MPI's mpirun, of srun, and of another mpiexec.

    Raises:
        ValueError: If a launcher's variables are incomplete, no numbers, or contradict each other.
    """
    launcher = _launcher_in(environment)
    if launcher is None:
        return Launch(local_rank=_local_rank(environment, _TORCHRUN))
    return _read(environment, launcher, launcher.needed)


def find_launch(environment: Mapping[str, str] = os.environ) -> Launch:
    """Return what processes that exchange data need: `find_process`, and where they meet.

    Processes of srun find each other; all others need MASTER_ADDR and MASTER_PORT, which torchrun sets.

    Raises:
        ValueError: If there is no launcher, or for a reason of `find_process`.
    """
    launcher = _launcher_in(environment)
    if launcher is None:
        raise ValueError(
            f"--distributed needs a launcher: neither {', '.join((*_TORCHRUN.needed, *_COORDINATOR))} of torchrun nor "
            f"{', '.join(_SRUN.needed)} of srun are set. Start every process with `srun` or `torchrun --no-python`, "
            "set the four of torchrun, or leave --distributed out."
        )
    if launcher is _SRUN:
        return _read(environment, launcher, launcher.needed)
    launch = _read(environment, launcher, (*launcher.needed, *_COORDINATOR))
    port = _number(environment, "MASTER_PORT") + (environment.get(_PORT_IS_TAKEN) == "True")
    if not 0 < port <= _HIGHEST_PORT:
        raise ValueError(f"MASTER_PORT {port} must be from 1 to {_HIGHEST_PORT}: choose a free one.")
    return replace(launch, coordinator=f"{environment['MASTER_ADDR']}:{port}")


def _launcher_in(environment: Mapping[str, str]) -> _Launcher | None:
    found = [launcher for launcher in _LAUNCHERS if any(sign in environment for sign in launcher.signs)]
    found = [one for one in found if environment.get(one.rank) or environment.get(one.count) != "1"]
    # A script may set WORLD_SIZE for itself and start its processes by srun: a launcher whose numbers are there counts.
    found = [one for one in found if environment.get(one.rank) and environment.get(one.count)] or found
    # srun may set PMI's numbers too, and then both agree; mpiexec starts one helper a machine by srun, and they differ.
    if found == [_SRUN, _PMI] and environment.get(_SRUN.count) != environment.get(_PMI.count):
        return _PMI
    return found[0] if found else None


def _read(environment: Mapping[str, str], launcher: _Launcher, needed: tuple[str, ...]) -> Launch:
    if missing := [name for name in needed if not environment.get(name)]:
        given = [name for name in needed if name not in missing]
        raise ValueError(
            f"{', '.join(missing)} must be set beside {', '.join(given)}, which {launcher.title} sets: start every "
            "process with srun or torchrun, or set what is missing yourself"
            f"{_ABOUT_COORDINATOR if missing[-1] in _COORDINATOR else ', or unset the others to run alone'}."
        )
    rank, count = _number(environment, launcher.rank), _number(environment, launcher.count)
    if rank >= count:
        raise ValueError(
            f"{launcher.rank} {rank} must be below {launcher.count} {count}: start all processes with one launcher."
        )
    return Launch(rank=rank, count=count, local_rank=_local_rank(environment, launcher), launcher=launcher.title)


def _local_rank(environment: Mapping[str, str], launcher: _Launcher) -> int | None:
    name = next((name for name in launcher.local_ranks if name in environment), None)
    return None if name is None else _number(environment, name)


def _number(environment: Mapping[str, str], name: str) -> int:
    value = environment[name]
    if not value.isdecimal():
        raise ValueError(
            f"{name} must be a whole number, got {value!r}: start the process with a launcher that sets it, or unset "
            "it to run alone."
        )
    return int(value)
