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

PLAIN = "without the knockout"
"""Name of a pass without a knockout, see `compare_masks`."""


@dataclass
class Looked:
    """What the attention of every block was given, by block: its mask, and the rotation of positions."""

    masks: dict[int, Any] = field(default_factory=dict)
    rotations: dict[int, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """What a knockout should cut, worked out apart from the code that cuts.

    Attributes:
        edges: The pairs of each edge, (batch, 1, queries, keys).
        heads: The heads in which they are cut, by block: (1, heads, 1, 1), or (1, 1, 1, 1) for all heads alike.
    """

    edges: list[torch.Tensor]
    heads: Mapping[int, torch.Tensor]

    def in_block(self, block: int) -> torch.Tensor:
        """Mark what should be cut in a block of the knockout: (batch, 1 or heads, queries, keys)."""
        return torch.stack(self.edges).any(dim=0) & self.heads[block]


@dataclass
class Seen:
    """What hooks on eager attention see: largest weights on each edge and errors of sums by block, one block whole."""

    wanted: Wanted
    kept: int
    on_edges: dict[int, list[float]] = field(default_factory=dict)
    row_sum_error: dict[int, float] = field(default_factory=dict)
    weights: torch.Tensor | None = None

    def add(self, index: int, weights: torch.Tensor, is_token: torch.Tensor) -> None:
        """Look at the weights of a block."""
        weights = weights.float().to(is_token.device)
        if (heads := self.wanted.heads.get(index)) is not None:
            self.on_edges[index] = [float((weights * (edge & heads)).abs().max()) for edge in self.wanted.edges]
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


def compare_masks(batch: Batch, wanted: Wanted, passes: Mapping[str, Mapping[int, Any]]) -> str:
    """Compare masks with those worked out from the edges and the family's rule of attention alone.

    Args:
        batch: The batch.
        wanted: What should be cut.
        passes: Masks by block, by the name of the pass; the pass called `PLAIN` is one without the knockout. A mask may
            be of the last positions only.

    Returns:
        What is wrong in the first mask that differs; nothing if none does.
    """
    is_token, size = batch.groups.is_token, batch.length
    plain = allowed_pairs(batch.groups, size)
    for name, masks in passes.items():
        for i, mask in masks.items():
            is_cut = name != PLAIN and i in wanted.heads
            right, found = plain & ~wanted.in_block(i) if is_cut else plain, mask.to(is_token.device)
            if found.dtype != torch.bool:  # additive
                found = found > torch.finfo(found.dtype).min / 2
            rows = slice(size - found.shape[-2], size)
            pairs = torch.broadcast_tensors(found, right[:, :, rows])
            found, right = (one.movedim(1, -1)[is_token[:, rows]] for one in pairs)  # (queries, keys, heads)
            if not torch.equal(found, right):
                what = "weights outside of the edges are cut" if bool((right & ~found).any()) else "edges are left"
                return f"the mask of block {i} {name} is not that of the edges, {what}"
    return ""
