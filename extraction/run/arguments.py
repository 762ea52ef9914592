"""Arguments of `extract` as people give them: brought into one form, or refused by a line that says what to give."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from extraction.datasets.sample import Sample
from extraction.model.load import VisionLanguageModel, wrap_model
from extraction.passes.edges import Knockout
from extraction.run.fill import RunOptions
from pid_jax.store import ActivationStore

Item = TypeVar("Item")


def read_model(model: Any, processor: Any) -> VisionLanguageModel:
    """Find the parts of a model.

    Raises:
        TypeError: If it is no loaded model, or the processor is none.
        ValueError: If its weights are not loaded, or its family is not known.
    """
    if isinstance(model, VisionLanguageModel):
        raise TypeError("model is what load_model returned: give its parts, vlm.model and vlm.processor.")
    if isinstance(model, str | os.PathLike):
        raise TypeError(
            f"model must be a loaded model, got {str(model)!r}: load it by extraction.load_model and give its model "
            "and processor, or use `pid-extract run`."
        )
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a model of transformers, got {type(model).__name__}.")
    if any(getattr(processor, part, None) is None for part in ("tokenizer", "image_processor")):
        raise TypeError(
            f"processor must have a tokenizer and an image_processor, got {type(processor).__name__}: load it by "
            "transformers.AutoProcessor.from_pretrained."
        )
    if getattr(getattr(model, "device", None), "type", None) == "meta":
        raise ValueError("model has no weights, it is on the device 'meta': load them by from_pretrained.")
    return wrap_model(model, processor)


def read_samples(samples: Iterable[Sample]) -> list[Sample]:
    """Return samples as a list.

    Raises:
        TypeError: If they are no samples.
        ValueError: If there are none, or ids repeat.
    """
    if hasattr(samples, "columns") or isinstance(samples, Mapping):
        raise TypeError(
            f"samples must be a list of Sample, got {type(samples).__name__}: make one of each row, such as "
            "[Sample(**row) for row in table.to_dict('records')]."
        )
    found = _as_list("samples", samples, Sample)
    if not found:
        raise ValueError("samples is empty: give at least one Sample.")
    seen: set[str] = set()
    for sample in found:
        if sample.id in seen:
            raise ValueError(f"samples must have different ids, got {sample.id!r} more than once.")
        seen.add(sample.id)
    return found


def read_knockouts(knockouts: Iterable[Knockout]) -> list[Knockout]:
    """Return knockouts as a list.

    Raises:
        TypeError: If they are none.
    """
    return _as_list("knockouts", knockouts, Knockout)


def read_baseline(baseline: ActivationStore | str | Path) -> ActivationStore:
    """Return the store of a baseline, which may be named by its place.

    Raises:
        StoreError: If there is no store.
        TypeError: If it is none.
    """
    return baseline if isinstance(baseline, ActivationStore) else ActivationStore.open(read_place("baseline", baseline))


def read_place(name: str, value: Any) -> str | Path:
    """Return a folder or a URL.

    Raises:
        TypeError: If it is none.
    """
    if isinstance(value, ActivationStore):
        raise TypeError(f"{name} must be a folder or a URL, got a store: give its path, store.path.")
    if not isinstance(value, str | Path) or not str(value):
        raise TypeError(f"{name} must be a folder or a URL, got {value!r}.")
    return value


def read_options(options: RunOptions | None) -> RunOptions:
    """Return options, the usual ones for None.

    Raises:
        TypeError: If they are none.
    """
    if options is not None and not isinstance(options, RunOptions):
        raise TypeError(f"options must be RunOptions(...) or None, got {type(options).__name__}.")
    return options or RunOptions()


def _as_list(name: str, values: Iterable[Item], kind: type[Item]) -> list[Item]:
    try:
        found = list(values)
    except TypeError:
        raise TypeError(f"{name} must be a list of {kind.__name__}, got {type(values).__name__}.") from None
    for i, value in enumerate(found):
        if not isinstance(value, kind):
            hint = f": use {kind.__name__}(**...)" if isinstance(value, Mapping) else ""
            raise TypeError(f"{name} must be a list of {kind.__name__}, got {type(value).__name__} at index {i}{hint}.")
    return found
