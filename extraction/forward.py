"""States and answers of a batch, under the baseline and any number of knockouts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from extraction.answers import is_correct
from extraction.batch import make_batch
from extraction.capture import StatesPlan
from extraction.decode import answer
from extraction.edges import GROUPS, Knockout
from extraction.encode import Prepared
from extraction.models import VisionLanguageModel
from extraction.prompt_pass import PromptPass, pass_prompts
from extraction.tail import follow_images, pass_knockout, tail_of


@dataclass(frozen=True, kw_only=True)
class ForwardPlan:
    """What is wanted of every batch.

    Attributes:
        states: Roles and layers.
        max_new_tokens: Longest answer.
        share_images: Whether questions about one image share one pass over it.
    """

    states: StatesPlan
    max_new_tokens: int
    share_images: bool = True


@dataclass(kw_only=True)
class BatchResult:
    """What one condition gives.

    Attributes:
        states: (batch, slots, roles, width), float32; slots as in `StatesPlan`.
        answers: Generated texts.
    """

    states: np.ndarray
    answers: list[str] = field(default_factory=list)


@torch.inference_mode()
def run_batch(
    vlm: VisionLanguageModel,
    prepared: Sequence[Prepared],
    plan: ForwardPlan,
    conditions: Sequence[Knockout | None] = (None,),
) -> list[BatchResult]:
    """Record states and generate greedily, under each condition.

    Every image is seen once; a knockout runs from its first block on, and only over the positions it can change.

    Args:
        vlm: The model.
        prepared: The samples of the batch.
        plan: What to record.
        conditions: Knockouts, and None for the baseline.

    Returns:
        One result a condition, rows in the order of `prepared`.
    """
    shape = (len(prepared), len(plan.states.slots), len(plan.states.roles), vlm.width)
    results = [BatchResult(states=np.full(shape, np.nan, np.float32), answers=[""] * len(prepared)) for _ in conditions]
    for rows, base in _base_passes(vlm, prepared, plan, [c for c in conditions if c is not None]):
        for result, condition in zip(results, conditions, strict=True):
            done = base if condition is None else pass_knockout(vlm, base, condition, plan.states)
            result.states[rows] = done.recorder.states.cpu().numpy()
            for row, text in zip(rows, answer(vlm, done, plan.max_new_tokens), strict=True):
                result.answers[row] = text
    return results


def _base_passes(
    vlm: VisionLanguageModel, prepared: Sequence[Prepared], plan: ForwardPlan, knockouts: Sequence[Knockout]
) -> list[tuple[list[int], PromptPass]]:
    """Run the prompts without a cut; keep what the knockouts start from. Returns rows and their pass."""
    may_share = plan.share_images and not any(k.touches_prefix for k in knockouts)
    leaders, followers = share_images(prepared) if may_share else (list(range(len(prepared))), {})
    batch = make_batch(vlm, [prepared[i] for i in leaders])
    behind = batch.tail if batch.has_prefix else batch.length
    has_sequel = bool(followers or knockouts) or plan.max_new_tokens > 1
    tails = _tails(knockouts, behind, batch.length)
    first = pass_prompts(vlm, batch, plan.states, tails, has_sequel=has_sequel)
    passes = [(leaders, first)]
    if followers:
        others = [prepared[i] for i in followers]
        behind = max(len(p) - p.prefix for p in others)
        tails, rows = _tails(knockouts, behind, behind), list(followers.values())
        passes.append((list(followers), follow_images(vlm, first, others, rows, plan.states, tails)))
    return passes


def _tails(knockouts: Sequence[Knockout], behind: int, positions: int) -> dict[int, int]:
    tails: dict[int, int] = {}
    for knockout in knockouts:
        tails[knockout.first] = max(tails.get(knockout.first, 0), tail_of(knockout, behind, positions))
    return tails


def share_images(prepared: Sequence[Prepared]) -> tuple[list[int], dict[int, int]]:
    """Divide prompts into leaders, one an image and prefix, and followers.

    Returns:
        Indices of the leaders, and for each follower's index its leader's place among the leaders.
    """
    leaders: dict[tuple[object, bytes], int] = {}
    chosen: list[int] = []
    followers: dict[int, int] = {}
    for i, one in enumerate(prepared):
        key = (one.sample.image_key, one.input_ids[: one.prefix].tobytes())
        if one.prefix and key in leaders:
            followers[i] = leaders[key]
        else:
            leaders[key] = len(chosen)
            chosen.append(i)
    return chosen, followers


def describe_sample(prepared: Prepared, text: str) -> dict[str, object]:
    """Collect the columns of one sample for the store."""
    sample = prepared.sample
    return {
        "task": sample.task,
        "image": sample.image_name,
        "question": sample.question,
        "gold": sample.answer or "",
        "predicted": text,
        "correct": is_correct(text, sample.answer),
        "n_image": int((prepared.codes == GROUPS.index("image")).sum()),
        "n_question": int((prepared.codes == GROUPS.index("question")).sum()),
    }
