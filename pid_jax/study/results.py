"""The dataset of a study on disk, and views of it. docs/study_dataset.md says what it holds."""

from pathlib import Path

import numpy as np
import xarray as xr

from pid_jax.runtime.files import encode_dataset, read_dataset, write_bytes
from pid_jax.study.conditions import BASELINE

SCHEMA = "pid_jax.study/2"
# What information about an answer is estimated from, where that about a state needs a Gaussianizer.
PREDICTIONS = "held-out predictions"
# Level of the intervals of all that is tested.
LEVEL = 0.95


def save_study(results: xr.Dataset, path: Path) -> Path:
    """Write a study to one netCDF file, whole or not at all."""
    write_bytes(path, encode_dataset(results))
    return path


def load_study(path: str | Path) -> xr.Dataset:
    """Read what `save_study` wrote.

    Raises:
        ValueError: If the file is missing or holds something else.
    """
    return read_dataset(path, SCHEMA, "`pid-jax study`")


def is_about_answer(results: xr.Dataset) -> bool:
    """Return whether a study is about an answer, whose entropy no information exceeds but by chance."""
    return "target_entropy" in results


_SHORT = {
    "answer": "the answer",
    "own-answer": "the answer under each cut",
    "gold-answer": "the gold answer",
    "correctness": "correctness",
    "final-norm": "the state",
    "answer-logits": "the answer's logits",
    "logit-lens": "the state of each layer",
    "logit-lens-answers": "the logits of each layer",
    "answer-embedding": "the answer's embedding",
}


def about(results: xr.Dataset) -> str:
    """Return what titles call the target, such as "the answer" or "the state"."""
    name = str(results.attrs.get("target", "final-norm"))
    return _SHORT.get(name, str(results.attrs.get("target_label", name)))


def one_model(results: xr.Dataset, name: str) -> xr.Dataset:
    """Cut out one model, with the layers and conditions that it has.

    Args:
        results: A study.
        name: One of `results.model`.

    Returns:
        The same without the dimension `model`.

    Raises:
        ValueError: If there is no such model.
    """
    names = [str(model) for model in results["model"].values]
    if name not in names:
        raise ValueError(f"name must be one of {names}, got {name!r}.")
    chosen = results.isel(model=names.index(name))
    has_condition = (chosen["cell"] != "absent").any("task").values
    has_layer = np.isfinite(chosen["depth"].values)
    return chosen.isel(condition=np.flatnonzero(has_condition), layer=np.flatnonzero(has_layer))


def cut_names(results: xr.Dataset) -> list[str]:
    """Name what every condition cuts: "" for the baseline, and its own name where the dataset does not say.

    Args:
        results: A study, or a model of it.
    """
    conditions = [str(name) for name in results["condition"].values]
    known = [str(name) for name in results["edges"].values] if "edges" in results.coords else [""] * len(conditions)
    return ["" if own == BASELINE else name or own for name, own in zip(known, conditions, strict=True)]
