"""Cut attention edges between positions while the model runs."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from extraction.model.family import CAUSAL
from extraction.model.load import VisionLanguageModel
from extraction.passes.blocks import allowed_pairs
from extraction.passes.edges import Edge, Knockout
from extraction.passes.heads import Head
from extraction.passes.spans import TokenGroups


def edge_mask(groups: TokenGroups, edges: tuple[Edge, ...]) -> torch.Tensor:
    """Mark the (query, key) pairs to cut: (batch, 1, queries, keys)."""
    pairs = [groups.mask(to)[:, :, None] & groups.mask(source)[:, None, :] for source, to in edges]
    return torch.stack(pairs).any(dim=0)[:, None]


def cut_of(knockout: Knockout, groups: TokenGroups) -> torch.Tensor:
    """Mark the (query, key) pairs that a knockout cuts: (batch, 1, queries, keys).

    Raises:
        ValueError: If a mask given by the caller has another shape or type, or takes a token's own position from it.
    """
    if knockout.mask is None:
        return edge_mask(groups, knockout.edges)
    cut = knockout.mask(groups)
    batch, size = groups.codes.shape
    if not isinstance(cut, torch.Tensor) or cut.dtype != torch.bool or tuple(cut.shape) != (batch, size, size):
        got = f"{cut.dtype} {tuple(cut.shape)}" if isinstance(cut, torch.Tensor) else type(cut).__name__
        raise ValueError(
            f"mask of the knockout {knockout.name} must return booleans of shape (batch, queries, keys) = "
            f"{(batch, size, size)}, got {got}."
        )
    cut = cut.to(groups.codes.device)
    if (cut.diagonal(dim1=1, dim2=2) & groups.is_token).any():
        raise ValueError(
            f"mask of the knockout {knockout.name} cuts a position from itself; leave the diagonal out, or a token may "
            "have nothing to attend to."
        )
    return cut[:, None]


def cut_in_block(knockout: Knockout, cut: torch.Tensor, block: int, heads: int) -> torch.Tensor:
    """Restrict what a knockout cuts to its heads in one block.

    Args:
        knockout: The knockout.
        cut: What it cuts, (batch, 1, queries, keys).
        block: The block.
        heads: Number of attention heads of the block.

    Returns:
        Booleans (batch, heads, queries, keys), or `cut` where all heads are cut.
    """
    if not knockout.heads:
        return cut
    return cut & _mark_heads(knockout.heads, block, heads).to(cut.device)


@contextmanager
def cutting(vlm: VisionLanguageModel, knockout: Knockout | None, groups: TokenGroups) -> Iterator[None]:
    """Cut the edges in every forward pass of the whole model over the prompt; without a knockout nothing is attached.

    This is the plain way, by hooks on a pass from the first block to the last. `extraction.passes.tail` does the same
    on the part of the model that a knockout changes, and is tested against this.

    Args:
        vlm: The model, with sdpa or eager attention.
        knockout: What to cut.
        groups: Groups of the batch, on the model's device.
    """
    if knockout is None:
        yield
        return
    every_head = cut_of(knockout, groups)

    def before(block: int) -> Callable[..., tuple[Any, dict[str, Any]]]:
        def edit(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            hidden = args[0] if args else kwargs["hidden_states"]
            mask = kwargs.get("attention_mask")
            if mask is None and groups.attention != CAUSAL:
                mask = allowed_pairs(groups, groups.positions).to(hidden.device)
            cut = cut_in_block(knockout, every_head.to(hidden.device), block, vlm.heads)
            return args, kwargs | {"attention_mask": cut_attention_mask(mask, cut, hidden.shape[1])}

        return edit

    with ExitStack() as hooks:
        for i in knockout.blocks:
            hooks.enter_context(vlm.attention(i).register_forward_pre_hook(before(i), with_kwargs=True))
        yield


def cut_attention_mask(mask: torch.Tensor | None, cut: torch.Tensor, queries: int) -> torch.Tensor:
    """Return the attention mask without the cut edges.

    Args:
        mask: None (plain causal attention), boolean (True = attend) or additive, (batch, 1, queries, keys).
        cut: The edges, (batch, 1, S, S), or (batch, heads, S, S) where heads differ; so is the mask that is returned.
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


def mask_in_form(vlm: VisionLanguageModel, allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Bring a mask of allowed pairs to the form that the model's attention takes."""
    if vlm.text_config._attn_implementation != "eager":
        return allowed
    return torch.zeros_like(allowed, dtype=dtype).masked_fill(~allowed, torch.finfo(dtype).min)


def _mark_heads(chosen: Iterable[Head], block: int, heads: int) -> torch.Tensor:
    """Mark the heads of one block: booleans (1, heads, 1, 1)."""
    own = [head for one, head in chosen if one == block]
    marked = torch.zeros(heads, dtype=torch.bool)
    marked[slice(None) if None in own else own] = True
    return marked[None, :, None, None]
