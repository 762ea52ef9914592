"""Several processes, on one machine or many, that fill the same stores without talking to each other."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Process:
    """One of the processes of a run.

    Attributes:
        rank: Its number among all, from 0.
        world_size: How many there are.
        local_rank: Its number on its machine, which chooses the accelerator; None outside of a launcher.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Process":
        """Read RANK, WORLD_SIZE and LOCAL_RANK, as `torchrun` and `accelerate launch` set them.

        Raises:
            ValueError: If they are no numbers, or the rank is not below the world size.
        """
        values = {name: environment.get(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
        for name, value in values.items():
            if value is not None and not value.isdecimal():
                raise ValueError(f"{name} must be a number, as torchrun sets it, got {value!r}: unset it to run alone.")
        rank, world_size = int(values["RANK"] or 0), int(values["WORLD_SIZE"] or 1)
        if not rank < world_size:
            raise ValueError(f"RANK {rank} must be below WORLD_SIZE {world_size}: start every process by one launcher.")
        local = values["LOCAL_RANK"]
        return cls(rank=rank, world_size=world_size, local_rank=None if local is None else int(local))

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


def device_of(process: Process) -> str | None:
    """Choose the accelerator of a process by its number on its machine; None where there is none to choose."""
    import torch

    if process.local_rank is None or not torch.cuda.is_available():
        return None
    return f"cuda:{process.local_rank % torch.cuda.device_count()}"
