"""Hidden states of vision-language models, on disk. PyTorch side; meets `pid_jax` only in the activation store.

Public names are listed in `__init__.pyi` and loaded on first use, so that `import extraction` does not load PyTorch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
