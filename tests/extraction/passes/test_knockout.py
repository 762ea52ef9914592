"""The knockout cuts what it says and nothing else."""

import pytest
import torch

from extraction.passes.batch import make_batch
from extraction.passes.capture import Recorder, StatesPlan, watching
from extraction.passes.edges import Knockout
from extraction.passes.knockout import cut_attention_mask, cut_of, cutting, edge_mask
from extraction.proof.knockout import KnockoutError, prove_knockout
from tests.extraction.conftest import encoder_of
from tests.extraction.random_models import LAYERS, random_llava

PLAN = StatesPlan(roles=("image", "question", "last"), layers=tuple(range(LAYERS + 1)))

CUT = Knockout(edges=(("image", "question"),), first=2, last=3)
EVERYTHING_FROM_IMAGE = Knockout(
    edges=tuple(("image", group) for group in ("system", "question", "suffix", "last")), first=0, last=LAYERS - 1
)


@torch.inference_mode()
def _run(vlm, batch, knockout):
    recorder = Recorder(vlm, batch.groups, PLAN, batch.has_prefix)
    with cutting(vlm, knockout, batch.groups), watching(vlm, recorder, {}):
        logits = vlm.model(**batch.inputs, use_cache=False, logits_to_keep=1).logits
    return logits, recorder.states


def test_self_test_passes_on_all_models(vlm, prepared):
    proof = prove_knockout(vlm, CUT, prepared)
    assert proof.weight_left == 0
    assert proof.weight_cut > 0
    assert proof.row_sum_error < 1e-5
    assert proof.agreement < 1e-5
    assert proof.tail_error < 1e-5
    assert proof.effect > 1e-3


def test_states_below_the_window_equal_the_baseline(vlm, batch):
    _, plain = _run(vlm, batch, None)
    _, cut = _run(vlm, batch, CUT)
    assert torch.equal(plain[:, : CUT.first + 1], cut[:, : CUT.first + 1])
    assert not torch.equal(plain[:, CUT.first + 1, 1], cut[:, CUT.first + 1, 1])


@pytest.mark.usefixtures("needs_prefix")
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


def test_without_any_path_from_the_image_two_images_give_the_same_logits(samples):
    vlm = random_llava()
    encoder = encoder_of(vlm)
    first, second = samples[0], samples[2]
    twin = type(first)(id="twin", image=second.image, question=first.question, answer=None, task="what")
    one, two = (make_batch(vlm, [encoder.prepare(s)]) for s in (first, twin))
    assert not torch.equal(_run(vlm, one, None)[0], _run(vlm, two, None)[0])
    assert torch.equal(_run(vlm, one, EVERYTHING_FROM_IMAGE)[0], _run(vlm, two, EVERYTHING_FROM_IMAGE)[0])


def test_image_states_do_not_depend_on_the_question(samples):
    vlm = random_llava()
    encoder = encoder_of(vlm)
    other = type(samples[0])(id="x", image=samples[0].image, question="what is this ?", answer=None, task="what")
    one, two = (make_batch(vlm, [encoder.prepare(s)]) for s in (samples[0], other))
    torch.testing.assert_close(_run(vlm, one, None)[1][:, :, 0], _run(vlm, two, None)[1][:, :, 0], atol=1e-5, rtol=0)


def test_batched_equals_single(vlm, prepared, batch):
    together = _run(vlm, batch, CUT)[1]
    for i in range(2):
        alone = _run(vlm, make_batch(vlm, [prepared[i]]), CUT)[1]
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


def test_self_test_sees_a_knockout_that_does_nothing(prepared, vlm, monkeypatch):
    monkeypatch.setattr("extraction.passes.knockout.cut_attention_mask", lambda mask, cut, queries: mask)
    with pytest.raises(KnockoutError, match="cut edges still carry weight"):
        prove_knockout(vlm, CUT, prepared)


@pytest.mark.usefixtures("needs_prefix")
def test_self_test_sees_edges_that_never_existed(prepared, vlm):
    backwards = Knockout(edges=(("last", "question"),), first=0, last=1)
    with pytest.raises(KnockoutError, match="carries no weight in the first place"):
        prove_knockout(vlm, backwards, prepared)


@pytest.mark.parametrize(
    "extra", [("image", "last"), ("image", "suffix"), ("question", "last"), ("system", "question")]
)
def test_self_test_sees_a_knockout_that_cuts_too_much(prepared, vlm, monkeypatch, extra):
    monkeypatch.setattr(
        "extraction.passes.knockout.edge_mask", lambda groups, edges: edge_mask(groups, (*edges, extra))
    )
    with pytest.raises(KnockoutError, match="weights outside of the edges"):
        prove_knockout(vlm, CUT, prepared)


@pytest.mark.usefixtures("needs_prefix")
def test_self_test_wants_weight_on_every_edge(prepared, vlm):
    with_backwards = Knockout(edges=(("image", "question"), ("last", "question")), first=0, last=1)
    with pytest.raises(KnockoutError, match="an edge carries no weight"):
        prove_knockout(vlm, with_backwards, prepared)


def test_self_test_sees_a_wrong_way_from_the_window_on(prepared, vlm, monkeypatch):
    """The pass that starts at the window is the one that is used: it is compared with hooks on the whole model."""
    monkeypatch.setattr(
        "extraction.passes.tail.cut_of", lambda knockout, groups: torch.zeros_like(cut_of(knockout, groups))
    )
    with pytest.raises(KnockoutError, match="the pass from the window on disagrees with hooks"):
        prove_knockout(vlm, CUT, prepared)


def test_self_test_on_a_mask_of_ones_own(prepared, vlm):
    def first_image_token(groups):
        image = groups.mask("image")
        first = image & (image.cumsum(dim=1) == 1)
        return groups.mask("question")[:, :, None] & first[:, None, :]

    proof = prove_knockout(vlm, Knockout(mask=first_image_token, title="first-patch", first=1, last=3), prepared)
    assert proof.weight_left == 0 < proof.weight_cut


@pytest.mark.parametrize(
    ("mask", "match"),
    [
        (lambda groups: groups.mask("image"), r"must return booleans of shape \(batch, queries, keys\)"),
        (lambda groups: None, "got NoneType"),
        (lambda groups: groups.mask("last")[:, :, None] & groups.is_token[:, None, :], "cuts a position from itself"),
    ],
)
def test_masks_that_cannot_be_used(batch, mask, match):
    with pytest.raises(ValueError, match=match):
        cut_of(Knockout(mask=mask, title="own", first=0, last=1), batch.groups)


@pytest.mark.usefixtures("needs_prefix")
def test_self_test_sees_a_layer_that_is_not_recorded(prepared, vlm, monkeypatch):
    """What is not recorded is NaN, which no comparison may pass over."""
    record = Recorder.record

    def forgetful(self, layer, hidden):
        if not (layer == 3 and hidden.shape[1] < self._weights.shape[2]):
            record(self, layer, hidden)

    monkeypatch.setattr(Recorder, "record", forgetful)
    with pytest.raises(KnockoutError, match="the pass from the window on disagrees with hooks by nan"):
        prove_knockout(vlm, CUT, prepared)


HALVES = [torch.float16, torch.bfloat16]


def _half(dtype, sharp: float = 1.0):
    """A model in half precision, whose attention is as sharp as that of trained ones."""
    vlm = random_llava()
    for layer in vlm.layers:
        layer.self_attn.q_proj.weight.data *= sharp
        layer.self_attn.k_proj.weight.data *= sharp
    vlm.model.to(dtype)
    return vlm


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("sharp", [1.0, 2.25])
@pytest.mark.parametrize("edges", [(("image", "question"),), (("system", "question"),)])
def test_self_test_passes_on_sound_models_in_half_precision(samples, dtype, sharp, edges):
    vlm = _half(dtype, sharp)
    prepared = [encoder_of(vlm).prepare(sample) for sample in samples[:2]]
    proof = prove_knockout(vlm, Knockout(edges=edges, first=0, last=LAYERS - 1), prepared)
    assert proof.weight_left == 0 < proof.weight_cut


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("mutant", ["cuts too much", "leaves one image token", "position off by one"])
def test_self_test_sees_small_faults_of_the_short_way_in_half_precision(samples, dtype, mutant, monkeypatch):
    vlm = _half(dtype)
    prepared = [encoder_of(vlm).prepare(sample) for sample in samples[:2]]

    def wrong_cut(knockout, groups):
        if mutant == "cuts too much":
            return edge_mask(groups, (*knockout.edges, ("image", "suffix")))
        image = groups.mask("image")
        but_one = image & (image.cumsum(dim=1) > 1)
        return (groups.mask("question")[:, :, None] & but_one[:, None, :])[:, None]

    if mutant == "position off by one":
        rotate, whole = vlm.decoder.rotary_emb.forward, max(len(p) for p in prepared)
        late = lambda x, position_ids: rotate(x, position_ids + int(x.shape[1] < whole))  # noqa: E731
        monkeypatch.setattr(vlm.decoder.rotary_emb, "forward", late)
    else:
        monkeypatch.setattr("extraction.passes.tail.cut_of", wrong_cut)
    with pytest.raises(KnockoutError, match=r"is not that of the edges|are other ones"):
        prove_knockout(vlm, CUT, prepared)
