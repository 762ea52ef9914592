"""See what the attention of every block is given, and the weights it gives."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from extraction.model.load import VisionLanguageModel
from extraction.passes.batch import Batch
from extraction.passes.blocks import allowed_pairs
from extraction.passes.edges import Knockout

PLAIN = "without the knockout"
"""Name of a pass without a knockout, see `compare_masks`."""


@dataclass
class Looked:
    """What the attention of every block was given, by block: its mask, and the rotation of positions."""

    masks: dict[int, Any] = field(default_factory=dict)
    rotations: dict[int, torch.Tensor] = field(default_factory=dict)


@dataclass
class Seen:
    """What hooks on eager attention see: largest weights on each edge and errors of sums by block, one block whole."""

    edges: list[torch.Tensor]
    kept: int
    on_edges: dict[int, list[float]] = field(default_factory=dict)
    row_sum_error: dict[int, float] = field(default_factory=dict)
    weights: torch.Tensor | None = None

    def add(self, index: int, weights: torch.Tensor, is_token: torch.Tensor) -> None:
        """Look at the weights of a block."""
        weights = weights.float().to(is_token.device)
        self.on_edges[index] = [float((weights * edge).abs().max()) for edge in self.edges]
        self.row_sum_error[index] = float((weights.sum(-1) - 1).abs().amax(dim=1)[is_token].max())
        if index == self.kept:
            self.weights = weights


@contextmanager
def looking(vlm: VisionLanguageModel, batch: Batch, seen: Seen | None) -> Iterator[Looked]:
    """Keep what the attention of every block is given, and look at its weights if they are wanted."""
    looked, hooks = Looked(), ExitStack()
    for i in range(len(vlm.layers)):

        def before(module: nn.Module, args: Any, kwargs: dict[str, Any], i: int = i) -> None:
            looked.masks[i] = kwargs.get("attention_mask")
            looked.rotations[i] = kwargs["position_embeddings"][0]

        def after(module: nn.Module, args: Any, output: Any, i: int = i) -> None:
            if seen is not None:
                seen.add(i, output[1], batch.groups.is_token)

        hooks.enter_context(vlm.attention(i).register_forward_pre_hook(before, with_kwargs=True))
        hooks.enter_context(vlm.attention(i).register_forward_hook(after))
    with hooks:
        yield looked


def compare_masks(
    batch: Batch, knockout: Knockout, edges: torch.Tensor, passes: Mapping[str, Mapping[int, Any]]
) -> str:
    """Compare masks with those worked out from the edges and the family's rule of attention alone.

    Args:
        batch: The batch.
        knockout: What is cut.
        edges: The pairs that it cuts, (batch, 1, queries, keys).
        passes: Masks by block, by the name of the pass; the pass called `PLAIN` is one without the knockout. A mask may
            be of the last positions only.

    Returns:
        What is wrong in the first mask that differs; nothing if none does.
    """
    is_token, size = batch.groups.is_token, batch.length
    plain = allowed_pairs(batch.groups, size)
    for name, masks in passes.items():
        for i, mask in masks.items():
            is_cut = name != PLAIN and knockout.first <= i <= knockout.last
            wanted, allowed = plain & ~edges if is_cut else plain, mask.to(is_token.device)
            if allowed.dtype != torch.bool:  # additive
                allowed = allowed > torch.finfo(allowed.dtype).min / 2
            rows = slice(size - allowed.shape[-2], size)
            queries = is_token[:, rows]
            found, right = allowed[:, 0][queries], wanted[:, 0, rows][queries]
            if not torch.equal(found, right):
                what = "weights outside of the edges are cut" if bool((right & ~found).any()) else "edges are left"
                return f"the mask of block {i} {name} is not that of the edges, {what}"
    return ""
