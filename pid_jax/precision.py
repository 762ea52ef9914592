"""Float64 for the Gaussian stage, without writing to JAX's global configuration."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax


@contextmanager
def double_precision() -> Iterator[None]:
    """Compute in float64 inside the block, on this thread only.

    The block must be the outermost layer around a compiled call: never inside jit, vmap or grad. Float64 JAX arrays
    that leave it turn into float32 at their next use, so results are taken out with `numpy.asarray` inside it.
    """
    with jax.enable_x64(True):
        yield
