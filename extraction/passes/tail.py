"""Passes over the end of prompts alone: other questions about an image, and knockouts.

The keys and values of the prefix, and the states that enter a block, come from a pass over the whole prompts. Under a
causal mask neither the question nor a cut behind the prefix changes them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from extraction.model.load import VisionLanguageModel
from extraction.passes.batch import count_positions, pad_left
from extraction.passes.blocks import AddedFeatures, allowed_pairs, rotations
from extraction.passes.capture import Recorder, first_of, keep_tail
from extraction.passes.edges import Knockout
from extraction.passes.encode import Prepared
from extraction.passes.knockout import cut_in_block, cut_of, mask_in_form
from extraction.passes.prompt_pass import KeysAndValues, PromptPass, from_cache, to_cache
from extraction.passes.spans import PADDING, TokenGroups
from pid_jax.store import NORM


def follow_images(
    vlm: VisionLanguageModel,
    leaders: PromptPass,
    followers: Sequence[Prepared],
    rows: Sequence[int],
    tails: Mapping[int, int] | None = None,
) -> PromptPass:
    """Run further questions about images that a pass has already seen.

    Args:
        vlm: The model.
        leaders: A pass over prompts with prefix.
        followers: Prompts with the same prefixes.
        rows: For each follower the row of `leaders` that has its prefix.
        tails: As for `pass_prompts`.
    """
    device = leaders.groups.codes.device
    row = torch.tensor(rows, device=device)
    prefix = leaders.groups.is_prefix & leaders.groups.is_token
    width = int(prefix.sum(dim=1).max())
    behind = leaders.groups.behind
    column = leaders.groups.positions - behind[row, None] - width + torch.arange(width, device=device)
    is_there, column = column >= 0, column.clamp_min(0)  # a leader may have no room for the longest prefix
    is_there &= prefix[row].gather(1, column)
    prefix_codes = leaders.groups.codes[row].gather(1, column).masked_fill(~is_there, PADDING)
    codes = torch.from_numpy(pad_left([p.codes[p.prefix :] for p in followers], PADDING))
    tokens = pad_left([p.input_ids[p.prefix :] for p in followers], vlm.pad_token_id)
    codes_of_all = torch.cat([prefix_codes, codes.to(device)], dim=1)
    groups = replace(leaders.groups, codes=codes_of_all, samples=tuple(p.sample for p in followers))
    recorder = Recorder(vlm, groups, leaders.recorder.plan, has_prefix=True)
    recorder.copy_prefix(leaders.recorder.parts[row])
    return _run_blocks(
        vlm,
        hidden=vlm.model.get_input_embeddings()(torch.from_numpy(tokens).to(device)),
        start=0,
        memory=[(_gather(k, row, column), _gather(v, row, column)) for k, v in leaders.memory],
        groups=groups,
        positions=_continue_positions(leaders, row, behind, column, codes.to(device)),
        recorder=recorder,
        has_prefix=True,
        tails=tails or {},
    )


def pass_knockout(vlm: VisionLanguageModel, base: PromptPass, knockout: Knockout, tail: int) -> PromptPass:
    """Run prompts again under a knockout, from the first block of its window on.

    Args:
        vlm: The model.
        base: The pass without it, with `entries` of the window's first block.
        knockout: What to cut.
        tail: How many of the last positions to run, see `tail_of`.
    """
    entry = base.entries[knockout.first][:, -tail:]
    recorder = Recorder(vlm, base.groups, base.recorder.plan, base.has_prefix)
    kept = base.groups.positions - entry.shape[1]
    if kept:
        recorder.copy_prefix(base.recorder.parts)
    recorder.copy_until(knockout.first, base.recorder.parts)
    return _run_blocks(
        vlm,
        hidden=entry,
        start=knockout.first,
        memory=[
            (k, v) if i < knockout.first else (k[:, :, :kept], v[:, :, :kept]) for i, (k, v) in enumerate(base.memory)
        ],
        groups=base.groups,
        positions=knockout.positions(base.groups, base.positions),
        recorder=recorder,
        has_prefix=base.has_prefix,
        knockout=knockout,
        added=base.added,
    )


def tail_of(knockout: Knockout, tail: int, positions: int) -> int:
    """Count the last positions that a knockout can change: those behind the prefix, or all if it changes the prefix."""
    return positions if knockout.touches_prefix else tail


def _run_blocks(
    vlm: VisionLanguageModel,
    *,
    hidden: torch.Tensor,
    start: int,
    memory: list[KeysAndValues],
    groups: TokenGroups,
    positions: torch.Tensor,
    recorder: Recorder,
    has_prefix: bool,
    knockout: Knockout | None = None,
    tails: Mapping[int, int] | None = None,
    added: AddedFeatures | None = None,
) -> PromptPass:
    """Run the blocks from `start` on over the last positions; `hidden` enters the first of them."""
    tail, cache, entries = hidden.shape[1], to_cache(memory), {}
    mask_of = _masks(vlm, groups, knockout, hidden)
    here = positions[..., -tail:].to(hidden.device)
    rotary = rotations(vlm, hidden, here)
    if start == 0:
        recorder.record(0, hidden)
    for i in range(start, len(vlm.layers)):
        if tails and i in tails:
            entries[i] = keep_tail(hidden, tails[i])
        if knockout is not None and i == knockout.first:
            hidden = knockout.enter(hidden, groups)
        output = vlm.layers[i](
            hidden,
            attention_mask=mask_of(i),
            position_embeddings=rotary[i],
            position_ids=here if here.ndim == 2 else None,  # blocks that scale by positions have one axis
            past_key_values=cache,
            use_cache=True,
        )
        hidden = first_of(output)
        recorder.record(i + 1, hidden)
        if added is not None:
            hidden = added.add(i, hidden)
    normed = vlm.norm(hidden)
    recorder.record(NORM, normed)
    return PromptPass(
        groups=groups,
        positions=positions,
        has_prefix=has_prefix,
        memory=from_cache(cache),
        recorder=recorder,
        logits=vlm.logits(normed[:, -1]),
        entries=entries,
    )


def _masks(
    vlm: VisionLanguageModel, groups: TokenGroups, knockout: Knockout | None, hidden: torch.Tensor
) -> Callable[[int], torch.Tensor]:
    """Return a function from the number of a block to the mask of the last positions in it."""
    tail = hidden.shape[1]
    allowed = allowed_pairs(groups, tail)
    plain = mask_in_form(vlm, allowed, hidden.dtype)
    if knockout is None:
        return lambda block: plain
    cut = cut_of(knockout, groups)[:, :, -tail:]
    everywhere = None if knockout.heads else mask_in_form(vlm, allowed & ~cut, hidden.dtype)

    def mask_of(block: int) -> torch.Tensor:
        if block not in knockout.blocks:
            return plain
        if everywhere is not None:
            return everywhere
        return mask_in_form(vlm, allowed & ~cut_in_block(knockout, cut, block, vlm.heads), hidden.dtype)

    return mask_of


def _gather(states: torch.Tensor, row: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
    """Take rows, and in each the columns of its prefix: (batch, heads, columns, head width)."""
    chosen = states[row.to(states.device)]
    index = column.to(states.device)[:, None, :, None].expand(-1, chosen.shape[1], -1, chosen.shape[3])
    return chosen.gather(2, index)


def _continue_positions(
    leaders: PromptPass, row: torch.Tensor, behind: torch.Tensor, column: torch.Tensor, codes: torch.Tensor
) -> torch.Tensor:
    """Positions of followers: those of the leader's prefix, then counted on from the first one behind it."""
    old = leaders.positions if leaders.positions.ndim == 3 else leaders.positions[None]
    old = old[:, row] if old.shape[1] > 1 else old.expand(-1, len(row), -1)
    axes = len(old)
    of_prefix = old.gather(2, column.expand(axes, -1, -1))
    first = (leaders.groups.positions - behind[row])[:, None]
    start = old.gather(2, first.expand(axes, -1, -1))
    positions = torch.cat([of_prefix, start + count_positions(codes != PADDING)], dim=2)
    return positions if leaders.positions.ndim == 3 else positions[0]
