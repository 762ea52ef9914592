"""Cut attention edges between token groups while the model runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from extraction.edges import Knockout
from extraction.models import VisionLanguageModel
from extraction.spans import TokenGroups


def edge_mask(groups: TokenGroups, edges: tuple[tuple[str, str], ...]) -> torch.Tensor:
    """Mark the (query, key) pairs to cut: (batch, 1, queries, keys)."""
    pairs = [getattr(groups, to)[:, :, None] & getattr(groups, source)[:, None, :] for source, to in edges]
    return torch.stack(pairs).any(dim=0)[:, None]


@contextmanager
def cutting(vlm: VisionLanguageModel, knockout: Knockout | None, groups: TokenGroups) -> Iterator[None]:
    """Cut the edges in every forward pass over the prompt; without a knockout nothing is attached.

    Generation steps after the prompt have one query, the new token; the cut edges end at prompt positions, so those
    steps stay as they are.

    Args:
        vlm: The model, with sdpa or eager attention.
        knockout: What to cut.
        groups: Masks of the batch, on the model's device.
    """
    if knockout is None:
        yield
        return
    cut = edge_mask(groups, knockout.edges)

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        hidden = args[0] if args else kwargs["hidden_states"]
        if hidden.shape[1] == 1:
            return args, kwargs
        mask = cut_attention_mask(kwargs.get("attention_mask"), cut.to(hidden.device), hidden.shape[1])
        return args, kwargs | {"attention_mask": mask}

    window = range(knockout.first, knockout.last + 1)
    handles = [vlm.attention(i).register_forward_pre_hook(before, with_kwargs=True) for i in window]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def cut_attention_mask(mask: torch.Tensor | None, cut: torch.Tensor, queries: int) -> torch.Tensor:
    """Return the attention mask without the cut edges.

    Args:
        mask: None (plain causal attention), boolean (True = attend) or additive, (batch, 1, queries, keys).
        cut: The edges, (batch, 1, S, S).
        queries: Number of queries of this pass.

    Raises:
        RuntimeError: If the pass or the form of the mask is not the one the edges were made for.
    """
    if queries != cut.shape[-1] or (
        mask is not None and (mask.ndim != 4 or tuple(mask.shape[-2:]) != tuple(cut.shape[-2:]))
    ):
        shape = None if mask is None else tuple(mask.shape)
        raise RuntimeError(
            f"The knockout was made for {cut.shape[-1]} positions, got {queries} queries and a mask of shape {shape}. "
            "Use sdpa or eager attention, and a cache that is not static."
        )
    if mask is None:
        causal = torch.ones(cut.shape[-2:], dtype=torch.bool, device=cut.device).tril()
        return causal & ~cut
    if mask.dtype == torch.bool:
        return mask & ~cut
    return mask.masked_fill(cut, torch.finfo(mask.dtype).min)
