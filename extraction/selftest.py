"""Proof, on the real model and real samples, that a knockout cuts what it should and nothing else."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from extraction.batch import Batch, make_batch
from extraction.capture import Recorder, StatesPlan, watching
from extraction.edges import GROUPS, Knockout
from extraction.encode import Prepared
from extraction.knockout import cutting
from extraction.models import VisionLanguageModel
from extraction.prompt_pass import pass_prompts
from extraction.tail import pass_knockout, tail_of

_SMALL = 1e-6  # attention weights below this may round to zero
# Relative agreement of two ways to compute the same, by the precision of the model.
AGREEMENT = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
_ROLES = ("image", "question", "last")


class KnockoutError(RuntimeError):
    """The knockout does not do on this model what it says; nothing was extracted."""


@dataclass(frozen=True, kw_only=True)
class KnockoutProof:
    """What was measured.

    Attributes:
        weight_cut: Largest attention weight of a cut edge without the knockout; of several edges the smallest.
        weight_left: Largest weight on them with it; exactly zero.
        row_sum_error: Largest distance of a row of attention weights from one.
        agreement: Relative difference of the logits of sdpa and eager attention under the knockout.
        side_effect: Largest change of any other weight in the first block of the window, apart from what the
            softmax hands on to the rest of a cut row.
        tail_error: Relative difference of states and logits between the pass that starts at the window, which the
            extraction uses, and hooks on a pass of the whole model.
        effect: Largest change of a logit, relative to the largest logit.
    """

    weight_cut: float
    weight_left: float
    row_sum_error: float
    agreement: float
    side_effect: float
    tail_error: float
    effect: float


def prove_knockout(vlm: VisionLanguageModel, knockout: Knockout, prepared: Sequence[Prepared]) -> KnockoutProof:
    """Check a knockout by the attention weights themselves.

    With eager attention: weights on cut edges are exactly zero inside the window; in its first block, whose inputs are
    still the baseline's, all other weights are the baseline's, renormalized in the rows that lost some; elsewhere in
    the window no weight outside of the edges vanished; rows sum to one; blocks before the window are untouched. With
    the model's own attention: the same logits up to rounding, the same states by the shorter way that the extraction
    takes, and logits bit-identical to the baseline's once the hooks are gone.

    Weights of one block are in memory at a time.

    Args:
        vlm: The model.
        knockout: What is to be cut.
        prepared: Real samples, at best two.

    Raises:
        KnockoutError: If one of these does not hold.
    """
    batch = make_batch(vlm, prepared)
    before, plain_states = _run(vlm, batch, None)
    own, cut_states = _run(vlm, batch, knockout)
    with _attention(vlm, "eager"):
        eager, _ = _run(vlm, batch, knockout)
        blocks = [_compare_block(vlm, batch, knockout, i) for i in range(knockout.first, knockout.last + 1)]
    after, _ = _run(vlm, batch, None)
    proof = KnockoutProof(
        weight_cut=min(max(block.weight_cut[e] for block in blocks) for e in range(len(blocks[0].weight_cut))),
        weight_left=max(block.weight_left for block in blocks),
        row_sum_error=max(block.row_sum_error for block in blocks),
        agreement=difference(own, eager),
        side_effect=blocks[0].side_effect,
        tail_error=_tail_error(vlm, batch, knockout, own, cut_states),
        effect=difference(before, own),
    )
    untouched = torch.equal(plain_states[:, : knockout.first + 1], cut_states[:, : knockout.first + 1])
    vanished = any(block.vanished for block in blocks)
    _raise_unless(vlm, knockout, proof, untouched, torch.equal(before, after), vanished)
    return proof


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """Largest difference, relative to the largest value."""
    return float((one - other).abs().max() / one.abs().max().clamp_min(1e-12))


def _raise_unless(
    vlm: VisionLanguageModel, knockout: Knockout, proof: KnockoutProof, untouched: bool, restored: bool, vanished: bool
) -> None:
    tolerance = AGREEMENT.get(vlm.model.dtype, 1e-1)
    claims = {
        f"an edge carries no weight in the first place ({proof.weight_cut})": proof.weight_cut > 0,
        f"weights outside of the edges changed by {proof.side_effect:.2e}": proof.side_effect < tolerance,
        "weights outside of the edges vanished": not vanished,
        f"cut edges still carry weight ({proof.weight_left:.2e})": proof.weight_left == 0,
        f"attention rows do not sum to one (error {proof.row_sum_error:.2e})": proof.row_sum_error < tolerance,
        f"sdpa and eager attention disagree by {proof.agreement:.2e}": proof.agreement < tolerance,
        f"the pass from the window on disagrees with hooks by {proof.tail_error:.2e}": proof.tail_error < tolerance,
        "blocks before the window changed": untouched,
        "the model does not return to its baseline after the hooks are removed": restored,
    }
    failed = [text for text, holds in claims.items() if not holds]
    if failed:
        raise KnockoutError(
            f"The knockout {knockout.name} failed its self-test on {type(vlm.model).__name__}: {'; '.join(failed)}. "
            "Nothing was extracted; try attn_implementation='eager' or another version of transformers."
        )


def _plan(vlm: VisionLanguageModel) -> StatesPlan:
    return StatesPlan(roles=_ROLES, layers=tuple(range(len(vlm.layers) + 1)))


@torch.inference_mode()
def _run(vlm: VisionLanguageModel, batch: Batch, knockout: Knockout | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and states by hooks on a pass of the whole model."""
    recorder = Recorder(vlm, batch.groups, _plan(vlm), batch.has_prefix)
    with cutting(vlm, knockout, batch.groups), watching(vlm, recorder, {}):
        logits = vlm.model(**batch.inputs, use_cache=False, logits_to_keep=1).logits
    return logits[:, -1].float(), recorder.states


@torch.inference_mode()
def _tail_error(
    vlm: VisionLanguageModel, batch: Batch, knockout: Knockout, logits: torch.Tensor, states: torch.Tensor
) -> float:
    behind = batch.tail if batch.has_prefix else batch.length
    base = pass_prompts(vlm, batch, _plan(vlm), {knockout.first: tail_of(knockout, behind, batch.length)})
    short = pass_knockout(vlm, base, knockout, _plan(vlm))
    return max(difference(logits, short.logits.float()), difference(states, short.recorder.states))


@dataclass(frozen=True, kw_only=True)
class _Block:
    """Weights of one block, compared; `weight_cut` has one entry an edge."""

    weight_cut: list[float]
    weight_left: float
    row_sum_error: float
    side_effect: float
    vanished: bool


def _compare_block(vlm: VisionLanguageModel, batch: Batch, knockout: Knockout, index: int) -> _Block:
    plain, cut = (_weights(vlm, batch, condition, index) for condition in (None, knockout))
    each, is_token = _wanted(knockout, batch), batch.groups.is_token
    edges = torch.stack(each).any(dim=0)
    kept = plain.masked_fill(edges, 0)
    expected = kept / kept.sum(-1, keepdim=True).clamp_min(_SMALL)  # padding queries do not count
    return _Block(
        weight_cut=[float((plain * one).max()) for one in each],
        weight_left=float((cut * edges).abs().max()),
        row_sum_error=float((cut.sum(-1) - 1).abs().amax(dim=1)[is_token].max()),
        side_effect=float((cut - expected).abs().amax(dim=(1, 3))[is_token].max()),
        vanished=bool(((cut == 0) & (plain > _SMALL) & ~edges).any()),
    )


def _wanted(knockout: Knockout, batch: Batch) -> list[torch.Tensor]:
    """Mark what each edge should cut, worked out apart from the code that cuts: (batch, 1, queries, keys)."""
    if knockout.mask is not None:
        return [knockout.mask(batch.groups)[:, None].to(batch.groups.codes.device)]
    queries, keys = batch.groups.codes[:, None, :, None], batch.groups.codes[:, None, None, :]
    return [(queries == GROUPS.index(to)) & (keys == GROUPS.index(source)) for source, to in knockout.edges]


def _weights(vlm: VisionLanguageModel, batch: Batch, knockout: Knockout | None, index: int) -> torch.Tensor:
    found: list[torch.Tensor] = []

    def keep(module: nn.Module, args: object, output: tuple[torch.Tensor, torch.Tensor]) -> None:
        found.append(output[1].float())

    handle = vlm.attention(index).register_forward_hook(keep)
    try:
        _run(vlm, batch, knockout)
    finally:
        handle.remove()
    return found[0].to(batch.groups.codes.device)


@contextmanager
def _attention(vlm: VisionLanguageModel, implementation: str) -> Iterator[None]:
    previous = vlm.text_config._attn_implementation
    vlm.text_config._attn_implementation = implementation
    try:
        yield
    finally:
        vlm.text_config._attn_implementation = previous
