"""Proof, on the real model and real samples, that a knockout cuts what it should and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from extraction.batch import Batch
from extraction.edges import Knockout
from extraction.knockout import cutting, edge_mask
from extraction.models import VisionLanguageModel

# Relative agreement of the two attention implementations, by the precision of the model.
_SMALL = 1e-6  # attention weights below this may round to zero
_AGREEMENT = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}


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
    """

    weight_cut: float
    weight_left: float
    row_sum_error: float
    agreement: float
    side_effect: float


def prove_knockout(vlm: VisionLanguageModel, knockout: Knockout, batch: Batch) -> KnockoutProof:
    """Check a knockout by the attention weights themselves.

    With eager attention: weights on cut edges are exactly zero inside the window; in its first block, whose inputs are
    still the baseline's, all other weights are the baseline's, renormalized in the rows that lost some; elsewhere in
    the window no weight outside of the edges vanished; rows sum to one; blocks before the window are untouched. With
    the model's own attention: the same logits up to rounding, and logits bit-identical to the baseline's once the hooks
    are gone.

    Args:
        vlm: The model.
        knockout: What is to be cut.
        batch: Real samples, at best two.

    Raises:
        KnockoutError: If one of these does not hold.
    """
    before = _logits(vlm, batch, None)
    own = _logits(vlm, batch, knockout)
    with _attention(vlm, "eager"):
        plain = _weights(vlm, batch, None)
        cut = _weights(vlm, batch, knockout)
        eager = _logits(vlm, batch, knockout)
    after = _logits(vlm, batch, None)

    edges = edge_mask(batch.groups, knockout.edges)
    window = range(knockout.first, knockout.last + 1)
    is_token = batch.inputs["attention_mask"].bool()
    proof = KnockoutProof(
        weight_cut=min(
            max(float((plain[i].float() * edge_mask(batch.groups, (edge,))).max()) for i in window)
            for edge in knockout.edges
        ),
        weight_left=max(float((cut[i].float() * edges).abs().max()) for i in window),
        row_sum_error=max(float((cut[i].float().sum(-1) - 1).abs().amax(dim=1)[is_token].max()) for i in window),
        agreement=float((own - eager).abs().max() / own.abs().max().clamp_min(1e-12)),
        side_effect=_side_effect(plain[knockout.first].float(), cut[knockout.first].float(), edges, is_token),
    )
    vanished = any(bool(((cut[i] == 0) & (plain[i] > _SMALL) & ~edges).any()) for i in window)
    untouched = all(torch.equal(plain[i], cut[i]) for i in range(knockout.first))
    _raise_unless(vlm, knockout, proof, untouched, torch.equal(before, after), vanished)
    return proof


def _raise_unless(
    vlm: VisionLanguageModel, knockout: Knockout, proof: KnockoutProof, untouched: bool, restored: bool, vanished: bool
) -> None:
    tolerance = _AGREEMENT.get(vlm.model.dtype, 1e-1)
    claims = {
        f"an edge carries no weight in the first place ({proof.weight_cut})": proof.weight_cut > 0,
        f"weights outside of the edges changed by {proof.side_effect:.2e}": proof.side_effect < tolerance,
        "weights outside of the edges vanished": not vanished,
        f"cut edges still carry weight ({proof.weight_left:.2e})": proof.weight_left == 0,
        f"attention rows do not sum to one (error {proof.row_sum_error:.2e})": proof.row_sum_error < tolerance,
        f"sdpa and eager attention disagree by {proof.agreement:.2e}": proof.agreement < tolerance,
        "blocks before the window changed": untouched,
        "the model does not return to its baseline after the hooks are removed": restored,
    }
    failed = [text for text, holds in claims.items() if not holds]
    if failed:
        raise KnockoutError(
            f"The knockout {knockout.name} failed its self-test on {type(vlm.model).__name__}: {'; '.join(failed)}. "
            "Nothing was extracted; try attn_implementation='eager' or another version of transformers."
        )


def _side_effect(plain: torch.Tensor, cut: torch.Tensor, edges: torch.Tensor, is_token: torch.Tensor) -> float:
    """Compare with the baseline's weights without the edges, renormalized; padding queries do not count."""
    kept = plain.masked_fill(edges, 0)
    expected = kept / kept.sum(-1, keepdim=True).clamp_min(_SMALL)
    return float((cut - expected).abs().amax(dim=(1, 3))[is_token].max())


@torch.inference_mode()
def _logits(vlm: VisionLanguageModel, batch: Batch, knockout: Knockout | None) -> torch.Tensor:
    with cutting(vlm, knockout, batch.groups):
        return vlm.model(**batch.inputs, use_cache=False, logits_to_keep=1).logits.float()


def _weights(vlm: VisionLanguageModel, batch: Batch, knockout: Knockout | None) -> list[torch.Tensor]:
    found: dict[int, torch.Tensor] = {}

    def keep(index: int):
        def hook(module: nn.Module, args: object, output: tuple[torch.Tensor, torch.Tensor]) -> None:
            found[index] = output[1]

        return hook

    handles = [vlm.attention(i).register_forward_hook(keep(i)) for i in range(len(vlm.layers))]
    try:
        _logits(vlm, batch, knockout)
    finally:
        for handle in handles:
            handle.remove()
    return [found[i] for i in range(len(vlm.layers))]


@contextmanager
def _attention(vlm: VisionLanguageModel, implementation: str) -> Iterator[None]:
    text = vlm.model.config.get_text_config()
    previous = text._attn_implementation
    text._attn_implementation = implementation
    try:
        yield
    finally:
        text._attn_implementation = previous
