"""Proof, on the real model and real samples, that a knockout cuts what it should and nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from extraction.model.load import VisionLanguageModel
from extraction.passes.batch import Batch, make_batch
from extraction.passes.capture import Recorder, StatesPlan, watching
from extraction.passes.control import RandomControl, control_problem
from extraction.passes.edges import Knockout
from extraction.passes.encode import Prepared
from extraction.passes.knockout import cutting
from extraction.passes.prompt_pass import pass_prompts
from extraction.passes.tail import pass_knockout, tail_of
from extraction.proof.attention_watch import PLAIN, Looked, Seen, Wanted, compare_masks, looking
from pid_jax.store.manifest import GROUPS

# Relative agreement of two ways to compute the same, by the precision of the model.
_AGREEMENT = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
_ROLES = ("image", "question", "last")
# Rows that keep less of their weight than this are renormalized by too small a number to be compared.
_KEPT = 0.1
_SAME_ANGLE = 0.02  # cosines in bfloat16 have three digits; those of the next position differ by half


class KnockoutError(RuntimeError):
    """The knockout does not do on this model what it says; nothing was extracted."""


@dataclass(frozen=True, kw_only=True)
class KnockoutProof:
    """What was measured.

    Attributes:
        weight_cut: Largest attention weight of a cut edge without the knockout; of several edges the smallest.
        weight_left: Largest weight on them with it; exactly zero.
        row_sum_error: Largest distance of a row of attention weights from one.
        side_effect: Largest change of any other weight in the first block of the window, apart from what the
            softmax hands on to the rest of a cut row.
        agreement: Relative difference of the logits of sdpa and eager attention under the knockout.
        tail_error: Relative difference of states and logits between the pass that starts at the window, which the
            extraction uses, and hooks on a pass of the whole model.
        effect: Largest change of a logit, relative to the largest logit.
        other_heads: Largest change of a weight of any other head in the first block cut; exactly zero. None where all
            heads are cut.
        baseline_error: Largest difference of a state without the knockout from the baseline's, relative to its largest
            value; None if no baseline with states was compared.
    """

    weight_cut: float
    weight_left: float
    row_sum_error: float
    side_effect: float
    agreement: float
    tail_error: float
    effect: float
    other_heads: float | None = None
    baseline_error: float | None = None


def prove_knockout(vlm: VisionLanguageModel, knockout: Knockout, prepared: Sequence[Prepared]) -> KnockoutProof:
    """Check a knockout by the masks, the attention weights and the states themselves.

    Exactly, whatever the precision: the masks that the attention of every block is given, by hooks on the whole model
    and by the pass from the window on, are those of the edges, and so are the positions; weights on cut edges are zero;
    states before the window are the baseline's; without hooks the logits are the baseline's again. Where single heads
    are cut, all weights of the other heads of the first block are the baseline's, and the cut of all heads of that
    block, one by one, is the cut of the block. A random control cuts as many edges of each sample as its knockout, none
    of them those of the knockout.

    Up to rounding: rows of weights sum to one; in the first block of the window, whose inputs are still the baseline's,
    all other weights are the baseline's, renormalized in the rows that lost some; sdpa and eager attention give the
    same logits, and so do both ways of running the knockout.

    Args:
        vlm: The model.
        knockout: What is to be cut.
        prepared: Real samples, at best two.

    Raises:
        KnockoutError: If one of these does not hold.
    """
    batch = make_batch(vlm, prepared)
    wanted = _wanted(vlm, knockout, batch)
    before, plain_states, _ = _run(vlm, batch, None)
    own, cut_states, _ = _run(vlm, batch, knockout)
    every_head = True
    with _attention(vlm, "eager"):
        plain = _run(vlm, batch, None, seen := Seen(wanted, knockout.first))[2]
        eager, _, cut = _run(vlm, batch, knockout, seen_cut := Seen(wanted, knockout.first))
        if knockout.heads:
            every_head = _all_heads_are_the_block(vlm, batch, knockout)
    after, _, _ = _run(vlm, batch, None)
    tail_error, short = _compare_tail(vlm, batch, knockout, own, cut_states)
    window = knockout.blocks
    proof = KnockoutProof(
        weight_cut=min(max(seen.on_edges[i][e] for i in window) for e in range(len(wanted.edges))),
        weight_left=max(max(seen_cut.on_edges[i]) for i in window),
        row_sum_error=max(seen_cut.row_sum_error[i] for i in window),
        side_effect=_side_effect(seen, seen_cut, wanted.in_block(knockout.first)),
        agreement=difference(own, eager),
        tail_error=tail_error,
        effect=difference(before, own),
        other_heads=_change_of_other_heads(seen, seen_cut) if knockout.heads else None,
    )
    untouched = torch.equal(plain_states[:, : knockout.first + 1], cut_states[:, : knockout.first + 1])
    passes = {PLAIN: plain.masks, "with it": cut.masks, "in the pass from the window on": short.masks}
    given = compare_masks(batch, wanted, passes) or _compare_rotations(cut, short)
    unmatched = control_problem(knockout, batch.groups) if isinstance(knockout, RandomControl) else ""
    claims = {
        unmatched: not unmatched,
        given: not given,
        "blocks before the window changed": untouched,
        "the model does not return to its baseline after the hooks are removed": torch.equal(before, after),
        "all heads of a block, cut one by one, are not the cut of the block": every_head,
    }
    _raise_unless(vlm, knockout, proof, claims)
    return proof


def tolerance_of(vlm: VisionLanguageModel) -> float:
    """Return by how much two ways to compute the same may differ, relative to the largest value."""
    return _AGREEMENT.get(vlm.model.dtype, 1e-1)


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """Largest difference, relative to the largest value; NaN if anything is."""
    return float((one - other).abs().max() / one.abs().max().clamp_min(1e-12))


def _raise_unless(
    vlm: VisionLanguageModel, knockout: Knockout, proof: KnockoutProof, exact: Mapping[str, bool]
) -> None:
    """Raise if a claim does not hold: those that the figures decide, and others that are known to hold or not."""
    tolerance = tolerance_of(vlm)
    claims = {
        f"an edge carries no weight in the first place ({proof.weight_cut}; tokens see only earlier ones)": (
            proof.weight_cut > 0
        ),
        f"weights outside of the edges changed by {proof.side_effect:.2e}": proof.side_effect < tolerance,
        f"cut edges still carry weight ({proof.weight_left:.2e})": proof.weight_left == 0,
        f"attention rows do not sum to one (error {proof.row_sum_error:.2e})": proof.row_sum_error < tolerance,
        f"sdpa and eager attention disagree by {proof.agreement:.2e}": proof.agreement < tolerance,
        f"the pass from the window on disagrees with hooks by {proof.tail_error:.2e}": proof.tail_error < tolerance,
        f"weights of other heads changed by {proof.other_heads or 0:.2e}": not proof.other_heads,
        **exact,
    }
    remedy = "check the edges, and try attn_implementation='eager' or another version of transformers"
    raise_failed(vlm, f"The knockout {knockout.name}", claims, remedy)


def raise_failed(vlm: VisionLanguageModel, what: str, claims: Mapping[str, bool], remedy: str) -> None:
    """Raise a `KnockoutError` that lists the claims of a self-test that do not hold, if there are any."""
    if failed := [text for text, holds in claims.items() if not holds]:
        raise KnockoutError(
            f"{what} failed its self-test on {type(vlm.model).__name__}: {'; '.join(failed)}. Nothing was extracted "
            f"under it; {remedy}."
        )


@torch.inference_mode()
def _run(
    vlm: VisionLanguageModel, batch: Batch, knockout: Knockout | None, seen: Seen | None = None
) -> tuple[torch.Tensor, torch.Tensor, Looked]:
    """Logits, states and what the attention was given, by hooks on a pass of the whole model."""
    recorder = Recorder(vlm, batch.groups, every_state(vlm), batch.has_prefix)
    with cutting(vlm, knockout, batch.groups), watching(vlm, recorder, {}), looking(vlm, batch, seen) as looked:
        logits = vlm.model(**batch.inputs, use_cache=False, logits_to_keep=1).logits
    return logits[:, -1].float(), recorder.states, looked


@torch.inference_mode()
def _compare_tail(
    vlm: VisionLanguageModel, batch: Batch, knockout: Knockout, logits: torch.Tensor, states: torch.Tensor
) -> tuple[float, Looked]:
    """Run the knockout the short way; return its relative error and what the attention was given."""
    tail = tail_of(knockout, batch.tail, batch.length)
    base = pass_prompts(vlm, batch, every_state(vlm), {knockout.first: tail})
    with looking(vlm, batch, None) as looked:
        short = pass_knockout(vlm, base, knockout, tail)
    found = short.recorder.states
    errors = [difference(logits, short.logits.float())]
    errors += [
        difference(states[:, slot, role], found[:, slot, role])
        for slot in range(states.shape[1])
        for role in range(len(_ROLES))
    ]
    return float(torch.tensor(errors).max()), looked  # NaN if any is


def _compare_rotations(whole: Looked, short: Looked) -> str:
    """Compare the rotations of positions in both ways to run a knockout."""
    for i, rotation in short.rotations.items():
        error = float((whole.rotations[i][:, -rotation.shape[1] :].to(rotation.device) - rotation).abs().max())
        if not error < _SAME_ANGLE:
            return (
                f"positions in block {i} of the pass from the window on are other ones (cosines differ by {error:.2g})"
            )
    return ""


def _side_effect(plain: Seen, cut: Seen, edges: torch.Tensor) -> float:
    """Compare weights in the first block with the baseline's without the edges, renormalized."""
    if plain.weights is None or cut.weights is None:
        raise RuntimeError("The attention of the first block of the window was not run.")
    kept = plain.weights.masked_fill(edges, 0)
    share = kept.sum(-1, keepdim=True)
    error = (cut.weights - kept / share.clamp_min(_KEPT)).abs()
    return float(error.masked_fill(share < _KEPT, 0).max())  # padding queries keep nothing, or everything


def _change_of_other_heads(plain: Seen, cut: Seen) -> float:
    """Compare the weights of the heads of the first block in which nothing is cut; NaN if one is."""
    if plain.weights is None or cut.weights is None:
        raise RuntimeError("The attention of the first block of the window was not run.")
    others = ~cut.wanted.heads[cut.kept][0, :, 0, 0]
    change = (cut.weights - plain.weights)[:, others].abs()
    return float(change.max()) if change.numel() else 0.0


def _all_heads_are_the_block(vlm: VisionLanguageModel, batch: Batch, knockout: Knockout) -> bool:
    """Whether all heads of the first block, each cut for itself, give what the cut of the block gives, bit by bit."""
    block = knockout.first
    each = replace(knockout, heads=tuple((block, head) for head in range(vlm.heads)), first=block, last=block)
    (logits, states, _), (wanted_logits, wanted_states, _) = (
        _run(vlm, batch, one) for one in (each, replace(each, heads=()))
    )
    return torch.equal(logits, wanted_logits) and torch.equal(states, wanted_states)


def _wanted(vlm: VisionLanguageModel, knockout: Knockout, batch: Batch) -> Wanted:
    """Mark what each edge should cut and in which heads, worked out apart from the code that cuts."""
    device = batch.groups.codes.device
    heads = {
        block: torch.tensor([(block, head) in knockout.heads or (block, None) in knockout.heads
                             for head in range(vlm.heads)], device=device)[None, :, None, None]
        if knockout.heads else torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)
        for block in knockout.blocks
    }  # fmt: skip
    if knockout.mask is not None:
        return Wanted([knockout.mask(batch.groups)[:, None].to(device)], heads)
    queries, keys = batch.groups.codes[:, None, :, None], batch.groups.codes[:, None, None, :]
    edges = [(queries == GROUPS.index(to)) & (keys == GROUPS.index(source)) for source, to in knockout.edges]
    return Wanted(edges, heads)


def every_state(vlm: VisionLanguageModel) -> StatesPlan:
    """Plan to record every layer."""
    return StatesPlan(roles=_ROLES, layers=tuple(range(len(vlm.layers) + 1)))


@contextmanager
def _attention(vlm: VisionLanguageModel, implementation: str) -> Iterator[None]:
    previous = vlm.text_config._attn_implementation
    vlm.text_config._attn_implementation = implementation
    try:
        yield
    finally:
        vlm.text_config._attn_implementation = previous
