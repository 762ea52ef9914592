"""Proof, on the real model and real samples, that image states are replaced as they should be, and no others."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from extraction.model.load import VisionLanguageModel
from extraction.passes.batch import Batch, make_batch
from extraction.passes.capture import Recorder, watching
from extraction.passes.encode import Prepared
from extraction.passes.prompt_pass import pass_prompts
from extraction.passes.replacement import Replacement, replacing
from extraction.passes.tail import pass_knockout
from extraction.proof.knockout import difference, every_state, raise_failed, tolerance_of


@dataclass(frozen=True, kw_only=True)
class ReplacementProof:
    """What was measured.

    Attributes:
        mean_error: Largest difference of a feature's mean over image tokens before and after, relative to the largest
            state.
        spread_error: The same of a standard deviation; with the method "mean" what is left of it.
        moved: Largest change of an image state, relative to the largest.
        tail_error: Relative difference of states and logits between the pass that starts at the block, which the
            extraction uses, and a hook on a pass of the whole model.
        effect: Largest change of a logit, relative to the largest logit.
        baseline_error: As in `KnockoutProof`.
    """

    mean_error: float
    spread_error: float
    moved: float
    tail_error: float
    effect: float
    baseline_error: float | None = None


@torch.inference_mode()
def prove_replacement(
    vlm: VisionLanguageModel, replacement: Replacement, prepared: Sequence[Prepared]
) -> ReplacementProof:
    """Check a replacement by the states that enter the block, and those after it.

    Exactly: states of all other positions that enter the block are the baseline's, and so are all states up to it;
    without the hook the logits are the baseline's again. Up to rounding: mean and variance over image tokens are those
    before, and both passes with the replacement agree.

    Args:
        vlm: The model.
        replacement: What is to be replaced.
        prepared: Real samples, at best two.

    Raises:
        KnockoutError: If one of these does not hold.
        ValueError: If the model adds features of the image to its states after the block.
    """
    batch = make_batch(vlm, prepared)
    base = pass_prompts(vlm, batch, every_state(vlm), {replacement.first: batch.length})
    if base.added is not None and replacement.first < len(base.added.of_block):
        raise ValueError(
            f"{replacement.name} leaves features of the image that {vlm.family.title} adds after each of its first "
            f"{len(base.added.of_block)} blocks: replace from block {len(base.added.of_block)} on, or cut edges."
        )
    before, plain_states, entry = _run(vlm, batch, replacement, is_on=False)
    own, states, entered = _run(vlm, batch, replacement, is_on=True)
    after, _, _ = _run(vlm, batch, replacement, is_on=False)
    with _entering(vlm, replacement.first) as short_entry:
        short = pass_knockout(vlm, base, replacement, batch.length)
    errors = [difference(own, short.logits.float())]
    errors += [
        difference(states[:, slot, role], short.recorder.states[:, slot, role])
        for slot in range(states.shape[1])
        for role in range(states.shape[2])
    ]
    image = batch.groups.mask("image").to(entry.device)
    found = [_compare_moments(entry, one, image, replacement.method) for one in (entered, short_entry[0])]
    proof = ReplacementProof(
        mean_error=max(one[0] for one in found),
        spread_error=max(one[1] for one in found),
        moved=difference(entry[image], entered[image]),
        tail_error=float(torch.tensor(errors).max()),  # NaN if any is
        effect=difference(before, own),
    )
    others = batch.groups.is_token.to(entry.device) & ~image
    tolerance, until = tolerance_of(vlm), replacement.first + 1
    claims = {
        f"means of image states differ by {proof.mean_error:.2e}": proof.mean_error < tolerance,
        f"their standard deviations differ by {proof.spread_error:.2e}": proof.spread_error < tolerance,
        "image states are unchanged": proof.moved > 0,
        "states of other positions changed": torch.equal(entry[others], entered[others]),
        "states before the block changed": torch.equal(plain_states[:, :until], states[:, :until]),
        f"the pass from the block on disagrees with the hook by {proof.tail_error:.2e}": proof.tail_error < tolerance,
        "the model does not return to its baseline after the hook is removed": torch.equal(before, after),
    }
    remedy = "cut edges instead, or try another version of transformers"
    raise_failed(vlm, f"The replacement {replacement.name}", claims, remedy)
    return proof


def _run(
    vlm: VisionLanguageModel, batch: Batch, replacement: Replacement, *, is_on: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, states, and what enters the block, by hooks on a pass of the whole model."""
    recorder = Recorder(vlm, batch.groups, every_state(vlm), batch.has_prefix)
    replaced = replacing(vlm, replacement, batch.groups) if is_on else nullcontext()
    with watching(vlm, recorder, {}), replaced, _entering(vlm, replacement.first) as entries:
        logits = vlm.model(**batch.inputs, use_cache=False, logits_to_keep=1).logits
    return logits[:, -1].float(), recorder.states, entries[0]


@contextmanager
def _entering(vlm: VisionLanguageModel, block: int) -> Iterator[list[torch.Tensor]]:
    """Keep the states that enter a block."""
    kept: list[torch.Tensor] = []

    def before(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        kept.append((args[0] if args else kwargs["hidden_states"]).clone())

    handle = vlm.layers[block].register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield kept
    finally:
        handle.remove()


def _compare_moments(
    before: torch.Tensor, after: torch.Tensor, image: torch.Tensor, method: str
) -> tuple[float, float]:
    """Compare means and standard deviations over the image tokens of every row, relative to the largest state."""
    errors = torch.zeros(2)
    for row, own in enumerate(image):
        old, new = before[row, own].float(), after[row, own].float()
        spread = old.std(dim=0, correction=0) * (method == "noise")
        pair = (new.mean(dim=0) - old.mean(dim=0), new.std(dim=0, correction=0) - spread)
        found = torch.stack([one.abs().max() for one in pair]) / old.abs().max().clamp_min(1e-12)
        errors = torch.maximum(errors, found.cpu())
    return float(errors[0]), float(errors[1])
