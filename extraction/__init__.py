"""Hidden states of vision-language models, on disk. PyTorch side; meets `pid_jax` only in the activation store."""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "Knockout": "edges",
    "RunOptions": "run",
    "Sample": "datasets.sample",
    "extract": "api",
    "extract_with_knockouts": "api",
    "load_model": "models",
}

__all__ = ["Knockout", "RunOptions", "Sample", "extract", "extract_with_knockouts", "load_model"]


def __getattr__(name: str) -> Any:
    """Load public names on first use, so that `import extraction` does not load PyTorch."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'extraction' has no attribute {name!r}")
    return getattr(import_module(f"extraction.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(_PUBLIC)
