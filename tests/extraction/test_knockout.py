"""The knockout cuts what it says and nothing else."""

import pytest
import torch

from extraction.batch import make_batch, prepare_sample
from extraction.capture import recording
from extraction.edges import Knockout
from extraction.knockout import cut_attention_mask, cutting, edge_mask
from extraction.selftest import KnockoutError, prove_knockout
from tests.extraction.random_models import LAYERS, random_llava

CUT = Knockout(edges=(("image", "question"),), first=2, last=3)
EVERYTHING_FROM_IMAGE = Knockout(
    edges=tuple(("image", group) for group in ("system", "question", "suffix", "last")), first=0, last=LAYERS - 1
)


@torch.inference_mode()
def _run(vlm, batch, knockout):
    with cutting(vlm, knockout, batch.groups), recording(vlm, batch.groups, ("image", "question", "last")) as recorder:
        logits = vlm.model(**batch.inputs, use_cache=False, logits_to_keep=1).logits
    return logits, recorder.states


def test_self_test_passes_on_both_models(vlm, batch):
    proof = prove_knockout(vlm, CUT, batch)
    assert proof.weight_left == 0
    assert proof.weight_cut > 0
    assert proof.row_sum_error < 1e-5
    assert proof.agreement < 1e-5


def test_states_below_the_window_equal_the_baseline(vlm, batch):
    _, plain = _run(vlm, batch, None)
    _, cut = _run(vlm, batch, CUT)
    assert torch.equal(plain[:, : CUT.first + 1], cut[:, : CUT.first + 1])
    assert not torch.equal(plain[:, CUT.first + 1, 1], cut[:, CUT.first + 1, 1])


def test_image_states_are_untouched(vlm, batch):
    _, plain = _run(vlm, batch, None)
    _, cut = _run(vlm, batch, CUT)
    torch.testing.assert_close(plain[:, :, 0], cut[:, :, 0], atol=1e-6, rtol=0)


def test_logits_are_restored_bit_by_bit(vlm, batch):
    before, _ = _run(vlm, batch, None)
    changed, _ = _run(vlm, batch, CUT)
    after, _ = _run(vlm, batch, None)
    assert torch.equal(before, after)
    assert not torch.equal(before, changed)


def test_without_any_path_from_the_image_two_images_give_the_same_logits(samples, template):
    vlm = random_llava()
    first, second = samples[0], samples[2]
    twin = type(first)(id="twin", image=second.image, question=first.question, answer=None, task="what")
    one, two = (make_batch(vlm, [prepare_sample(s, template)]) for s in (first, twin))
    assert not torch.equal(_run(vlm, one, None)[0], _run(vlm, two, None)[0])
    assert torch.equal(_run(vlm, one, EVERYTHING_FROM_IMAGE)[0], _run(vlm, two, EVERYTHING_FROM_IMAGE)[0])


def test_image_states_do_not_depend_on_the_question(samples, template):
    vlm = random_llava()
    other = type(samples[0])(id="x", image=samples[0].image, question="what is this ?", answer=None, task="what")
    one, two = (make_batch(vlm, [prepare_sample(s, template)]) for s in (samples[0], other))
    torch.testing.assert_close(_run(vlm, one, None)[1][:, :, 0], _run(vlm, two, None)[1][:, :, 0], atol=1e-5, rtol=0)


def test_batched_equals_single(vlm, samples, template, batch):
    together = _run(vlm, batch, CUT)[1]
    for i in range(2):
        alone = _run(vlm, make_batch(vlm, [prepare_sample(samples[i], template)]), CUT)[1]
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=0)


def test_three_forms_of_the_mask_agree(batch):
    cut = edge_mask(batch.groups, CUT.edges)
    size = batch.length
    causal = torch.ones(size, size, dtype=torch.bool).tril()
    wanted = causal & ~cut
    additive = torch.zeros(2, 1, size, size).masked_fill(~causal, torch.finfo(torch.float32).min)
    assert torch.equal(cut_attention_mask(None, cut, size), wanted)
    assert torch.equal(cut_attention_mask(causal.expand(2, 1, size, size), cut, size), wanted)
    assert torch.equal(cut_attention_mask(additive, cut, size) == 0, wanted)


@pytest.mark.parametrize("shape", [(2, 10), (2, 1, 5, 20)])
def test_unknown_masks_are_refused(batch, shape):
    cut = edge_mask(batch.groups, CUT.edges)
    with pytest.raises(RuntimeError, match="Use sdpa or eager attention"):
        cut_attention_mask(torch.zeros(shape), cut, batch.length)


def test_self_test_sees_a_knockout_that_does_nothing(batch, vlm, monkeypatch):
    monkeypatch.setattr("extraction.knockout.cut_attention_mask", lambda mask, cut, queries: mask)
    with pytest.raises(KnockoutError, match="cut edges still carry weight"):
        prove_knockout(vlm, CUT, batch)


def test_self_test_sees_edges_that_never_existed(batch, vlm):
    backwards = Knockout(edges=(("last", "question"),), first=0, last=1)
    with pytest.raises(KnockoutError, match="carries no weight in the first place"):
        prove_knockout(vlm, backwards, batch)


@pytest.mark.parametrize(
    "extra", [("image", "last"), ("image", "suffix"), ("question", "last"), ("system", "question")]
)
def test_self_test_sees_a_knockout_that_cuts_too_much(batch, vlm, monkeypatch, extra):
    monkeypatch.setattr("extraction.knockout.edge_mask", lambda groups, edges: edge_mask(groups, (*edges, extra)))
    with pytest.raises(KnockoutError, match="weights outside of the edges"):
        prove_knockout(vlm, CUT, batch)


def test_self_test_wants_weight_on_every_edge(batch, vlm):
    with_backwards = Knockout(edges=(("image", "question"), ("last", "question")), first=0, last=1)
    with pytest.raises(KnockoutError, match="an edge carries no weight"):
        prove_knockout(vlm, with_backwards, batch)
