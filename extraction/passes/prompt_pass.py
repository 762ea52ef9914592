"""One pass of the whole model over the prompts of a batch, and what later passes need of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from extraction.model.load import VisionLanguageModel
from extraction.passes.batch import Batch
from extraction.passes.blocks import AddedFeatures
from extraction.passes.capture import Recorder, StatesPlan, watching
from extraction.passes.spans import TokenGroups

KeysAndValues = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class PromptPass:
    """What a pass over prompts left behind.

    Attributes:
        groups: The group of every position.
        positions: Position of every token, (batch, positions) or (3, batch, positions).
        has_prefix: Whether the images precede the questions.
        memory: Keys and values of every block, (batch, heads, positions, head width).
        recorder: Pooled states.
        logits: Logits of the token after the prompt, (batch, vocabulary).
        entries: States that entered a block, by block, of the last positions.
        added: Features that are added between blocks, for passes that start from this one.
    """

    groups: TokenGroups
    positions: torch.Tensor
    has_prefix: bool
    memory: list[KeysAndValues]
    recorder: Recorder
    logits: torch.Tensor
    entries: dict[int, torch.Tensor] = field(default_factory=dict)
    added: AddedFeatures | None = None


def pass_prompts(
    vlm: VisionLanguageModel,
    batch: Batch,
    plan: StatesPlan,
    tails: Mapping[int, int] | None = None,
    *,
    has_sequel: bool = True,
) -> PromptPass:
    """Run the model over a batch, from pixels to logits.

    Args:
        vlm: The model.
        batch: Its inputs.
        plan: What to record.
        tails: How many of the last positions of what enters a block are kept, by block.
        has_sequel: Whether anything follows (tokens, questions, knockouts); if not, keys and values are not kept.
    """
    recorder = Recorder(vlm, batch.groups, plan, batch.has_prefix)
    cache = DynamicCache() if has_sequel else None
    with watching(vlm, recorder, tails or {}) as watch:
        output = vlm.model(**batch.inputs, past_key_values=cache, use_cache=has_sequel, logits_to_keep=1)
    positions = watch.positions
    if positions is None:
        raise RuntimeError(f"The decoder of {vlm.family.title} was given no position_ids; correct its entry.")
    if positions.ndim == 3 and len(positions) == 4:  # text positions first, the three axes after them
        positions = positions[1:]
    return PromptPass(
        groups=batch.groups,
        positions=positions,
        has_prefix=batch.has_prefix,
        memory=[] if cache is None else from_cache(cache),
        recorder=recorder,
        logits=output.logits[:, -1],
        entries=watch.entries,
        added=watch.added if tails else None,
    )


def from_cache(cache: DynamicCache) -> list[KeysAndValues]:
    """Return the keys and values of every block."""
    return [(layer.keys, layer.values) for layer in cache.layers]  # type: ignore[misc]


def to_cache(memory: list[KeysAndValues]) -> DynamicCache:
    """Make a cache that starts with these keys and values; what is added to it leaves them as they are."""
    cache = DynamicCache()
    for keys, values in memory:
        layer = DynamicLayer()
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        cache.layers.append(layer)
    return cache
