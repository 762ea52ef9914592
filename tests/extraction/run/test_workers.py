"""Images are decoded whatever happens to workers; calls of the writing thread are in order, none lost, nor an error."""

import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from extraction.datasets.sample import Sample
from extraction.run.workers import WriteBehind, preparing


def fail() -> None:
    raise OSError("no space left")


def test_calls_are_made_in_order_beside_the_main_thread_and_before_the_block_ends():
    made, may_end = [], threading.Event()

    def first() -> None:
        assert may_end.wait(10)
        made.append(threading.current_thread().name)

    with WriteBehind() as writing:
        writing.submit(first)
        assert not made
        may_end.set()
        writing.submit(lambda: made.append("second"))
    assert made[0].startswith("write")
    assert made[1:] == ["second"]


def fail_and(after: str) -> None:
    with WriteBehind() as writing:
        writing.submit(fail)
        if after == "submit":
            writing.submit(lambda: pytest.fail("the call before had failed"))
        elif after == "wait":
            writing.wait()


@pytest.mark.parametrize("after", ["submit", "wait", "end"])
def test_an_error_is_raised_by_what_comes_next(after):
    with pytest.raises(OSError, match="no space left"):
        fail_and(after)


def stop_while_writing(made: list[str]) -> None:
    with WriteBehind() as writing:
        writing.submit(lambda: made.append("written"))
        raise KeyboardInterrupt


def test_an_error_of_the_block_goes_first_and_what_is_being_written_is_finished():
    made: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        stop_while_writing(made)
    assert made == ["written"]


@dataclass(frozen=True)
class Mortal:
    """An encoder that dies at one sample, as often as is asked."""

    folder: Path
    deaths: int

    def prepare(self, sample: Sample) -> str:
        if sample.id == "13":
            seen = len(list(self.folder.iterdir()))
            if seen < self.deaths:
                (self.folder / str(seen)).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return f"ready {sample.id}"


def sample(number: int) -> Sample:
    return Sample(id=str(number), image=np.zeros((2, 2, 3), np.uint8), question="?", answer=None, task="what")


SHARDS = [(index, [sample(i) for i in range(10 * index, 10 * index + 10)]) for index in range(5)]


def prepare_all(encoder: Mortal, workers: int, lines: list[str]) -> list:
    with preparing(encoder, workers, lines.append) as preparation:
        return list(preparation.shards(SHARDS))


@pytest.mark.parametrize(("workers", "deaths"), [(4, 2), pytest.param(1, 1, marks=pytest.mark.slow)])
def test_workers_that_die_are_replaced_by_fewer(tmp_path, workers, deaths):
    lines: list[str] = []
    found = prepare_all(Mortal(tmp_path, deaths), workers, lines)
    assert found == [(index, [f"ready {one.id}" for one in samples]) for index, samples in SHARDS]
    assert len(lines) == deaths
    assert [max(1, workers // 2 ** (i + 1)) for i in range(deaths)] == [
        int(line.split(": ")[1].split()[0]) for line in lines
    ]


def test_one_worker_that_dies_again_names_the_samples(tmp_path):
    with pytest.raises(RuntimeError, match="'10' to '17'"):
        prepare_all(Mortal(tmp_path, 99), 1, [])
