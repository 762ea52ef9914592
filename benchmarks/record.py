"""Results with the environment they were measured in: benchmarks/results/NAME.json and NAME.md."""

import ast
import datetime
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

from benchmarks.tables import Row, markdown_table, plain

RESULTS = Path(__file__).parent / "results"
# Packages that figures may depend on.
PACKAGES = (
    *("pid_jax", "jax", "jaxlib", "numpy", "scipy", "threadpoolctl", "flax", "optax", "distrax", "numpyro", "xarray"),
    *("torch", "transformers", "pillow", "safetensors", "xxhash", "h5py", "scikit-learn", "hoi", "plotly"),
)
Tables = Mapping[str, Sequence[Row]]


def write_results(name: str, title: str, text: str, tables: Tables, *packages: str, **more: Any) -> None:
    """Write tables with the environment they were measured in, and print them.

    Args:
        name: Name of both files: that of the module, or else give its `command`.
        title: Headline of the page.
        text: What was measured; date, hardware and versions follow it.
        tables: Rows of each table by title; a row may lack columns.
        packages: Packages whose version matters although this process did not import them.
        more: What else to keep in the JSON file. The benchmark page reads `command` (to measure this again), `card`
            (name of a GPU) and `speeds` (of the floors).
    """
    tables = {heading: [plain(row) for row in rows] for heading, rows in tables.items()}
    found = environment(*packages)
    versions = ", ".join(f"{package} {number}" for package, number in found["versions"].items())
    head = f"{found['date']}, {found['processor']}, {found['cores']} cores; {versions}."
    page = f"# {title}\n\n{text} {head}\n\n" + "\n".join(
        f"## {heading}\n\n{markdown_table(rows)}\n" for heading, rows in tables.items()
    )
    RESULTS.mkdir(exist_ok=True)
    record = {"title": title, "tables": tables, **found, **more}
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(page)
    print(page)


def environment(*packages: str) -> dict[str, Any]:
    """Describe date, machine and versions of what this process has imported, and of `packages`."""
    modules = packages_distributions()
    imported = {name for module in modules.keys() & sys.modules.keys() for name in modules[module]}
    imported |= {"pid_jax", "jax", "jaxlib"}  # also where only the processes that are timed import them
    return {
        "date": datetime.date.today().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {
            name: version(name) for name in dict.fromkeys(PACKAGES + packages) if name in imported | set(packages)
        },
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    models = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return models[0] if models else platform.processor()


@dataclass(frozen=True)
class Measured:
    """One file of results: its name, and what `write_results` wrote."""

    name: str
    record: Mapping[str, Any]

    @property
    def tables(self) -> Tables:
        return self.record["tables"]

    @property
    def command(self) -> str:
        """The command that measures it again."""
        own = f"python -m benchmarks.{self.name}" + (" --write" if self.name == "guard" else "")
        return self.record.get("command", own)

    @property
    def hardware(self) -> str:
        card = f"{self.record['card']} and " if "card" in self.record else ""
        return f"{card}{self.record['processor']}, {self.record['cores']} cores"

    @property
    def source(self) -> str:
        return f"`{self.command}`; {self.record['date']}, {self.hardware}."

    @property
    def purpose(self) -> str:
        """The first paragraph of the docstring of the module."""
        name = self.command.split()[2].removeprefix("benchmarks.")
        docstring = ast.get_docstring(ast.parse(Path(__file__).with_name(f"{name}.py").read_text()))
        return " ".join((docstring or "").split("\n\n")[0].split())

    def table(self, start: str) -> Sequence[Row]:
        """Return the rows of the one table whose title starts so."""
        (found,) = (rows for title, rows in self.tables.items() if title.startswith(start))
        return found

    def row(self, start: str, **where: Any) -> Row:
        """Return the one row of a table with these entries; spaces in names of columns are underscores here."""
        wanted = {name.replace("_", " "): value for name, value in where.items()}
        (found,) = (r for r in self.table(start) if all(r[name] == value for name, value in wanted.items()))
        return found


def read_results(folder: Path = RESULTS) -> dict[str, Measured]:
    """Read all results, in the order of their names."""
    return {path.stem: Measured(path.stem, json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))}
