"""States and answers of a batch, under the baseline and any number of knockouts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from extraction.datasets.sample import is_correct
from extraction.model.load import VisionLanguageModel
from extraction.passes.batch import make_batch
from extraction.passes.capture import StatesPlan
from extraction.passes.decode import answer
from extraction.passes.edges import Knockout
from extraction.passes.encode import Prepared
from extraction.passes.prompt_pass import PromptPass, pass_prompts
from extraction.passes.tail import follow_images, pass_knockout, tail_of
from pid_jax.store.manifest import GROUPS


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
        logprobs: Log-probabilities of tokens after the prompt, by the names of columns, see `read_logprobs`: (batch,)
            each, float32.
    """

    states: np.ndarray
    answers: list[str] = field(default_factory=list)
    logprobs: dict[str, np.ndarray] = field(default_factory=dict)

    def put(self, rows: Sequence[int], done: PromptPass) -> None:
        """Copy the states of a pass to the host, once."""
        self.states[rows] = done.recorder.states.cpu().numpy()


@torch.inference_mode()
def run_batch(
    vlm: VisionLanguageModel,
    prepared: Sequence[Prepared],
    plan: ForwardPlan,
    conditions: Sequence[Knockout | None] = (None,),
) -> list[BatchResult]:
    """Record states and generate greedily, under each condition.

    Every image is seen once; a knockout runs from its first block on, and only over the positions it can change. What a
    condition gives does not depend on the others.

    Args:
        vlm: The model.
        prepared: The samples of the batch.
        plan: What to record.
        conditions: Knockouts, and None for the baseline.

    Returns:
        One result a condition, rows in the order of `prepared`.
    """
    everyone = list(range(len(prepared)))
    golds = [one.gold_tokens for one in prepared]
    leaders, followers = share_images(prepared) if plan.share_images else (everyone, {})
    # A knockout that changes the prefix needs the states of all positions, which followers do not have.
    whole = [i for i, c in enumerate(conditions) if followers and c is not None and c.touches_prefix]
    results = [_empty(vlm, len(prepared), plan) for _ in conditions]
    baseline = _empty(vlm, len(prepared), plan) if whole else None
    short = [i for i in range(len(conditions)) if i not in whole]
    for group in _base_passes(vlm, prepared, plan, [c for i in short if (c := conditions[i])], leaders, followers):
        if baseline is not None:
            baseline.put(group.rows, group.base)
        for i in short:
            _run_condition(vlm, group, conditions[i], plan, results[i], golds)
    if baseline is not None:
        knockouts = [c for i in whole if (c := conditions[i])]
        (group,) = _base_passes(vlm, prepared, plan, knockouts, everyone, {})
        for i, knockout in zip(whole, knockouts, strict=True):
            _run_condition(vlm, group, knockout, plan, results[i], golds)
            before = [slot for slot, layer in enumerate(plan.states.layers) if layer <= knockout.first]
            results[i].states[:, before] = baseline.states[:, before]  # bit by bit, as in the baseline's store
    return results


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Rows that run together, their pass without a cut, and the longest part behind a prefix."""

    rows: list[int]
    base: PromptPass
    behind: int


def _base_passes(
    vlm: VisionLanguageModel,
    prepared: Sequence[Prepared],
    plan: ForwardPlan,
    knockouts: Sequence[Knockout],
    leaders: list[int],
    followers: dict[int, int],
) -> list[_Group]:
    """Run the prompts without a cut; keep what the knockouts start from."""
    batch = make_batch(vlm, [prepared[i] for i in leaders])
    tails = _tails(knockouts, batch.tail, batch.length)
    has_sequel = bool(followers or knockouts) or plan.max_new_tokens > 1
    first = pass_prompts(vlm, batch, plan.states, tails, has_sequel=has_sequel)
    groups = [_Group(rows=leaders, base=first, behind=batch.tail)]
    if followers:
        others = [prepared[i] for i in followers]
        behind = max(len(p) - p.prefix for p in others)
        tails, rows = _tails(knockouts, behind, behind), list(followers.values())
        base = follow_images(vlm, first, others, rows, tails)
        groups.append(_Group(rows=list(followers), base=base, behind=behind))
    return groups


def _run_condition(
    vlm: VisionLanguageModel,
    group: _Group,
    knockout: Knockout | None,
    plan: ForwardPlan,
    result: BatchResult,
    golds: Sequence[tuple[int, ...]],
) -> None:
    done, visible = group.base, None
    if knockout is not None:
        tail = tail_of(knockout, group.behind, done.groups.positions)
        done, visible = pass_knockout(vlm, done, knockout, tail), knockout.visible(done.groups)
    result.put(group.rows, done)
    uncut = None if knockout is None else group.base.logits
    for name, values in read_logprobs(done.logits, [golds[row] for row in group.rows], uncut).items():
        result.logprobs.setdefault(name, np.full(len(golds), np.nan, np.float32))[group.rows] = values
    for row, text in zip(group.rows, answer(vlm, done, plan.max_new_tokens, visible), strict=True):
        result.answers[row] = text


def read_logprobs(
    logits: torch.Tensor, golds: Sequence[tuple[int, ...]], uncut: torch.Tensor | None = None
) -> dict[str, np.ndarray]:
    """Compute log-probabilities of the token after the prompt: log-softmax over all tokens, in float32.

    Args:
        logits: Logits after the prompts, (batch, vocabulary).
        golds: Tokens that begin the gold answer of each row; the probability of several is their sum.
        uncut: Logits of the same prompts without the knockout; None if these are they.

    Returns:
        Arrays (batch,): `gold_logprob` of the gold answer, NaN where it has no tokens; `first_logprob` of the token
        that is generated first; and under a knockout `baseline_logprob` of the one that is generated first without it.
    """
    logprobs = logits.float().log_softmax(dim=-1)
    found = {"first_logprob": logprobs.max(dim=-1).values}
    of_golds = [
        row[list(tokens)].logsumexp(dim=0) if tokens else row.new_tensor(torch.nan)
        for row, tokens in zip(logprobs, golds, strict=True)
    ]
    found["gold_logprob"] = torch.stack(of_golds)
    if uncut is not None:
        tokens = uncut.argmax(dim=-1, keepdim=True).to(logprobs.device)
        found["baseline_logprob"] = logprobs.gather(1, tokens)[:, 0]
    return {name: values.cpu().numpy() for name, values in found.items()}


def _empty(vlm: VisionLanguageModel, rows: int, plan: ForwardPlan) -> BatchResult:
    shape = (rows, len(plan.states.slots), len(plan.states.roles), vlm.width)
    return BatchResult(states=np.full(shape, np.nan, np.float32), answers=[""] * rows)


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
