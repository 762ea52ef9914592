"""The number of BLAS threads is one inside, and afterwards what it was, whoever overlaps with whom."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from pid_jax.decompose.pid import gaussian_pid
from pid_jax.runtime.threads import LARGE, one_blas_thread


def blas_threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.fixture
def two_threads():
    """Two BLAS threads, also on a machine with one processor."""
    before = blas_threads()
    with threadpool_limits(limits=2, user_api="blas"):
        yield blas_threads()
    assert blas_threads() == before


def test_one_inside_and_restored(two_threads):
    assert two_threads
    with one_blas_thread(16):
        assert set(blas_threads()) == {1}
    assert blas_threads() == two_threads


def test_restored_after_an_error(two_threads):
    with pytest.raises(RuntimeError), one_blas_thread(16):
        raise RuntimeError
    assert blas_threads() == two_threads


def test_large_matrices_keep_their_threads(two_threads):
    with one_blas_thread(LARGE):
        assert blas_threads() == two_threads


@pytest.mark.parametrize("first_leaves_first", [True, False])
def test_blocks_that_overlap_leave_nothing_behind(first_leaves_first):
    before = blas_threads()
    entered, left = Barrier(2), Barrier(2)

    def work(leaves_first):
        with one_blas_thread(16):
            entered.wait(timeout=60)
            if not leaves_first:
                left.wait(timeout=60)
            inside = blas_threads()
        if leaves_first:
            left.wait(timeout=60)
        return inside

    with ThreadPoolExecutor(2) as pool:
        pending = [pool.submit(work, first_leaves_first), pool.submit(work, not first_leaves_first)]
        assert all(set(one.result(timeout=60)) == {1} for one in pending)
    assert blas_threads() == before


def test_a_decomposition_leaves_them_as_they_were(two_threads):
    gaussian_pid(np.eye(3), (1, 1, 1))
    assert blas_threads() == two_threads
