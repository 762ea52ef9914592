"""Rows of parquet and Arrow files, read from disk where they are needed. Nothing but data is read: no code, no pickle.

A parquet file is read by groups of rows, an Arrow file (what `datasets.save_to_disk` writes) is mapped into memory.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from extraction.errors import shown

LARGEST_GROUP = 2_000_000_000
"""Bytes that one group of rows may say it has; it is read as a whole."""

_SUFFIXES = (".parquet", ".arrow")
_LEFTOVERS = ("cache-", "indices")  # what `datasets` writes beside the data


def find_tables(folder: Path, root: Path) -> list[Path]:
    """Return the files of a table in the order of their names.

    Args:
        folder: Their folder, and folders in it.
        root: What every file must lie in once links are followed.

    Raises:
        ValueError: If a file leads out of `root`.
        ModuleNotFoundError: If pyarrow is not installed.
    """
    _pyarrow()
    files = sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES and path.is_file())
    files = [path for path in files if not path.name.startswith((".", *_LEFTOVERS))]
    for path in files:
        if not path.resolve().is_relative_to(root):
            raise ValueError(f"{shown(path)} leads out of {shown(root)} and is not opened: put the file itself there.")
    return files


def iterate_rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield (group, row in the group, fields) of some columns; those that are not there are left out.

    Raises:
        ValueError: If the file is damaged.
    """
    for group in range(_group_count(path)):
        table = read_group(path, group, columns)
        try:
            rows = table.to_pylist()
        except UnicodeDecodeError as error:
            raise ValueError(f"{shown(path)} holds bytes that are no text ({error}): download it again.") from error
        for row, fields in enumerate(rows):
            yield group, row, fields


def read_group(path: Path, group: int, columns: tuple[str, ...]) -> Any:
    """Return columns of a group of rows as a table.

    Raises:
        ValueError: If the file is damaged, or the group larger than `LARGEST_GROUP`.
    """
    pa = _pyarrow()
    try:
        if path.suffix == ".arrow":
            with pa.ipc.open_stream(pa.memory_map(str(path))) as reader:
                table = reader.read_all()
            return table.select([name for name in columns if name in table.column_names])
        file = _parquet(path)
        size = file.metadata.row_group(group).total_byte_size
        if size > LARGEST_GROUP:
            raise ValueError(f"group {group} has {size} bytes, more than {LARGEST_GROUP}; write smaller groups")
        return file.read_row_group(group, columns=list(columns), use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"{shown(path)} cannot be read ({shown(error)}): download it again.") from error


@lru_cache(maxsize=1)
def last_group(path: Path, group: int, column: str) -> Any:
    """Return one column of a group of rows; the last one stays in memory, since neighbors are asked for in turn."""
    return read_group(path, group, (column,)).column(column)


def _group_count(path: Path) -> int:
    return 1 if path.suffix == ".arrow" else _parquet(path).metadata.num_row_groups


@lru_cache(maxsize=2)  # its footer is read once, not once a group
def _parquet(path: Path) -> Any:
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path, memory_map=True)
    except (_pyarrow().ArrowException, OSError) as error:
        raise ValueError(f"{shown(path)} is no parquet file ({shown(error)}): download it again.") from error


def _pyarrow() -> Any:
    try:
        import pyarrow as pa
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'a data set in parquet or Arrow files needs pyarrow; install it: pip install "pid_jax[parquet]"'
        ) from None
    import pyarrow.ipc

    return pa
