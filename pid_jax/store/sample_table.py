"""What is known of the samples of arrays: a table, or columns next to the states, under the names that stores use."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pid_jax.store.formats.array import FormatError, from_memory, reading
from pid_jax.store.formats.arrow import ARROW, PARQUET, open_arrow
from pid_jax.store.manifest import check_ids
from pid_jax.store.shard import StoreError

ALIASES = {
    "id": ("id", "ids", "sample_id", "sample", "question_id"),
    "task": ("task", "task_name"),
    "gold": ("gold", "gold_answer", "label"),
    "predicted": ("predicted", "prediction", "answer"),
    "correct": ("correct", "is_correct"),
    "graded": ("graded",),
    "question": ("question", "prompt"),
    "image": ("image", "image_path"),
}
"""Names that columns may have, by what they are."""
ONLY_TASK = "all"
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "1.0": True, "0.0": False}
_TEXTS = ("id", "task", "gold", "predicted", "question", "image")


def read_table(table: Any) -> dict[str, np.ndarray]:
    """Read the columns of a table, each an array of one axis.

    Args:
        table: A file (.csv or .tsv in UTF-8 with a line of names, .parquet, .feather, .arrow), a mapping of columns, or
            a data frame of pandas or polars.

    Raises:
        FormatError: If it cannot be read, has no rows, or columns of several lengths.
        TypeError: If it is of another kind.
    """
    if isinstance(table, str | Path):
        columns = _read_file(Path(table).expanduser())
    elif isinstance(table, Mapping):
        columns = {str(name): from_memory(f"table/{name}", values).read() for name, values in table.items()}
    elif hasattr(table, "columns") and hasattr(table, "__getitem__"):
        names = [str(name) for name in table.columns]
        columns = {name: from_memory(f"table/{name}", table[name].to_numpy()).read() for name in names}
    else:
        raise TypeError(f"table must be a file, a mapping of columns or a data frame, got {type(table).__name__}.")
    lengths = {name: len(values) if values.ndim == 1 else values.shape for name, values in columns.items()}
    if len(set(lengths.values())) != 1 or any(values.ndim != 1 for values in columns.values()):
        raise FormatError(f"table must have columns of one length, got {dict(list(lengths.items())[:5])}.")
    if not next(iter(lengths.values())):
        raise FormatError("table has no row: give one row a sample.")
    return columns


def name_columns(columns: Mapping[str, np.ndarray], chosen: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Give columns the names that stores use.

    Args:
        columns: Columns of one length.
        chosen: Names of columns by what they are; others are found by `ALIASES`.

    Returns:
        The columns: texts of ids, tasks and answers, truth values of `correct`; others as they are.

    Raises:
        StoreError: If a chosen column is missing, two columns are the same thing, or a value is of the wrong kind.
    """
    named: dict[str, str] = {}
    for kind, name in chosen.items():
        if kind not in ALIASES or name not in columns:
            raise StoreError(f"columns has {kind}={name!r}; wanted one of {[*ALIASES]}, and a column of {[*columns]}.")
        named[kind] = name
    for kind, aliases in ALIASES.items():
        there = [name for name in columns if name.lower() in aliases and name not in named.values()]
        if kind not in named and len(there) > 1:
            raise StoreError(f"table has columns {there}, all for {kind!r}: choose one, columns={{{kind!r}: ...}}.")
        if kind not in named and there:
            named[kind] = there[0]
    taken = {name: kind for kind, name in named.items()}
    return {taken.get(name, name): _typed(taken.get(name, name), values) for name, values in columns.items()}


def complete_columns(columns: Mapping[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """Fill in what a study needs of every sample: `id`, `task`, `gold` and `correct`.

    Ids are numbers where there are none, and there is one task. A gold answer that is not told is that of the model
    where it is correct; `correct` is whether both are the same text.

    Raises:
        StoreError: If ids are missing or repeat.
    """
    found = dict(columns)
    found.setdefault("id", np.array([f"{row:0{len(str(count))}d}" for row in range(count)]))
    found.setdefault("task", np.full(count, ONLY_TASK))
    if "correct" in found and "gold" not in found:
        found.setdefault("graded", np.ones(count, bool))
        answers = found.get("predicted", np.full(count, ""))
        found["gold"] = np.where(found["correct"], answers, "")
    found.setdefault("gold", np.full(count, ""))
    if "correct" not in found:
        answers = found.get("predicted", np.full(count, ""))
        same = [normal_form(a) == normal_form(b) for a, b in zip(found["gold"], answers, strict=True)]
        found["correct"] = np.array(same, bool) & (found["gold"] != "")
    try:
        check_ids(found["id"].tolist())
    except ValueError as error:
        raise StoreError(f"table: {error}") from error
    if (found["id"] == "").any():
        raise StoreError(f"table has no id in row {int(np.flatnonzero(found['id'] == '')[0])}: every sample needs one.")
    return found


def normal_form(text: str) -> str:
    """Return the form in which answers are compared: stripped, lower case, without a final period."""
    return text.strip().lower().removesuffix(".").strip()


def _typed(kind: str, values: np.ndarray) -> np.ndarray:
    if kind in ("correct", "graded"):
        return _truths(kind, values)
    if kind in _TEXTS:
        return np.array(["" if _is_missing(one) else str(one) for one in values.tolist()], dtype=np.str_)
    return values


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def _truths(kind: str, values: np.ndarray) -> np.ndarray:
    if values.dtype == bool:
        return values
    words = [str(one).strip().lower() for one in values.tolist()]
    for row, word in enumerate(words):
        if word not in _TRUTHS:
            raise StoreError(f"column {kind!r} has {values[row]!r} in row {row}, wanted true or false, or 1 or 0.")
    return np.array([_TRUTHS[word] for word in words], bool)


def _read_file(path: Path) -> dict[str, np.ndarray]:
    suffix = path.suffix.lower()
    if not path.is_file():
        raise FormatError(f"table {path} does not exist: check the path.")
    if suffix in (*PARQUET, *ARROW):
        return {name: array.read() for name, array in open_arrow(path).items() if not array.problem}
    if suffix not in _DELIMITERS:
        raise FormatError(f"table {path} must end in one of {[*_DELIMITERS, *PARQUET, *ARROW]}.")
    rows = reading(str(path), lambda: _read_rows(path, _DELIMITERS[suffix]), "write it as a table in UTF-8")
    if not rows:
        raise FormatError(f"table {path} is empty: give a line of names and one row a sample.")
    header = rows.pop(0)
    double = sorted({name for name in header if header.count(name) > 1})
    if double or "" in header:
        raise FormatError(f"table {path} has a column without a name, or {double} twice: name each once.")
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise FormatError(f"table {path} has {len(row)} cells in row {number}, wanted {len(header)}.")
    return {name: np.array([row[i] for row in rows], dtype=np.str_) for i, name in enumerate(header)}


def _read_rows(path: Path, delimiter: str) -> Sequence[list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return [row for row in csv.reader(file, delimiter=delimiter, strict=True) if row]
