"""Extraction from Python, for people with a model and data of their own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extraction.datasets.load import DataSettings
from extraction.datasets.sample import Sample
from extraction.edges import Knockout
from extraction.jobs import check_circumstances, extract_baseline, extract_knockouts, keep_correct
from extraction.models import wrap_model
from extraction.preflight import look_over, say_notable
from extraction.prompts import resolve_template
from extraction.run import RunOptions
from extraction.settings import ModelSettings, RunSettings, from_manifest
from pid_jax.store import ActivationStore


def extract(
    model: Any,
    processor: Any,
    samples: Sequence[Sample],
    store: str | Path,
    *,
    template: str = "plain",
    roles: Sequence[str] = ("image", "question", "last"),
    layers: Sequence[int] | None = None,
    keep: str = "all",
    batch_size: int = 64,
    shard_size: int = 128,
    max_new_tokens: int = 8,
    dtype: str = "float32",
    share_images: bool = True,
    options: RunOptions | None = None,
) -> ActivationStore:
    """Extract the hidden states of a model on samples into an activation store; go on with one that was begun.

    Args:
        model: A model of one of `extraction.families`, from transformers, on its device and in its precision.
        processor: Its processor, with a fast tokenizer.
        samples: Questions about images; ids are unique.
        store: Where the store goes: a folder or a URL.
        template: Name or text of the prompt template, see `extraction.prompts`.
        roles: Token groups to record.
        layers: 0 for the embeddings, l for the output of decoder block l; all if None.
        keep: "correct" answers all samples first and records those that are answered correctly.
        batch_size: Samples a forward pass; halved where memory runs out.
        shard_size: Samples a shard.
        max_new_tokens: Longest answer.
        dtype: "float32" or "float16" on disk.
        share_images: Whether questions about one image share one pass over it.
        options: Worker processes, progress, limit on failures.

    Returns:
        The store, complete.

    Raises:
        ValueError: If the model's family is not known, or a setting is out of range.
        StoreError: If the folder holds a store made with other settings.

    Example:
        >>> from extraction import Sample, extract
        >>> samples = [Sample(id="1", image=Path("cat.jpg"), question="What is this?", answer="cat", task="what")]
        >>> store = extract(model, processor, samples, "stores/mine", template="vicuna_v1")  # doctest: +SKIP
        >>> store.read(role="question", layer=8).shape  # doctest: +SKIP
        (1, 4096)
    """
    vlm = wrap_model(model, processor)
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
        roles=tuple(roles),
        layers=None if layers is None else tuple(layers),
        share_images=share_images,
        keep=keep,
    )
    checks, options = look_over(vlm), options or RunOptions()
    if options.process.is_first:
        say_notable(checks, options.say)
    chosen = keep_correct(vlm, samples, settings, store, options) if keep == "correct" else samples
    return extract_baseline(vlm, chosen, settings, store, options)


def extract_with_knockouts(
    model: Any,
    processor: Any,
    samples: Sequence[Sample],
    baseline: ActivationStore,
    knockouts: Sequence[Knockout],
    out: str | Path,
    options: RunOptions | None = None,
) -> dict[str, ActivationStore]:
    """Extract again under knockouts, with the settings and the samples of a baseline made by `extract`.

    Args:
        model: The model of the baseline.
        processor: Its processor.
        samples: The baseline's samples; others are passed over.
        baseline: The store of the baseline.
        knockouts: What to cut: edges between token groups, or masks of your own.
        out: Folder for the stores.
        options: Worker processes, progress, limit on failures.

    Returns:
        A store for each knockout, by its name.

    Raises:
        KnockoutError: If a knockout does not do what it says on this model.
        ValueError: If a sample of the baseline is missing, or the model or the samples are not the baseline's.
    """
    vlm = wrap_model(model, processor)
    settings = from_manifest(dict(baseline.manifest.settings))
    by_id = {sample.id: sample for sample in samples}
    if gone := [i for i in baseline.manifest.ids if i not in by_id]:
        raise ValueError(f"samples must hold all of the baseline, {len(gone)} are missing (first {gone[0]!r}).")
    chosen = [by_id[i] for i in baseline.manifest.ids]
    check_circumstances(vlm, chosen, settings, baseline)
    return extract_knockouts(vlm, chosen, settings, knockouts, out, options)
