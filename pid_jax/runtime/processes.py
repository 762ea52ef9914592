"""Several processes, on one machine or many, that share the work of one study and meet to exchange what they have."""

import atexit
import hashlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pid_jax.runtime.launch import Launch

if TYPE_CHECKING:
    import jax
    from jax.sharding import Sharding

T = TypeVar("T")
# A process that does not answer for so long is lost, and all others end.
HEARTBEAT_SECONDS = 60
# Until all have started.
WAITING_SECONDS = 300
# XLA gives up after half an hour of waiting for the others. Cells may take longer than that; heartbeats find the lost.
_LONGEST_WAIT = "--xla_cpu_collective_timeout_seconds"
_WEEK_SECONDS = 7 * 24 * 3600
# Bytes that all processes together exchange at a time. Lengths are powers of two, so that few programs are compiled.
_MOST_BYTES, _FEWEST_BYTES = 2**26, 2**10
_SHOWN = 200


class ProcessError(RuntimeError):
    """Another process failed, was lost, or has something else than this one."""


class LostProcessError(ProcessError):
    """Another process ended without a word."""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """The processes of a study.

    All of them call `gather`, `agree` and `barrier` equally often and in the same order.

    Attributes:
        rank: The number of this one, from 0.
        count: How many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """Take the items that are this process's own; every item is that of exactly one."""
        return list(items[self.rank :: self.count])

    def gather(self, content: bytes) -> list[bytes]:
        """Wait for all processes, and return what each brought, by rank.

        Raises:
            ProcessError: If another process failed or was lost.
        """
        if self.count == 1:
            return [content]
        contents, has_failed = self._meet(content, has_failed=False)
        for rank, text in enumerate(contents):
            if has_failed[rank]:
                raise ProcessError(f"Process {rank} of {self.count} failed: {text.decode()}")
        return contents

    def gather_arrays(self, arrays: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Wait for all processes, and return what each brought by name, by rank, bit by bit.

        Raises:
            ProcessError: If another process failed or was lost.
        """
        if self.count == 1:
            return [dict(arrays)]
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        return [dict(np.load(io.BytesIO(content), allow_pickle=False)) for content in self.gather(buffer.getvalue())]

    def barrier(self) -> None:
        """Wait for all processes.

        Raises:
            ProcessError: If another process failed or was lost.
        """
        self.gather(b"")

    def agree(self, content: str, what: str) -> None:
        """Make sure that all processes have the same.

        Args:
            content: What must be the same.
            what: What it is, for the message.

        Raises:
            ProcessError: On all processes, if it is not.
        """
        if self.count == 1:
            return
        first, *others = self.gather(hashlib.sha256(content.encode()).digest() + content[:_SHOWN].encode())
        for rank, other in enumerate(others, start=1):
            if other != first:
                own, known = (one[hashlib.sha256().digest_size :].decode() for one in (other, first))
                raise ProcessError(
                    f"Process {rank} has other {what} than process 0: {own!r} and {known!r}. All need the same code, "
                    "study file and stores: look at the mounts of their machines, and start all again."
                )

    def tell_failure(self, error: Exception) -> None:
        """Let the others know, when they meet next, that this process cannot go on."""
        if self.count > 1:
            self._meet((" ".join(str(error).split()) or type(error).__name__).encode(), has_failed=True)

    def _meet(self, content: bytes, *, has_failed: bool) -> tuple[list[bytes], list[bool]]:
        heads = self._gather_row(np.array([has_failed, len(content)], np.int64).view(np.uint8))
        failed, lengths = heads.view(np.int64).T.tolist()
        row = np.frombuffer(content, np.uint8)
        parts: list[list[bytes]] = [[] for _ in lengths]
        step = max(_FEWEST_BYTES, _power_of_two(_MOST_BYTES // self.count + 1) // 2)
        for start in range(0, max(lengths), step):
            size = min(step, max(_FEWEST_BYTES, _power_of_two(max(lengths) - start)))
            padded = np.zeros(size, np.uint8)
            own = row[start : start + size]
            padded[: len(own)] = own
            for part, other, length in zip(parts, self._gather_row(padded), lengths, strict=True):
                part.append(other[: max(0, length - start)].tobytes())
        return [b"".join(part) for part in parts], [bool(one) for one in failed]

    def _gather_row(self, row: np.ndarray) -> np.ndarray:
        """Bring bytes of one length together (process, byte), by processors, whatever accelerators there are."""
        import jax

        try:
            at_own, replicate = _program(self.count)
            own = jax.device_put(row[None], jax.local_devices(backend="cpu")[0])
            whole = jax.make_array_from_single_device_arrays((self.count, len(row)), at_own, [own])
            return np.asarray(replicate(whole).addressable_data(0))
        except (jax.errors.JaxRuntimeError, ValueError) as error:  # JAX makes either of what gloo says
            raise LostProcessError(
                "Another process was lost. What was written is kept: start all again, and the study goes on. "
                f"({' '.join(str(error).split())[:_SHOWN]})"
            ) from error


ALONE = Processes()


@cache
def _program(count: int) -> tuple["Sharding", Callable[["jax.Array"], "jax.Array"]]:
    """Make what says that each process has one row, and the program that gives every process all rows."""
    import jax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    # jax.devices lists the devices of all processes.
    first = {device.process_index: device for device in reversed(jax.devices("cpu"))}
    mesh = Mesh(np.array([first[rank] for rank in range(count)]), ("process",))
    everywhere = NamedSharding(mesh, PartitionSpec())
    return NamedSharding(mesh, PartitionSpec("process")), jax.jit(lambda rows: rows, out_shardings=everywhere)


def _power_of_two(number: int) -> int:
    """Return the lowest power of two that is not below a number."""
    return 1 << max(0, number - 1).bit_length()


@contextmanager
def join_processes(launch: Launch) -> Iterator[Processes]:
    """Let JAX find the other processes; leave the block together with them.

    A library should leave this to its caller, so only the command line calls it, before JAX computes anything. One
    process alone has nobody to find, and JAX is left as it is.

    An error inside the block ends all processes: the others raise `ProcessError` when they meet next.

    Args:
        launch: What the launcher says.

    Raises:
        ProcessError: If another process failed or was lost.
        RuntimeError: If JAX was used before. If the others are not there in time, JAX ends this process itself.

    Source: https://docs.jax.dev/en/latest/multi_process.html
    """
    processes = Processes(rank=launch.rank, count=launch.count)
    if processes.count == 1:
        yield processes
        return
    import jax

    _initialize(launch)
    try:
        yield processes
        processes.barrier()
    except ProcessError as error:  # the others know
        if isinstance(error, LostProcessError):
            _leave_alone()
        raise
    except Exception as error:
        try:
            processes.tell_failure(error)
        except LostProcessError:
            _leave_alone()
        raise
    except BaseException:  # somebody wants an end, now
        _leave_alone()
        raise
    jax.distributed.shutdown()


def _initialize(launch: Launch) -> None:
    import jax

    flags = os.environ.get("XLA_FLAGS", "")
    if _LONGEST_WAIT not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_LONGEST_WAIT}={_WEEK_SECONDS}".strip()
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    found: dict[str, Any] = {"cluster_detection_method": "slurm"}
    if launch.coordinator is not None:
        found = {
            "coordinator_address": launch.coordinator,
            "num_processes": launch.count,
            "process_id": launch.rank,
            "local_device_ids": launch.local_rank,
            "cluster_detection_method": "deactivate",
        }
    jax.distributed.initialize(
        initialization_timeout=WAITING_SECONDS, heartbeat_timeout_seconds=HEARTBEAT_SECONDS, **found
    )


def _leave_alone() -> None:
    """End this process without waiting for those that are lost, as JAX would, and abort, when Python ends."""

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)

    atexit.register(leave)
