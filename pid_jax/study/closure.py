"""The code that the numbers of a module depend on: its own and that of all it imports, without words."""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

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
