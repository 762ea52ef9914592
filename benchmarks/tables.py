"""Rows of a table: collected case by case, and written as Markdown."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

Row = Mapping[str, Any]
_Case = TypeVar("_Case")


def collect(measure: Callable[[_Case], Row | Sequence[Row]], cases: Iterable[_Case]) -> list[Row]:
    """Measure every case, which makes one row or several, and print rows as they come."""
    rows: list[Row] = []
    for case in cases:
        found = measure(case)
        for row in [found] if isinstance(found, Mapping) else found:
            rows.append(row)
            print(plain(row), flush=True)
    return rows


def by(column: str, rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Group rows by the entry of a column, in order of first appearance."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[column], []).append(row)
    return groups


def plain(row: Row) -> dict[str, Any]:
    """Turn NumPy and JAX scalars of a row into those of Python."""
    return {name: value.item() if hasattr(value, "item") else value for name, value in row.items()}


def markdown_table(rows: Sequence[Row]) -> str:
    """Write rows as a table of Markdown; columns are in the order of their first appearance."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(_cell(row.get(name, "")) for name in columns) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.1e}" if 0 < abs(value) < 1e-3 else f"{value:.3g}"
