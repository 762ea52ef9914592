"""How a launcher tells a process which of several it is."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
_TORCHRUN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# torchrun says with "True" that it listens at MASTER_PORT itself.
_PORT_IS_TAKEN = "TORCHELASTIC_USE_AGENT_STORE"
_HIGHEST_PORT = 65535


@dataclass(frozen=True, kw_only=True)
class Launch:
    """The place of this process among those of a run.

    Attributes:
        rank: Its number among all, from 0.
        count: How many there are.
        local_rank: Its number on its machine, which chooses the accelerator; None if nobody says.
        coordinator: Where process 0 listens, as "host:port"; None where JAX finds it itself, from what Slurm says.
    """

    rank: int
    count: int
    local_rank: int | None = None
    coordinator: str | None = None


def find_launch(environment: Mapping[str, str] = os.environ) -> Launch:
    """Read what torchrun or, without it, `srun` set. Inside of a Slurm job torchrun's numbers count.

    Raises:
        ValueError: If neither is there, one is there in part, or the numbers are none or contradict each other.
    """
    if any(name in environment for name in _TORCHRUN[:2]):
        _check_complete(environment, _TORCHRUN, "torchrun")
        port = _number(environment, "MASTER_PORT") + (environment.get(_PORT_IS_TAKEN) == "True")
        if not 0 < port <= _HIGHEST_PORT:
            raise ValueError(f"MASTER_PORT {port} must be from 1 to {_HIGHEST_PORT}: choose a free one.")
        return _launch(environment, "RANK", "WORLD_SIZE", "LOCAL_RANK", f"{environment['MASTER_ADDR']}:{port}")
    if "SLURM_STEP_NODELIST" in environment:
        _check_complete(environment, _SLURM, "srun")
        return _launch(environment, "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", None)
    raise ValueError(
        f"--distributed needs a launcher: neither {', '.join(_TORCHRUN)} of torchrun nor {', '.join(_SLURM)} of srun "
        "are set. Start every process with `srun` or `torchrun --no-python`, set the four of torchrun, or leave "
        "--distributed out."
    )


def _check_complete(environment: Mapping[str, str], names: tuple[str, ...], launcher: str) -> None:
    missing = [name for name in names if not environment.get(name)]
    if missing:
        given = [name for name in names if name not in missing]
        raise ValueError(
            f"{', '.join(missing)} must be set beside {', '.join(given)}, as {launcher} does: start every process with "
            "it, or set all yourself."
        )


def _launch(environment: Mapping[str, str], rank: str, count: str, local: str, coordinator: str | None) -> Launch:
    own, every = _number(environment, rank), _number(environment, count)
    if own >= every:
        raise ValueError(f"{rank} {own} must be below {count} {every}: start all processes with one launcher.")
    on_machine = _number(environment, local) if local in environment else None
    return Launch(rank=own, count=every, local_rank=on_machine, coordinator=coordinator)


def _number(environment: Mapping[str, str], name: str) -> int:
    value = environment[name]
    if not value.isdecimal():
        raise ValueError(
            f"{name} must be a whole number, got {value!r}: start the process with a launcher that sets it."
        )
    return int(value)
