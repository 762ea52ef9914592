"""Compiled programs kept on disk, so that the next run of a command does not compile them again."""

import hashlib
import os
import platform
from pathlib import Path

# Programs that take less time to compile are not worth a file.
SHORTEST_SECONDS = 0.5


def keep_compiled(folder: Path | None = None) -> Path | None:
    """Let JAX keep compiled programs in a folder, and use what is there.

    Programs belong to one version of JAX, one kind of processor and one shape of the data; others are compiled again.
    Files may be deleted at any time. A library should leave this to its caller, so only the command line calls it.

    Args:
        folder: Where to. If not given, a folder for this kind of processor in `pid_jax/programs`, in `$XDG_CACHE_HOME`
            or `~/.cache`: programs of another kind may not run here. A folder that is already set, by the environment
            variable `JAX_COMPILATION_CACHE_DIR` or in the program, is left as it is.

    Returns:
        The folder, or None if it cannot be written to; programs are then not kept.

    Source: https://docs.jax.dev/en/latest/persistent_compilation_cache.html
    """
    import jax

    already = jax.config.values["jax_compilation_cache_dir"]
    if already and folder is None:
        return Path(already)
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    chosen = root / "pid_jax" / "programs" / _processor() if folder is None else folder
    try:
        chosen.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(chosen, os.W_OK):
        return None
    jax.config.update("jax_compilation_cache_dir", str(chosen))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", SHORTEST_SECONDS)
    return chosen


def _processor() -> str:
    """Tell kinds of processors apart, by what they can do as far as the system says."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    kind = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    return hashlib.sha256(f"{platform.machine()} {kind}".encode()).hexdigest()[:12]
