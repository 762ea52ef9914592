"""Columns of Parquet, Feather and Arrow files: numbers, texts, and lists of numbers of one length."""

from pathlib import Path
from typing import Any

import numpy as np

from pid_jax.store.formats.array import FormatError, LazyArray, reading, unusable

PARQUET = (".parquet", ".pq")
ARROW = (".arrow", ".feather", ".ipc")
_REMEDY = "write it again with pyarrow"


def open_arrow(path: Path) -> dict[str, LazyArray]:
    """Open the columns of a file; a column of lists is an array (rows, length of a list).

    Raises:
        FormatError: If it is damaged, or pyarrow is missing.
    """
    names = reading(str(path), lambda: _names(path), _REMEDY)
    return {name: reading(f"{path}/{name}", lambda name=name: _lazy(path, name), _REMEDY) for name in names}


def _lazy(path: Path, name: str) -> LazyArray:
    where = f"{path}/{name}"
    column = _column(path, name)
    try:
        shape, flat = _shape(column)
        kind = np.dtype("U") if _is_text(flat.type) else np.dtype(flat.type.to_pandas_dtype())
    except (ValueError, NotImplementedError, TypeError) as error:
        return unusable(where, f"cannot be used: {error}")
    return LazyArray(where=where, shape=shape, dtype=kind, load=lambda index: _values(_column(path, name), kind)[index])


def _values(column: Any, kind: np.dtype) -> np.ndarray:
    shape, flat = _shape(column)
    values = np.asarray(flat.to_numpy(zero_copy_only=False))
    return (values.astype(np.str_) if kind.kind == "U" else values).reshape(shape)


def _names(path: Path) -> list[str]:
    pa = _pyarrow(path)
    if path.suffix.lower() in PARQUET:
        return list(pa.parquet.ParquetFile(path).schema_arrow.names)
    return list(_mapped(path).schema.names)


def _mapped(path: Path) -> Any:
    """Map a file, in the format with a footer or, as Hugging Face's datasets writes, in the one for streams."""
    pa = _pyarrow(path)
    source = pa.memory_map(str(path))
    try:
        return pa.ipc.open_file(source).read_all()
    except pa.ArrowInvalid:
        source.seek(0)
        return pa.ipc.open_stream(source).read_all()


def _column(path: Path, name: str) -> Any:
    pa = _pyarrow(path)
    is_parquet = path.suffix.lower() in PARQUET
    table = pa.parquet.read_table(path, columns=[name]) if is_parquet else _mapped(path)
    column = table.column(name)
    return column.combine_chunks() if column.num_chunks else pa.array([], column.type)


def _shape(column: Any) -> tuple[tuple[int, ...], Any]:
    """Return the shape of a column of nested lists, and its values in one row.

    Raises:
        ValueError: If values are missing, or lists have several lengths.
    """
    shape = [len(column)]
    while _is_list(column.type):
        _refuse_missing(column)
        inner = column.flatten()
        counts = set(column.value_lengths().to_pylist()) if len(column) else {0}
        if len(counts) > 1:
            raise ValueError(f"its lists have several lengths, {sorted(counts)[:3]}; pad them, or pool over them")
        shape.append(counts.pop())
        column = inner
    if str(column.type).startswith("dictionary"):
        column = column.dictionary_decode()
    _refuse_missing(column)
    return tuple(shape), column


def _refuse_missing(column: Any) -> None:
    if column.null_count:
        raise ValueError(f"{column.null_count} values are missing; leave these samples out")


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _pyarrow(path: Path) -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise FormatError(f"{path} needs the package pyarrow: run `pip install pyarrow`.") from None
    return pyarrow
