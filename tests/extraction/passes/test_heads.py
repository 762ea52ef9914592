"""Single heads are cut, and no other head: by names, masks, weights and states."""

import numpy as np
import pytest
import torch

from extraction.passes.batch import make_batch
from extraction.passes.capture import Recorder, StatesPlan, watching
from extraction.passes.edges import Knockout, describe_condition
from extraction.passes.forward import ForwardPlan, run_batch
from extraction.passes.heads import name_heads, parse_heads
from extraction.passes.knockout import cut_in_block, cutting
from extraction.proof.attention_watch import looking
from extraction.proof.knockout import KnockoutError, prove_knockout
from tests.extraction.conftest import encoder_of, implementations
from tests.extraction.random_models import LAYERS, random_llava

EDGES = (("image", "question"), ("question", "last"))
SOME = Knockout(edges=EDGES, heads=((1, 0), (1, 3), (3, None)))
PLAN = StatesPlan(roles=("image", "question", "last"), layers=tuple(range(LAYERS + 1)))
FORWARD = ForwardPlan(states=PLAN, max_new_tokens=2)


@pytest.fixture(params=["sdpa", "eager"])
def attention(vlm, request):
    if request.param not in implementations(vlm):
        pytest.skip("the model caps the logits of its attention, which sdpa cannot")
    before = vlm.text_config._attn_implementation
    vlm.text_config._attn_implementation = request.param
    yield request.param
    vlm.text_config._attn_implementation = before


@torch.inference_mode()
def _run(vlm, batch, knockout):
    recorder = Recorder(vlm, batch.groups, PLAN, batch.has_prefix)
    with cutting(vlm, knockout, batch.groups), watching(vlm, recorder, {}):
        logits = vlm.model(**batch.inputs, use_cache=False, logits_to_keep=1).logits
    return logits, recorder.states


@torch.inference_mode()
def _weights(vlm, batch, knockout):
    """Weights of eager attention by block, (batch, heads, queries, keys)."""
    found, hooks = {}, []
    for i in range(len(vlm.layers)):
        keep = lambda module, args, output, i=i: found.update({i: output[1]})  # noqa: E731
        hooks.append(vlm.attention(i).register_forward_hook(keep))
    with cutting(vlm, knockout, batch.groups):
        vlm.model(**batch.inputs, use_cache=False)
    for hook in hooks:
        hook.remove()
    return found


def test_heads_are_read():
    assert parse_heads("2.3, 4.*", 8, 4) == ((2, 3), (4, None))
    assert parse_heads("1-2.0-1+5.all", 8, 4) == ((1, 0), (1, 1), (2, 0), (2, 1), (5, None))
    assert parse_heads("4.1,4.*,4.1", 8, 4) == ((4, None),)


@pytest.mark.parametrize("text", ["", "3", "3.", "x.1", "8.0", "3.4", "3.*.1", "3-2.0", "3.2-1", "-1.0", "*.1"])
def test_heads_that_cannot_be_read(text):
    with pytest.raises(ValueError, match="heads must"):
        parse_heads(text, 8, 4)


def test_names_are_read_back():
    for text in ("2.3+4.all", "1-2.0-1", "0.0+0.2-3+7.1"):
        heads = parse_heads(text, 8, 4)
        assert name_heads(heads) == text
        assert parse_heads(name_heads(heads), 8, 4) == heads


def test_names_of_many_heads_differ_and_fit_into_folders():
    every_other = [[(block, head) for block in range(40) for head in range(start, 40, 2)] for start in (0, 1)]
    names = {Knockout(edges=EDGES, heads=tuple(heads)).name for heads in every_other}
    assert len(names) == 2
    assert max(map(len, names)) < 100


def test_the_condition_has_the_heads():
    assert SOME.name == "image-question+question-last@1.0+1.3+3.all"
    assert "heads 1.0+1.3+3.all" in SOME.label
    condition = describe_condition(SOME)
    assert condition["heads"] == [[1, 0], [1, 3], [3, "all"]]
    assert (condition["first"], condition["last"], SOME.blocks) == (1, 3, (1, 3))
    assert "heads" not in describe_condition(Knockout(edges=EDGES, first=0, last=1))


@pytest.mark.parametrize(
    "fields",
    [
        {"heads": ((1, 0),), "first": 0, "last": 1},
        {"heads": ((1, 0),), "is_all": True},
        {"heads": ((1,),)},
        {"heads": ((-1, 0),)},
        {"heads": ((1, "0"),)},
        {"heads": (1, 0)},
    ],
)
def test_heads_that_make_no_sense(fields):
    with pytest.raises(ValueError, match=r"heads must|window is set by heads"):
        Knockout(edges=EDGES, **fields)


def test_self_test_passes_on_all_models(vlm, prepared):
    proof = prove_knockout(vlm, SOME, prepared)
    assert proof.weight_left == 0 < proof.weight_cut
    assert proof.other_heads == 0
    assert proof.effect > 0


def test_weights_are_zero_in_these_heads_and_unchanged_in_others(vlm, batch):
    before = vlm.text_config._attn_implementation
    vlm.text_config._attn_implementation = "eager"
    try:
        plain, cut = (_weights(vlm, batch, one) for one in (None, SOME))
    finally:
        vlm.text_config._attn_implementation = before
    queries, keys = batch.groups.mask("question")[:, :, None], batch.groups.mask("image")[:, None, :]
    edges = queries & keys
    for head in range(vlm.heads):
        on_edges = cut[1][:, head][edges]
        if head in (0, 3):
            assert (on_edges == 0).all()
            assert plain[1][:, head][edges].max() > 0
        else:
            assert torch.equal(cut[1][:, head], plain[1][:, head])
        assert (cut[3][:, head][edges] == 0).all()
        assert (cut[2][:, head][edges] > 0).any()


@pytest.mark.usefixtures("attention")
def test_all_heads_of_a_block_are_the_block_bit_by_bit(vlm, batch):
    block = Knockout(edges=EDGES, first=2, last=2)
    single = Knockout(edges=EDGES, heads=tuple((2, head) for head in range(vlm.heads)))
    whole = Knockout(edges=EDGES, heads=((2, None),))
    wanted = _run(vlm, batch, block)
    for one in (single, whole):
        for found, right in zip(_run(vlm, batch, one), wanted, strict=True):
            assert torch.equal(found, right)
    assert not torch.equal(_run(vlm, batch, SOME)[0], wanted[0])


@pytest.mark.usefixtures("attention")
def test_the_short_pass_equals_hooks(vlm, encoder, twins):
    six = [encoder.prepare(sample) for sample in twins]
    base, cut = run_batch(vlm, six, FORWARD, [None, SOME])
    hooks = _run(vlm, make_batch(vlm, six), SOME)[1].numpy()
    tolerance = 4e-6 * max(1.0, float(np.abs(hooks).max()))
    np.testing.assert_allclose(cut.states, hooks, atol=tolerance, rtol=0)
    np.testing.assert_array_equal(cut.states[:, :2], base.states[:, :2])
    assert np.abs(cut.states[:, 2] - base.states[:, 2]).max() > 1e-4


def _wrong_heads(change):
    def cut(knockout, cut, block, heads):
        return change(cut_in_block(knockout, cut, block, heads))

    return cut


@pytest.mark.parametrize("place", ["extraction.passes.knockout.cut_in_block", "extraction.passes.tail.cut_in_block"])
@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda cut: cut.roll(1, dims=1), "is not that of the edges"),
        (lambda cut: cut.any(dim=1, keepdim=True), "weights outside of the edges"),
        (lambda cut: torch.zeros_like(cut), "edges are left"),
    ],
    ids=["next head", "all heads", "none"],
)
def test_self_test_sees_other_heads(samples, monkeypatch, place, change, match):
    vlm = random_llava()
    prepared = [encoder_of(vlm).prepare(sample) for sample in samples[:2]]
    monkeypatch.setattr(place, _wrong_heads(change))
    with pytest.raises(KnockoutError, match=match):
        prove_knockout(vlm, Knockout(edges=EDGES, heads=((1, 0), (2, 3))), prepared)


@torch.inference_mode()
def test_masks_of_other_blocks_have_no_axis_of_heads(vlm, batch):
    with cutting(vlm, SOME, batch.groups), looking(vlm, batch, None) as looked:
        vlm.model(**batch.inputs, use_cache=False)
    shapes = {i: None if mask is None else mask.shape[1] for i, mask in looked.masks.items()}
    assert shapes[1] == shapes[3] == vlm.heads
    assert shapes[2] in (None, 1)


def test_the_last_position_may_be_cut_from_itself(vlm, prepared):
    itself = Knockout(edges=(("last", "last"),), first=1, last=2)
    proof = prove_knockout(vlm, itself, prepared)
    assert proof.weight_left == 0 < proof.weight_cut
    assert itself.name == "last-last@1-2"
