"""Several processes, on one machine or many, that fill the same stores without talking to each other."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pid_jax.runtime.launch import find_process


@dataclass(frozen=True, kw_only=True)
class Process:
    """One of the processes of a run.

    Attributes:
        rank: Its number among all, from 0.
        world_size: How many there are.
        local_rank: Its number on its machine, which chooses the accelerator; None if no variable states it.
        launcher: Name of the launcher that started it; empty if none did.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int | None = None
    launcher: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Process":
        """Read the variables of torchrun (`accelerate launch` sets the same), mpirun or srun, in this order.

        Raises:
            ValueError: If they are incomplete, no numbers, or the rank is not below the number of processes.
        """
        launch = find_process(environment)
        return cls(rank=launch.rank, world_size=launch.count, local_rank=launch.local_rank, launcher=launch.launcher)

    @property
    def is_first(self) -> bool:
        """Whether this process reports for all."""
        return self.rank == 0

    def order(self, missing: list[int]) -> Iterator[int]:
        """Order the shards that are missing: first this process's own share, then those of the others, from the end.

        Every process goes through all of them and passes over what has appeared meanwhile, so none is left out, however
        the processes start, stop or die. Two of them make the same shard at worst near the end; the bytes are equal.
        """
        yield from (index for index in missing if index % self.world_size == self.rank)
        yield from (index for index in reversed(missing) if index % self.world_size != self.rank)
