"""The code that the numbers of a module depend on: its own and that of all it imports, without words."""

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
_PACKAGE = "pid_jax"


@cache
def code_digest(modules: tuple[str, ...]) -> str:
    """Hash the code of modules of this package and of all modules of it that they import, directly or not.

    Docstrings, comments, layout and the texts of errors that are raised do not count, nor does code that is not
    imported, so that a corrected sentence changes nothing. See docs/decisions/0026.

    Args:
        modules: Full names, such as "pid_jax.study.cell".
    """
    waiting, found = list(modules), {}
    while waiting:
        name = waiting.pop()
        path = _file_of(name)
        if name in found or path is None:
            continue
        tree = ast.parse(path.read_bytes())
        waiting += _imports(tree)
        waiting += [name.rpartition(".")[0]] if name.count(".") > 1 else []  # its room is run before it
        found[name] = hashlib.sha256(ast.dump(_without_words(tree)).encode()).hexdigest()
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()


def describe_definition(definition: Any) -> list[str] | None:
    """Describe a function or class by its name and, outside of this package, by its line and the text of its module.

    Args:
        definition: It may be wrapped by `jax.jit`.

    Returns:
        None where these do not tell what it computes: for a `partial`, a method, a closure, defaults that are no plain
        values, or a module without a file.
    """
    if not inspect.isfunction(definition) and not inspect.isclass(definition):
        definition = getattr(definition, "__wrapped__", None)
    if inspect.isfunction(definition):
        defaults = [*(definition.__defaults__ or ()), *(definition.__kwdefaults__ or {}).values()]
        is_plain = all(value is None or type(value) in (bool, int, float, str) for value in defaults)
        if definition.__closure__ is not None or not is_plain:
            return None
        about = [repr(defaults), str(definition.__code__.co_firstlineno)]
    elif inspect.isclass(definition):
        about = []
    else:
        return None
    name = f"{definition.__module__}.{definition.__qualname__}"
    if definition.__module__.partition(".")[0] == _PACKAGE:
        return [name]
    try:
        source = inspect.getsource(sys.modules[definition.__module__])
    except (KeyError, OSError, TypeError):
        return None
    return [name, *about, hashlib.sha256(source.encode()).hexdigest()]


def _file_of(name: str) -> Path | None:
    """Find the file of a module; None for names within modules, and for the package itself, which lists names only."""
    base = _ROOT.joinpath(*name.split("."))
    places = (base.with_suffix(".py"), base / "__init__.py")
    return None if name == _PACKAGE else next((path for path in places if path.is_file()), None)


def _imports(tree: ast.AST) -> Iterable[str]:
    """Name everything of this package that is imported anywhere, also inside of functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith(f"{_PACKAGE}."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{_PACKAGE}."):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _without_words(tree: ast.Module) -> ast.Module:
    """Drop docstrings, and empty every text in a `raise`: its words reach a reader only, its class stays."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise):
            _Emptied().visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            first = body[0].value
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                body[0] = ast.Pass()
    return tree


class _Emptied(ast.NodeTransformer):
    """Makes every text the empty one, with or without values in it."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.Constant:
        return ast.Constant("")

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant("") if isinstance(node.value, str) else node
