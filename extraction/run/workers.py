"""Work beside the model: images are prepared ahead of it in processes of their own, shards written behind it."""

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from extraction.datasets.sample import Sample
from extraction.errors import SampleError
from extraction.passes.encode import Encoder, Prepared
from pid_jax.store import Failure

Outcome = Prepared | Failure
_CHUNK = 8  # samples a message
_AHEAD = 2  # shards prepared while the model is busy with one


@contextmanager
def preparing(
    encoder: Encoder, workers: int, say: Callable[[str], None] = lambda line: None
) -> Iterator["Preparation"]:
    """Prepare shards in order, ahead of their use if there are workers.

    Args:
        encoder: The encoder; workers get a copy when they start.
        workers: Number of processes; 0 prepares in this one.
        say: Called with a line when workers died and were replaced by fewer.
    """
    if workers < 0:
        raise ValueError(f"num_workers must be 0 or more, got {workers}.")
    preparation = Preparation(encoder, workers, say)
    try:
        yield preparation
    finally:
        preparation.close()


@dataclass(kw_only=True)
class _Chunk:
    """Some samples, and what becomes of them."""

    samples: Sequence[Sample]
    future: Future[list[Outcome]]


class Preparation:
    """Turns shards of samples into shards of prepared samples.

    A worker that the system kills, as it does for want of memory, takes all others of its pool with it; half as many
    are started instead, and get what was not ready.

    Args:
        encoder: The encoder.
        workers: Number of processes; 0 prepares in this one.
        say: Called with a line when workers died.
    """

    def __init__(self, encoder: Encoder, workers: int, say: Callable[[str], None]) -> None:
        self._encoder, self._workers, self._say = encoder, workers, say
        self._pool = self._start_pool() if workers else None
        self._has_moved = True  # since the last death

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def shards(self, shards: Iterable[tuple[int, Sequence[Sample]]]) -> Iterator[tuple[int, list[Outcome]]]:
        """Yield (index, outcomes) for each shard, in order; `shards` is read no further ahead than is prepared.

        Raises:
            RuntimeError: If one worker alone died again and again.
        """
        if self._pool is None:
            for index, samples in shards:
                yield index, _prepare(self._encoder, samples)
            return
        waiting: deque[tuple[int, list[_Chunk]]] = deque()
        for index, samples in shards:
            parts = [samples[at : at + _CHUNK] for at in range(0, len(samples), _CHUNK)]
            waiting.append((index, [_Chunk(samples=part, future=self._submit(part)) for part in parts]))
            if len(waiting) > _AHEAD:
                yield self._collect(waiting)
        while waiting:
            yield self._collect(waiting)

    def _start_pool(self) -> ProcessPoolExecutor:
        # Spawned, not forked: a copy of a process that runs PyTorch's threads may hang.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._workers, mp_context=context, initializer=_start, initargs=(self._encoder,))

    def _submit(self, samples: Sequence[Sample]) -> Future[list[Outcome]]:
        """Hand samples to the workers; to those that died too, which `_collect` finds out."""
        assert self._pool is not None
        try:
            return self._pool.submit(_prepare_chunk, samples)
        except BrokenProcessPool as error:
            failed: Future[list[Outcome]] = Future()
            failed.set_exception(error)
            return failed

    def _collect(self, waiting: deque[tuple[int, list[_Chunk]]]) -> tuple[int, list[Outcome]]:
        """Wait for the first shard, and start fewer workers as often as they die."""
        index, chunks = waiting[0]
        outcomes: list[Outcome] = []
        for chunk in chunks:
            while isinstance(error := chunk.future.exception(), BrokenProcessPool):
                self._replace(error, chunk)
                for other in (one for _, own in waiting for one in own):
                    if other.future.done() and isinstance(other.future.exception(), BrokenProcessPool):
                        other.future = self._submit(other.samples)
            outcomes += chunk.future.result()
            self._has_moved = True
        waiting.popleft()
        return index, outcomes

    def _replace(self, error: BrokenProcessPool, chunk: _Chunk) -> None:
        """Start half as many workers."""
        assert self._pool is not None
        if self._workers == 1 and not self._has_moved:
            raise RuntimeError(
                "The one process that decodes images died twice at the same samples, perhaps for want of memory "
                f"({chunk.samples[0].id!r} to {chunk.samples[-1].id!r}): free memory or look at their images, and run "
                "the same command again, which resumes; --num-workers 0 decodes in the process of the model."
            ) from error
        self._pool.shutdown(wait=True)
        self._workers, self._has_moved = max(1, self._workers // 2), False
        count = "1 process decodes" if self._workers == 1 else f"{self._workers} processes decode"
        self._say(f"A process that decodes images died, perhaps for want of memory: {count} images from here on.")
        self._pool = self._start_pool()


_encoder: list[Encoder] = []  # of this worker process


def _start(encoder: Encoder) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
    _encoder.append(encoder)


def _prepare_chunk(samples: Sequence[Sample]) -> list[Outcome]:
    return _prepare(_encoder[0], samples)


def _prepare(encoder: Encoder, samples: Sequence[Sample]) -> list[Outcome]:
    """Make samples ready, in their order; those that cannot be are failures."""
    outcomes: list[Outcome] = []
    for sample in samples:
        try:
            outcomes.append(encoder.prepare(sample))
        except SampleError as error:
            outcomes.append(Failure(id=sample.id, stage=error.stage, message=str(error)))
    return outcomes


class WriteBehind:
    """Makes calls in another thread, one after the other, in a `with` block; at its end all have been made.

    A call begins when the one before has ended. An error of a call is raised by the next method, or by the end of the
    block.
    """

    def __enter__(self) -> Self:
        """Start the thread."""
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="write")
        self._running: Future[None] | None = None
        return self

    def submit(self, call: Callable[[], None]) -> None:
        """Wait for the call before, and begin this one."""
        self.wait()
        self._running = self._pool.submit(call)

    def wait(self) -> None:
        """Wait for the call that is running; raise what it raised."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Wait for the thread; an error in the block goes before one of the call, and names it."""
        self._pool.shutdown(wait=True)
        try:
            self.wait()
        except Exception as other:
            if error is None:
                raise
            error.add_note(f"Writing failed too: {other}")
