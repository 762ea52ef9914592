"""Work beside the model: images are prepared ahead of it in processes of their own, shards written behind it."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
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
def preparing(encoder: Encoder, workers: int) -> Iterator["Preparation"]:
    """Prepare shards in order, ahead of their use if there are workers.

    Args:
        encoder: The encoder; workers get a copy when they start.
        workers: Number of processes; 0 prepares in this one.
    """
    if workers < 0:
        raise ValueError(f"num_workers must be 0 or more, got {workers}.")
    if workers == 0:
        yield Preparation(encoder, None)
        return
    # Spawned, not forked: a copy of a process that runs PyTorch's threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(encoder,)) as pool:
        try:
            yield Preparation(encoder, pool)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class Preparation:
    """Turns shards of samples into shards of prepared samples."""

    def __init__(self, encoder: Encoder, pool: ProcessPoolExecutor | None) -> None:
        self._encoder = encoder
        self._pool = pool

    def shards(self, shards: Iterable[tuple[int, Sequence[Sample]]]) -> Iterator[tuple[int, list[Outcome]]]:
        """Yield (index, outcomes) for each shard, in order; `shards` is read no further ahead than is prepared.

        Raises:
            RuntimeError: If a worker died.
        """
        if self._pool is None:
            for index, samples in shards:
                yield index, _prepare(self._encoder, samples)
            return
        waiting: deque[tuple[int, list[Future[list[Outcome]]]]] = deque()
        for index, samples in shards:
            chunks = [samples[at : at + _CHUNK] for at in range(0, len(samples), _CHUNK)]
            with _explaining_deaths():
                waiting.append((index, [self._pool.submit(_prepare_chunk, chunk) for chunk in chunks]))
            if len(waiting) > _AHEAD:
                yield _collect(*waiting.popleft())
        while waiting:
            yield _collect(*waiting.popleft())


def _collect(index: int, futures: list[Future[list[Outcome]]]) -> tuple[int, list[Outcome]]:
    with _explaining_deaths():
        return index, [outcome for future in futures for outcome in future.result()]


@contextmanager
def _explaining_deaths() -> Iterator[None]:
    """Say what to do when a worker has died."""
    try:
        yield
    except BrokenProcessPool as error:
        raise RuntimeError(
            "A worker process that decodes images died, perhaps for want of memory: use fewer (--num-workers) and run "
            "the same command again; it goes on where it stopped."
        ) from error


_encoder: list[Encoder] = []  # of this worker process


def _start(encoder: Encoder) -> None:
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
