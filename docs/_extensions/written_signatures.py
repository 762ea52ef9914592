"""Signatures in the API reference as they stand in the code, and docstrings as they are meant.

Evaluated annotations are no help to a reader: `ArrayLike` is a union of a dozen types, `Float[Array, "n d"]` a class
made on the fly. So the text of the source is shown.
"""

import ast
import dataclasses
import inspect
import re
import textwrap
from typing import Any

from sphinx.application import Sphinx
from sphinx.domains.python import PyObject  # pyright: ignore[reportPrivateImportUsage]

import pid_jax

# A setting or a function as it is called, `RealNVP()` or `Block(length)`: linked by its name.
CALL = re.compile(r"`((\w+)\([^`]*\))`")
PAGE = re.compile(r"\bdocs/(\w+)\.md")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect both to autodoc, and call fields of classes what they are."""
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.connect("autodoc-process-signature", show_signature)
    app.connect("autodoc-process-docstring", mend_docstring, priority=400)  # before napoleon takes sections apart
    return {"version": pid_jax.__version__, "parallel_read_safe": True}


def show_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """Return arguments and result of a function or a dataclass as they are written; None leaves them alone."""
    if what == "class":
        return _signature_of_class(obj)
    if what not in ("function", "method"):
        return None
    written = _definition(inspect.unwrap(getattr(obj, "__func__", obj)))
    if not isinstance(written, ast.FunctionDef):
        return None
    arguments = written.args
    if what == "method" and not isinstance(inspect.getattr_static(_owner(obj), written.name, None), staticmethod):
        arguments.args = arguments.args[1:]
    return f"({ast.unparse(arguments)})", ast.unparse(written.returns).strip("'") if written.returns else None


def _signature_of_class(cls: type) -> tuple[str, None] | None:
    """Show the fields of settings; nobody calls the constructor of a result, whose fields are keywords."""
    if not dataclasses.is_dataclass(cls):
        return "", None
    if _is_result(cls):
        return "", None
    return f"({', '.join(map(_field, _fields(cls)))})", None


def _is_result(cls: type) -> bool:
    parts = dataclasses.fields(cls)
    return all(part.kw_only for part in parts) and any(part.default is part.default_factory for part in parts)


def _fields(cls: type) -> list[ast.AnnAssign]:
    """Find the fields that a class adds to those of its parents, as they are written."""
    return [node for node in getattr(_definition(cls), "body", []) if isinstance(node, ast.AnnAssign)]


def _field(node: ast.AnnAssign) -> str:
    """Write a field as an argument; a default that is made anew stands as the call that makes it."""
    text = f"{ast.unparse(node.target)}: {ast.unparse(node.annotation)}"
    value = node.value
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        given = {keyword.arg: keyword.value for keyword in value.keywords}
        factory = given.get("default_factory")
        if factory is None:
            return text
        return f"{text} = {ast.unparse(factory.body if isinstance(factory, ast.Lambda) else factory)}" + (
            "" if isinstance(factory, ast.Lambda) else "()"
        )
    return text if value is None else f"{text} = {ast.unparse(value)}"


def _definition(obj: Any) -> ast.AST | None:
    try:
        source = textwrap.dedent(inspect.getsource(obj))
    except (OSError, TypeError):
        return None
    return ast.parse(source).body[0]


def _owner(method: Any) -> Any:
    """Find the class that a method is written in."""
    owner: Any = inspect.getmodule(method)
    for part in method.__qualname__.split(".")[:-1]:
        owner = getattr(owner, part)
    return owner


def mend_docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Set indented formulas and code as they stand; elsewhere keep bars as they are, and link settings."""
    mended, is_block = [], False
    for before, line in zip(["", "", *lines], [*lines, ""], strict=False):
        text = line.lstrip()
        if text and line == text:
            is_block = False
        elif text and not is_block and mended[-1:] == [""] and before and before == before.lstrip():
            is_block = True
            mended += ["::", ""]
        mended.append(line if is_block else _link(line))
    if isinstance(obj, type) and dataclasses.is_dataclass(obj) and _is_result(obj):
        mended = [_with_type(line, _public_types(obj)) for line in mended]
    lines[:] = mended


def _link(line: str) -> str:
    line = PAGE.sub(r":doc:`docs/\1.md </\1>`", line.replace("|", r"\|"))
    return CALL.sub(lambda m: f":py:obj:`{m[1]} <pid_jax.{m[2]}>`" if m[2] in pid_jax.__all__ else m[0], line)


def _public_types(cls: type) -> dict[str, str]:
    """Name the public class of each field of a result that has one."""
    written = {ast.unparse(node.target): re.findall(r"\w+", ast.unparse(node.annotation)) for node in _fields(cls)}
    found = {name: [word for word in words if word in pid_jax.__all__] for name, words in written.items()}
    return {name: words[0] for name, words in found.items() if words}


def _with_type(line: str, types: dict[str, str]) -> str:
    """Say the type of a field behind its name, where the docstring describes it."""
    field = re.match(r"    (\w+):", line)
    if field is None or field[1] not in types:
        return line
    return f"    {field[1]} (:py:obj:`~pid_jax.{types[field[1]]}`){line[field.end() - 1 :]}"
