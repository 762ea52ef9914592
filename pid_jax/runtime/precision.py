"""Float64 for the Gaussian stage and float32 for flows, whatever the caller has set, without global configuration."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import jax
from jax import lax
from jax.core import Tracer

# What our programs are computed by, whatever the caller has set.
_RULES = (
    ("jax_numpy_rank_promotion", "allow", jax.numpy_rank_promotion),
    ("jax_numpy_dtype_promotion", "standard", jax.numpy_dtype_promotion),
    ("jax_default_matmul_precision", "highest", jax.default_matmul_precision),  # GPUs would round factors to 11 bits
    ("jax_debug_nans", False, jax.debug_nans),
    ("jax_debug_infs", False, jax.debug_infs),
)
_TRANSFERS = tuple(f"jax_transfer_guard_{way}" for way in ("host_to_device", "device_to_device", "device_to_host"))
# A process that is forked after JAX has started lacks its threads, and what it computes never ends.
_had_started = _is_stranded = False


@contextmanager
def double_precision() -> Iterator[None]:
    """Compute in float64 and by our rules inside the block, on this thread only.

    The block stands around a compiled call, never inside the function that is compiled, mapped or differentiated.
    Float64 JAX arrays that leave it turn into float32 at their next use, so results are taken out with `numpy.asarray`
    inside it.
    """
    with ExitStack() as scopes:
        scopes.enter_context(jax.enable_x64(True))
        scopes.enter_context(our_rules())
        yield


@contextmanager
def single_precision() -> Iterator[None]:
    """Compute in float32 and by our rules inside the block, on this thread only; see `double_precision`."""
    with ExitStack() as scopes:
        scopes.enter_context(jax.enable_x64(False))
        scopes.enter_context(our_rules())
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
    _check_not_forked()
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


def _check_not_forked() -> None:
    """Refuse to compute in a process that was forked from one in which JAX had started.

    Raises:
        RuntimeError: If this is one.
    """
    if _is_stranded:
        raise RuntimeError(
            "this process was forked from one in which JAX had started, and would wait forever for threads that were "
            "not copied: start processes by multiprocessing.get_context('spawn') (or 'forkserver'), or, with joblib, "
            "by its default loky."
        )


def _look() -> None:
    global _had_started
    bridge = sys.modules.get("jax._src.xla_bridge")  # nothing public tells without starting JAX
    _had_started = bool(getattr(bridge, "backends_are_initialized", bool)())


def _enter() -> None:
    global _is_stranded
    _is_stranded = _is_stranded or _had_started


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_look, after_in_child=_enter)
