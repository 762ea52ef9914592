"""Partial information decomposition of what sources tell about a target.

Public names are listed in `__init__.pyi` and loaded on first use, so that `pid_jax.store` can be used without JAX.
"""

import lazy_loader

from pid_jax.runtime import forks as forks  # looks at forks from the first import on

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
