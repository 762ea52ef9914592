"""One thread for a model this small."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def single_thread() -> Iterator[None]:
    """Compute on one thread inside the block, then restore the number of threads.

    The matrices are too small to share: two threads gain a quarter on an idle machine and lose
    a factor of 20 and more on a busy one. The order of the sums, and so the result of a
    training, does not depend on the number of cores either.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
