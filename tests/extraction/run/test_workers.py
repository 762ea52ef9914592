"""Calls beside the main thread: in order, one at a time, none lost, and no error either."""

import threading

import pytest

from extraction.run.workers import WriteBehind


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
