"""Extraction from Python, for people with a model and data of their own."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from extraction.datasets.load import DataSettings
from extraction.datasets.sample import Sample
from extraction.model.load import VisionLanguageModel, wrap_model
from extraction.model.prompts import resolve_template
from extraction.passes.edges import Knockout
from extraction.proof.preflight import look_over, say_notable
from extraction.run.decision import DecisionSettings, fill_decision
from extraction.run.fill import RunOptions
from extraction.run.jobs import extract_baseline, extract_knockouts, keep_correct
from extraction.run.settings import ModelSettings, RunSettings
from pid_jax.store import ActivationStore

Item = TypeVar("Item")


def extract(
    model: Any,
    processor: Any,
    samples: Iterable[Sample],
    store: str | Path,
    *,
    template: str = "plain",
    roles: Sequence[str] = ("image", "question", "last"),
    layers: Sequence[int] | None = None,
    keep: str = "all",
    batch_size: int = 64,
    shard_size: int = 128,
    max_new_tokens: int = 8,
    dtype: Any = "float32",
    share_images: bool = True,
    options: RunOptions | None = None,
) -> ActivationStore:
    """Extract the hidden states of a model on samples into an activation store; go on with one that was begun.

    Args:
        model: A model of one of `extraction.model.families`, from transformers, on its device and in its precision. It
            is set to evaluation mode.
        processor: Its processor, with a fast tokenizer.
        samples: Questions about images; ids are unique.
        store: Where the store goes: a folder or a URL.
        template: Name or text of the prompt template, see `extraction.model.prompts`.
        roles: Token groups to record.
        layers: 0 for the embeddings, l for the output of decoder block l; negative numbers count from the last block,
            -1. All if None.
        keep: "correct" answers all samples first and records those that are answered correctly.
        batch_size: Samples a forward pass; halved where memory runs out.
        shard_size: Samples a shard.
        max_new_tokens: Longest answer.
        dtype: "float32" or "float16" on disk, or a dtype of that name.
        share_images: Whether questions about one image share one pass over it.
        options: Worker processes, progress, limit on failures.

    Returns:
        The store, complete.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If the model's family is not known, it is wrapped or has adapters, a setting is out of range, ids
            repeat, or an image is not the one that rows of a store that was begun were extracted from.
        StoreError: If the folder holds a store made with other settings.

    Example:
        >>> from extraction import Sample, extract
        >>> samples = [Sample(id="1", image=Path("cat.jpg"), question="What is this?", answer="cat", task="what")]
        >>> store = extract(model, processor, samples, "stores/mine", template="vicuna_v1")  # doctest: +SKIP
        >>> store.read(role="question", layer=8).shape  # doctest: +SKIP
        (1, 4096)
    """
    options, chosen, store = _read_options(options), _read_samples(samples), _read_place("store", store)
    if not isinstance(template, str):
        raise TypeError(f"template must be a name or a text, such as 'plain', got {template!r}.")
    vlm = _read_model(model, processor)
    settings = RunSettings(
        model=ModelSettings(
            name=str(getattr(model.config, "name_or_path", "") or type(model).__name__),
            dtype=str(model.dtype).removeprefix("torch."),
            attn_implementation=str(vlm.text_config._attn_implementation),
        ),
        data=DataSettings(reader="python"),
        template=resolve_template(template, processor, vlm.family),
        batch_size=batch_size,
        shard_size=shard_size,
        max_new_tokens=max_new_tokens,
        dtype=dtype,
        roles=roles,  # type: ignore[arg-type]
        layers=layers,  # type: ignore[arg-type]
        share_images=share_images,
        keep=keep,
    )
    checks = look_over(vlm)
    if options.process.is_first:
        say_notable(checks, options.say)
    if keep == "correct":
        chosen = keep_correct(vlm, chosen, settings, store, options)
    return extract_baseline(vlm, chosen, settings, store, options)


def extract_with_knockouts(
    model: Any,
    processor: Any,
    samples: Iterable[Sample],
    baseline: ActivationStore | str | Path,
    knockouts: Iterable[Knockout],
    out: str | Path,
    options: RunOptions | None = None,
) -> dict[str, ActivationStore]:
    """Extract again under knockouts, with the settings and the samples of a baseline made by `extract`.

    Args:
        model: The model of the baseline.
        processor: Its processor.
        samples: The baseline's samples; others are passed over.
        baseline: The store of the baseline, or where it is.
        knockouts: What to cut: edges between token groups, in all heads or some, or masks of your own. What
            `random_controls` and `image_replacement` return is taken too.
        out: Folder for the stores.
        options: Worker processes, progress, limit on failures.

    Returns:
        A store for each knockout, by its name.

    Raises:
        KnockoutError: If a knockout does not do what it says on this model, or the model's states are not those of the
            baseline.
        TypeError: If an argument is of another type.
        ValueError: If a sample of the baseline is missing, or the model, the samples or their images are not the
            baseline's.
    """
    options, cuts, out = _read_options(options), _as_list("knockouts", knockouts, Knockout), _read_place("out", out)
    baseline, chosen = _read_baseline(baseline, samples)
    return extract_knockouts(_read_model(model, processor), chosen, baseline, cuts, out, options)


def extract_decision(
    model: Any,
    processor: Any,
    samples: Iterable[Sample],
    baseline: ActivationStore | str | Path,
    out: str | Path,
    *,
    absent: str = "cut",
    draws: int = 1,
    seed: int = 0,
    options: RunOptions | None = None,
) -> dict[str, ActivationStore]:
    """Extract what decides the answers from the question alone, and from the image alone.

    `pid_jax.read_decision` makes the model's own posteriors of the stores.

    Args:
        model: The model of the baseline, which was made by `extract` with the role "last".
        processor: Its processor.
        samples: The baseline's samples; others are passed over.
        baseline: The store of the baseline, or where it is.
        out: Folder for the stores.
        absent: "cut": no token reads the absent modality. "replaced": it is that of another sample of the same task.
        draws: Number of replacements, one store of each modality for each.
        seed: Seed of the replacements, 0 or more.
        options: Worker processes, progress, limit on failures.

    Returns:
        Stores by name: `question-only@cut` and `image-only@cut`, or `question-only@replaced-1` and so on. They hold the
        final norm's state at the last position only.

    Raises:
        KnockoutError: If an absent modality still changes the state on this model, or the model's states are not those
            of the baseline.
        TypeError: If an argument is of another type.
        ValueError: If a setting is out of range, a sample of the baseline is missing, or the model, the samples or
            their images are not the baseline's.
        StoreError: If a folder holds a store made with other settings, such as another seed.
    """
    how = DecisionSettings(absent=absent, draws=draws, seed=seed)
    options, out = _read_options(options), _read_place("out", out)
    baseline, chosen = _read_baseline(baseline, samples)
    return fill_decision(_read_model(model, processor), chosen, baseline, out, how, options)


def _read_baseline(
    baseline: ActivationStore | str | Path, samples: Iterable[Sample]
) -> tuple[ActivationStore, list[Sample]]:
    """Open a baseline, and return its samples in its order."""
    if not isinstance(baseline, ActivationStore):
        baseline = ActivationStore.open(_read_place("baseline", baseline))
    by_id = {sample.id: sample for sample in _read_samples(samples)}
    if gone := [i for i in baseline.manifest.ids if i not in by_id]:
        raise ValueError(f"samples must hold all of the baseline, {len(gone)} are missing (first {gone[0]!r}).")
    return baseline, [by_id[i] for i in baseline.manifest.ids]


def _read_model(model: Any, processor: Any) -> VisionLanguageModel:
    """Find the parts of a model."""
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


def _read_samples(samples: Iterable[Sample]) -> list[Sample]:
    """Return samples as a list."""
    if hasattr(samples, "columns") or isinstance(samples, Mapping):
        raise TypeError(
            f"samples must be a list of Sample, got {type(samples).__name__}: make one of each row, such as "
            "[Sample(**row) for row in table.to_dict('records')]."
        )
    found = _as_list("samples", samples, Sample)
    if not found:
        raise ValueError("samples is empty: give at least one Sample.")
    double, count = Counter(sample.id for sample in found).most_common(1)[0]
    if count > 1:
        raise ValueError(f"samples must have different ids, got {double!r} more than once.")
    return found


def _read_place(name: str, value: Any) -> str | Path:
    """Return a folder or a URL."""
    if isinstance(value, ActivationStore):
        raise TypeError(f"{name} must be a folder or a URL, got a store: give its path, store.path.")
    if not isinstance(value, str | Path) or not str(value):
        raise TypeError(f"{name} must be a folder or a URL, got {value!r}.")
    return value


def _read_options(options: RunOptions | None) -> RunOptions:
    """Return options, the usual ones for None."""
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
