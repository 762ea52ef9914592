"""Read the entry of a family from a TOML file."""

import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from extraction.model.family import Family


def read_family(path: str | Path) -> Family:
    """Read a family from a file whose keys are the fields of `Family`.

    Raises:
        ValueError: If it is no TOML, lacks a field, has one that there is not, or one of another type.
        OSError: If it cannot be read.
    """
    try:
        found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"family file {str(path)!r} is no TOML ({error}): correct it.") from error
    known = {one.name: one for one in fields(Family)}
    needed = [name for name, one in known.items() if one.default is MISSING]
    lacking, unknown = [name for name in needed if name not in found], [name for name in found if name not in known]
    if lacking or unknown:
        problem = f"lacks {', '.join(lacking)}" if lacking else f"has the unknown field {', '.join(unknown)}"
        raise ValueError(
            f"family file {str(path)!r} {problem}; fields are {', '.join(known)}, needed are {', '.join(needed)}."
        )
    for name, value in found.items():
        default = "" if known[name].default is MISSING else known[name].default
        if type(value) is not (list if isinstance(default, tuple) else type(default)):
            raise ValueError(f"family file {str(path)!r}: {name} must be like {default!r}, got {value!r}.")
    return Family(**{name: _as_tuples(value) for name, value in found.items()})


def write_entry(entry: dict[str, Any]) -> str:
    """Write fields as the lines of such a file."""
    return "\n".join(f"{name} = {_toml(value)}" for name, value in entry.items())


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(one) for one in value) if isinstance(value, list) else value


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml(one) for one in value)}]"
    return str(value) if isinstance(value, int) else f'"{value}"'
