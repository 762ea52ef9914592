"""Processes that were forked after JAX had started: they lack its threads, and what they compute never ends."""

import os
import sys

_had_started = _is_stranded = False


def check_not_forked() -> None:
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
