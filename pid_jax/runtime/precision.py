"""Float64 for the Gaussian stage and float32 for flows, whatever the caller has set, without global configuration."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import jax
from jax import lax
from jax.core import Tracer

from pid_jax.runtime.forks import check_not_forked

# What our programs are computed by, whatever the caller has set.
_RULES = (
    ("jax_numpy_rank_promotion", "allow", jax.numpy_rank_promotion),
    ("jax_numpy_dtype_promotion", "standard", jax.numpy_dtype_promotion),
    ("jax_default_matmul_precision", "highest", jax.default_matmul_precision),  # GPUs would round factors to 11 bits
    ("jax_debug_nans", False, jax.debug_nans),
    ("jax_debug_infs", False, jax.debug_infs),
)
_TRANSFERS = tuple(f"jax_transfer_guard_{way}" for way in ("host_to_device", "device_to_device", "device_to_host"))


@contextmanager
def double_precision() -> Iterator[None]:
    """Compute in float64 and by our rules inside the block, on this thread only.

    The block stands around a compiled call, never inside the function that is compiled, mapped or differentiated.
    Float64 JAX arrays that leave it turn into float32 at their next use, so results are taken out with `numpy.asarray`
    inside it.
    """
    with jax.enable_x64(True), our_rules():
        yield


@contextmanager
def single_precision() -> Iterator[None]:
    """Compute in float32 and by our rules inside the block, on this thread only; see `double_precision`."""
    with jax.enable_x64(False), our_rules():
        yield


@contextmanager
def our_rules() -> Iterator[None]:
    """Compute by our rules inside the block, on this thread only.

    Rules are JAX's defaults, and full precision of products: GPUs would shorten factors. NaN is how a problem without
    an answer leaves the compiled program, so a caller's search for NaN is suspended, and so is a caller's guard against
    transfers: arrays come from NumPy and return to it. In the caller's own jit, values that are not traced are computed
    at once.

    Raises:
        RuntimeError: In a process that was forked after JAX had started.
    """
    check_not_forked()
    with ExitStack() as scopes:
        if any(getattr(jax.config, name) not in (None, "allow") for name in _TRANSFERS):
            scopes.enter_context(jax.transfer_guard("allow"))
        if _is_traced():
            scopes.enter_context(jax.ensure_compile_time_eval())
        for name, wanted, scope in _RULES:
            if getattr(jax.config, name) != wanted:  # entering a scope costs time at every call
                scopes.enter_context(scope(wanted))
        yield


def _is_traced() -> bool:
    """Tell whether this runs while JAX traces a function of the caller.

    Only then are values to be computed at once: inside the block every constant of our own programs would be a program
    of its own, and a first call take twice as long.
    """
    return isinstance(lax.full((), 0.0), Tracer)
