"""Tables of a benchmark as files: benchmarks/results/NAME.json and NAME.md."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"

Row = Mapping[str, Any]


def write_page(name: str, title: str, text: str, tables: Mapping[str, Sequence[Row]], conditions: Row) -> None:
    """Write the tables with what they were measured on, and print them.

    Args:
        name: Name of both files.
        title: Headline of the page.
        text: What was measured, before date and hardware.
        tables: Rows of each table; a row may lack columns.
        conditions: See `timing.circumstances`.
    """
    versions = ", ".join(f"{package} {number}" for package, number in conditions["versions"].items())
    head = f"{conditions['date']}, {conditions['processor']}, {conditions['cores']} cores; {versions}."
    page = f"# {title}\n\n{text} {head}\n\n" + "\n".join(_markdown(*table) for table in tables.items())
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({"title": title, "tables": tables, **conditions}, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(page)
    print(page)


def _markdown(title: str, rows: Sequence[Row]) -> str:
    return f"## {title}\n\n{markdown_table(rows)}\n"


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
