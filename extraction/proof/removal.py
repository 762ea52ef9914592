"""Proof, on the real model and real samples, that an answer does not depend on a modality that was removed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from extraction.errors import SampleError
from extraction.model.load import VisionLanguageModel
from extraction.passes.capture import StatesPlan
from extraction.passes.encode import Encoder, Prepared
from extraction.passes.forward import ForwardPlan, run_batch
from extraction.passes.removal import Removal
from extraction.proof.knockout import KnockoutError, difference, tolerance_of


@dataclass(frozen=True, kw_only=True)
class RemovalProof:
    """What was measured: one sample, with its own image (or question) and with another one.

    Attributes:
        samples: Ids of the sample and of the one that lends its image or question.
        effect: Difference of the final norm's states of the model as it is, relative to the largest value.
        left: The same with the modality removed: zero up to rounding.
    """

    samples: tuple[str, str]
    effect: float
    left: float


def prove_removal(
    vlm: VisionLanguageModel, encoder: Encoder, removal: Removal, prepared: Prepared, others: Sequence[Prepared]
) -> RemovalProof:
    """Exchange the absent image or question, and compare the states that decide the answers.

    Args:
        vlm: The model.
        encoder: Its encoder.
        removal: What is to be removed, with the extent that it is to have.
        prepared: A sample.
        others: Samples that may lend their image or question; the one of the most different length is used.

    Raises:
        KnockoutError: If states differ by more than rounding.
        ValueError: If no other sample has another image (or question).
    """
    twin = _twin_of(encoder, removal.absent, prepared, others)
    plan = ForwardPlan(states=StatesPlan(roles=("last",), layers=()), max_new_tokens=1)
    results = run_batch(vlm, [prepared, twin[1]], plan, [None, removal])
    effect, left = (difference(*(torch.from_numpy(result.states[row, 0, 0]) for row in (0, 1))) for result in results)
    if not left < tolerance_of(vlm):  # also where it is NaN
        raise KnockoutError(
            f"The last state of {type(vlm.model).__name__} still depends on the {removal.absent} that {removal.name} "
            f"removes: exchanging it changes the state by {left:.1e} (by {effect:.1e} without the removal), rounding "
            f"explains {tolerance_of(vlm):.0e}. Its attention does not follow the mask or the positions that it is "
            "given; use absent='replaced' (--absent replaced)."
        )
    return RemovalProof(samples=(prepared.sample.id, twin[0]), effect=effect, left=left)


def _twin_of(encoder: Encoder, absent: str, prepared: Prepared, others: Sequence[Prepared]) -> tuple[str, Prepared]:
    """Return the lender's id, and the sample with the lender's image or question."""
    twins: list[tuple[str, Prepared]] = []
    for other in (one for one in others if _differs(one, prepared, absent)):
        part = getattr(other.sample, absent)
        try:
            twins.append((other.sample.id, encoder.prepare(replace(prepared.sample, **{absent: part}))))
        except SampleError:  # the two do not fit into one prompt
            continue
    if not twins:
        raise ValueError(
            f"All samples that could be prepared have one {absent}, so it cannot be shown that {absent}s are removed: "
            f"the samples must have at least two {absent}s."
        )
    return max(twins, key=lambda twin: abs(len(twin[1]) - len(prepared)))


def _differs(one: Prepared, other: Prepared, absent: str) -> bool:
    if absent == "image":
        return one.sample.image_key != other.sample.image_key
    return one.sample.question.strip() != other.sample.question.strip()
