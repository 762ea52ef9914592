"""The SQLite database of VLM-Lens: one row for each image, prompt and layer, with a tensor that torch.save wrote.

Source: the table as https://github.com/compling-wat/vlm-lens describes and writes it.
"""

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np

from pid_jax.store.formats.array import FormatError, LazyArray, reading
from pid_jax.store.formats.torch_file import read_tensor_bytes

SUFFIXES = (".db", ".sqlite", ".sqlite3")
_TABLE = "tensors"
_NEEDED = ("layer", "tensor", "prompt", "image_path")
# Columns of this table by the names that tables of samples have.
_ABOUT = {"prompt": "question", "image_path": "image", "label": "gold"}


def open_vlm_lens(path: Path) -> dict[str, LazyArray]:
    """Open a database: an array (samples, width) for each layer, `id`, and what is known of the samples.

    A sample is an image with a prompt, in the order in which the first layer has them.

    Raises:
        FormatError: If it is another database, layers have different samples, or states were not pooled.
    """
    return reading(str(path), lambda: _arrays(path), "give the database that VLM-Lens wrote")


def _arrays(path: Path) -> dict[str, LazyArray]:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        has = [row[1] for row in database.execute(f"PRAGMA table_info({_TABLE})")]
        if missing := [name for name in _NEEDED if name not in has]:
            raise FormatError(f"{path} has no table {_TABLE!r} with {', '.join(missing)}, as VLM-Lens writes it.")
        keys = [name for name in ("image_id", "image_path", "prompt") if name in has]
        models = [row[0] for row in database.execute(f"SELECT DISTINCT name FROM {_TABLE}")] if "name" in has else []
        if len(models) > 1:
            raise FormatError(f"{path} holds several models, {models[:3]}: write one database for each.")
        rows: dict[str, dict[tuple, int]] = {}
        for row in database.execute(f"SELECT rowid, layer, {', '.join(keys)} FROM {_TABLE} ORDER BY rowid"):
            layer, sample = str(row[1]), tuple(row[2:])
            if sample in rows.setdefault(layer, {}):
                raise FormatError(f"{path} has layer {layer!r} of {sample!r} twice: delete the older rows.")
            rows[layer][sample] = row[0]
        about = {name: title for name, title in _ABOUT.items() if name in has}
        return _by_layer(path, database, rows, about)


def _by_layer(
    path: Path, database: Any, rows: dict[str, dict[tuple, int]], about: dict[str, str]
) -> dict[str, LazyArray]:
    if not rows:
        raise FormatError(f"{path} holds no tensor.")
    first_layer, first = next(iter(rows.items()))
    samples = list(first)
    found: dict[str, LazyArray] = {}
    for layer, own in rows.items():
        if set(own) != set(first):
            raise FormatError(f"{path} has {len(own)} samples of {layer!r}, {len(first)} of {first_layer!r}.")
        numbers = [own[sample] for sample in samples]
        where = f"{path}/{layer}"
        width = _read_rows(path, where, numbers[:1]).shape[1]
        found[layer] = LazyArray(
            where=where,
            shape=(len(numbers), width),
            dtype=np.dtype(np.float32),
            load=lambda index, where=where, numbers=numbers: _read_rows(path, where, numbers)[index],
        )
    ids = [f"{row:06d}" for row in range(len(samples))]
    texts = {"id": ids}
    for name, title in about.items():
        values = dict(database.execute(f"SELECT rowid, {name} FROM {_TABLE}"))
        texts[title] = ["" if values[first[sample]] is None else str(values[first[sample]]) for sample in samples]
    for title, values in texts.items():
        array = np.array(values, dtype=np.str_)
        found[title] = LazyArray(where=f"{path}/{title}", shape=array.shape, dtype=array.dtype, load=array.__getitem__)
    return found


def _read_rows(path: Path, where: str, numbers: list[int]) -> np.ndarray:
    """Read the states of some rows (rows, width)."""
    states = []
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        for number in numbers:
            (content,) = database.execute(f"SELECT tensor FROM {_TABLE} WHERE rowid = ?", (number,)).fetchone()
            tensor = read_tensor_bytes(f"{where}, row {number}", content)
            state = np.asarray(tensor.float().numpy() if str(tensor.dtype) == "torch.bfloat16" else tensor.numpy())
            if state.size != state.shape[-1]:
                raise FormatError(
                    f"{where}, row {number}, has shape {state.shape}, one state a token: run VLM-Lens with "
                    "pooling_method, or save masks with the tokens and use files."
                )
            states.append(state.reshape(-1))
    if len({len(state) for state in states}) > 1:
        raise FormatError(f"{where} has states of several widths: write one database for each model.")
    return np.stack(states)
