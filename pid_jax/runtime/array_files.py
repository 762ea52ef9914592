"""Arrays of three variables in files: one .npz, or an .npy or a table of text for each."""

import csv
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

DELIMITERS = {".csv": ",", ".tsv": "\t"}
_DAMAGED = (ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError)
_LONGEST_SHOWN = 80
_WANTED = "give one .npz that holds {}, or three files for them in this order, each .npy, .csv or .tsv"


def read_variables(paths: Sequence[Path], names: Sequence[str]) -> list[np.ndarray]:
    """Read one array for each name.

    Args:
        paths: One .npz, or as many files as names.
        names: What the arrays are called in an .npz, and the order of files.

    Raises:
        ValueError: For another number of files, files that cannot be read, missing arrays, or texts among numbers.
    """
    wanted = _WANTED.format(", ".join(names))
    if len(paths) == 1:
        if paths[0].suffix.lower() in (".npy", *DELIMITERS):
            raise ValueError(f"{paths[0]} holds one array, wanted {len(names)}: {wanted}.")
        return _read_npz(paths[0], names)
    if len(paths) != len(names):
        raise ValueError(f"{len(paths)} files were given: {wanted}.")
    return [_read_one(path, wanted) for path in paths]


def _read_npz(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    if path.is_file() and not zipfile.is_zipfile(path):  # an .npz is a zip file
        raise ValueError(f"{path} is no .npz file that can be read: write it with numpy.savez.")
    with _reading(str(path)):
        archive = np.load(path, allow_pickle=False)
    with archive as loaded:
        missing = [name for name in names if name not in loaded]
        if missing:
            raise ValueError(f"{path} has no array {', '.join(missing)}; it has {list(loaded)}. Name them {names}.")
        arrays = []
        for name in names:
            with _reading(f"{name} in {path}"):
                arrays.append(loaded[name])
        return arrays


def _read_one(path: Path, wanted: str) -> np.ndarray:
    suffix = path.suffix.lower()
    if suffix in DELIMITERS:
        return _read_table(path, DELIMITERS[suffix])
    if suffix != ".npy":
        raise ValueError(f"{path} is of no kind that is read here: {wanted}.")
    with path.open("rb") as file, _reading(str(path)):  # errors of the system name the file already
        return np.load(file, allow_pickle=False)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Name the array in errors of NumPy."""
    try:
        yield
    except _DAMAGED as error:
        is_object = "Object arrays" in str(error)
        problem = "holds Python objects" if is_object else f"cannot be read ({error})"
        remedy = "convert it with .astype(float) before it is saved" if is_object else "write it again with NumPy"
        raise ValueError(f"{name} {problem}, wanted numbers: {remedy}.") from error


def _read_table(path: Path, delimiter: str) -> np.ndarray:
    """Read rows of numbers, after a line with the names of columns if there is one."""
    rows = _read_rows(path, delimiter)
    if rows and not all(_is_number(cell) for cell in rows[0][1]):
        _, header = rows.pop(0)
        if not header[0].strip():
            raise ValueError(
                f"{path} has a first column without a name, as row labels have, which are no samples: leave it out, in "
                "pandas by to_csv(index=False)."
            )
    if not rows:
        raise ValueError(f"{path} has no row of numbers: check how it was written.")
    width = len(rows[0][1])
    for line, row in rows:
        bad = next((i for i, cell in enumerate(row) if not _is_number(cell)), None)
        if len(row) != width or bad is not None:
            problem = f"{_short(row[bad])} in column {bad}" if bad is not None else f"{len(row)} columns"
            raise ValueError(
                f"{path} has {problem} in line {line}, wanted {width} numbers: repair the line, or leave the sample "
                "out of all variables."
            )
    return np.array([[float(cell) for cell in row] for _, row in rows])


def _read_rows(path: Path, delimiter: str) -> list[tuple[int, list[str]]]:
    """Read the rows that are not empty, and the line in which each begins."""
    rows, line = [], 1
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            for row in reader:
                if row:
                    rows.append((line, row))
                line = reader.line_num + 1
        except csv.Error as error:
            remedy = "look for a quote that is not closed; numbers need none"
            raise ValueError(f"{path} holds no row of a table from line {line} on ({error}): {remedy}.") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is no text in UTF-8 ({error}): write it as UTF-8, or as .npy.") from error
    return rows


def _short(cell: str) -> str:
    return repr(cell if len(cell) <= _LONGEST_SHOWN else f"{cell[:_LONGEST_SHOWN]}...")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
