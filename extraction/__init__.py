"""Hidden states of vision-language models, on disk. PyTorch side; meets `pid_jax` only in the activation store."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from extraction.api import extract, extract_with_knockouts
    from extraction.datasets.sample import Sample
    from extraction.model.load import load_model
    from extraction.passes.edges import Knockout
    from extraction.run.fill import RunOptions

__all__ = ["Knockout", "RunOptions", "Sample", "extract", "extract_with_knockouts", "load_model"]

_PLACES = {
    "Knockout": "passes.edges",
    "RunOptions": "run.fill",
    "Sample": "datasets.sample",
    "extract": "api",
    "extract_with_knockouts": "api",
    "load_model": "model.load",
}


def __getattr__(name: str) -> Any:
    """Load public names on first use, so that `import extraction` does not load PyTorch."""
    if name not in _PLACES:
        raise AttributeError(f"module 'extraction' has no attribute {name!r}")
    return getattr(import_module(f"extraction.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(_PLACES)
