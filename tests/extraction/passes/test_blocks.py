"""Who attends to whom, rotations by the kind of block, and features added between blocks, family by family."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

from extraction.errors import SampleError
from extraction.model.family import CAUSAL
from extraction.passes.batch import make_batch
from extraction.passes.blocks import AddedFeatures, allowed_pairs, rotations
from extraction.passes.capture import StatesPlan
from extraction.passes.edges import Knockout
from extraction.passes.forward import ForwardPlan, run_batch, share_images
from extraction.passes.prompt_pass import pass_prompts
from extraction.passes.spans import TokenGroups
from extraction.proof.knockout import KnockoutError, prove_knockout
from extraction.proof.prefix import prove_prefix
from tests.extraction.conftest import encoder_of
from tests.extraction.random_families import (
    random_gemma3,
    random_paligemma,
    random_paligemma2,
    random_qwen3_vl,
)
from tests.extraction.random_models import LAYERS

PLAN = StatesPlan(roles=("image", "question", "last"), layers=tuple(range(LAYERS + 1)))
IMAGE_TO_QUESTION = Knockout(edges=(("image", "question"),), first=0, last=LAYERS - 1)
QUESTION_TO_IMAGE = Knockout(edges=(("question", "image"),), first=1, last=2)
LAST_TO_QUESTION = Knockout(edges=(("last", "question"),), first=1, last=3)


def prepared_of(vlm, samples):
    return [encoder_of(vlm).prepare(sample) for sample in samples]


@pytest.mark.parametrize("attention", ["causal", "bidirectional image", "bidirectional prompt"])
def test_pairs_by_hand(attention):
    """Padding, system, two image tokens, a mark of a line, an image token, question, last."""
    pad, system, image, question, last = -1, 0, 1, 2, 4
    codes = [pad, system, image, image, system, image, question, last]
    found = allowed_pairs(TokenGroups(torch.tensor([codes]), attention), len(codes))[0, 0]
    for query, key in np.ndindex(len(codes), len(codes)):
        expected = key <= query
        if attention == "bidirectional image":
            expected |= {query, key} <= {2, 3}  # one run; the other image token is one by itself
        if attention == "bidirectional prompt":
            expected = True
        assert found[query, key] == ((expected and key > 0) or query == key), (query, key)


def test_the_tail_is_the_end_of_the_whole(vlm, batch):
    whole = allowed_pairs(batch.groups, batch.length)
    assert torch.equal(allowed_pairs(batch.groups, 7), whole[:, :, -7:])


def test_gemma_blocks_have_rotations_of_their_kind():
    vlm = random_gemma3()
    hidden, positions = torch.zeros(1, 4, vlm.width), torch.arange(4)[None]
    found = rotations(vlm, hidden, positions)
    by_kind = {kind: cosines for kind, (cosines, _) in zip(vlm.kinds, found, strict=True)}
    assert set(by_kind) == {"sliding_attention", "full_attention"}
    assert not torch.equal(by_kind["sliding_attention"], by_kind["full_attention"])
    for kind, (cosines, _) in zip(vlm.kinds, found, strict=True):
        assert torch.equal(cosines, by_kind[kind])


def test_prompts_longer_than_a_window_are_failures(samples):
    vlm = random_gemma3()
    length = len(encoder_of(vlm).prepare(samples[0]))
    vlm.text_config.sliding_window = length - 1
    with pytest.raises(SampleError, match="more than the model's"):
        encoder_of(vlm).prepare(samples[0])


@pytest.mark.parametrize("build", [random_gemma3, random_paligemma])
def test_self_test_sees_a_wrong_rule_of_attention(build, samples):
    vlm = build()
    wrong = replace(vlm, family=replace(vlm.family, attention=CAUSAL))
    with pytest.raises(KnockoutError, match="is not that of the edges"):
        prove_knockout(wrong, IMAGE_TO_QUESTION, prepared_of(wrong, samples[:2]))


@pytest.mark.parametrize("knockout", [QUESTION_TO_IMAGE, LAST_TO_QUESTION, IMAGE_TO_QUESTION], ids=lambda one: one.name)
@pytest.mark.parametrize("build", [random_paligemma, random_paligemma2])
def test_where_all_attend_to_all_edges_go_both_ways(build, knockout, samples):
    proof = prove_knockout(vlm := build(), knockout, prepared_of(vlm, samples[:2]))
    assert proof.weight_left == 0 < proof.weight_cut
    assert proof.tail_error < 1e-5


def test_where_all_attend_to_all_questions_share_no_image(twins):
    """States of the image depend on the question, so nothing of one pass serves the next."""
    vlm = random_paligemma()
    six = prepared_of(vlm, twins)
    assert share_images(six) == ([0, 1, 2, 3, 4, 5], {})
    assert prove_prefix(vlm, encoder_of(vlm), six) is None
    assert not make_batch(vlm, six).has_prefix
    states = run_batch(vlm, six, ForwardPlan(states=PLAN, max_new_tokens=1))[0].states
    np.testing.assert_allclose(states[:3, 0, 0], states[3:, 0, 0], atol=1e-6)  # embeddings of the same images
    assert np.abs(states[:3, 2, 0] - states[3:, 2, 0]).max() > 1e-2
    alone = np.concatenate([run_batch(vlm, [one], ForwardPlan(states=PLAN, max_new_tokens=1))[0].states for one in six])
    np.testing.assert_allclose(states, alone, atol=1e-5)


def test_features_added_between_blocks():
    vlm = random_qwen3_vl()
    is_image = torch.tensor([[False, True, True, False], [True, False, True, False]])
    features = torch.randn(4, vlm.width)
    added, hidden = AddedFeatures(is_image, [features]), torch.randn(2, 4, vlm.width)
    expected = hidden.clone()
    expected[is_image] += features
    before = hidden.clone()
    assert torch.equal(added.add(0, hidden), expected)
    assert torch.equal(added.add(0, hidden[:, -2:]), expected[:, -2:])
    assert added.add(1, hidden) is hidden
    assert torch.equal(hidden, before)


@pytest.mark.parametrize("edges", [(("image", "question"),), (("system", "image"),)], ids=str)
def test_self_test_sees_features_that_are_left_out(edges, samples, monkeypatch):
    vlm = random_qwen3_vl()
    two, knockout = prepared_of(vlm, samples[:2]), Knockout(edges=edges, first=0, last=2)
    assert len({len(one) - one.prefix for one in two}) == 2, "behind one image there must be less than behind the other"
    assert prove_knockout(vlm, knockout, two).tail_error < 1e-5
    monkeypatch.setattr(AddedFeatures, "add", lambda self, block, hidden: hidden)
    with pytest.raises(KnockoutError, match="disagrees with hooks"):
        prove_knockout(vlm, knockout, two)


def test_what_enters_a_block_has_the_added_features(samples):
    """The states that are recorded are those of `output_hidden_states`, without them."""
    vlm = random_qwen3_vl()
    batch = make_batch(vlm, prepared_of(vlm, samples[:2]))
    with torch.inference_mode():
        done = pass_prompts(vlm, batch, PLAN, {1: batch.length})
        output = vlm.model(**batch.inputs, output_hidden_states=True).hidden_states
    is_image = batch.groups.mask("image")
    difference = done.entries[1] - output[1]
    assert difference[is_image].abs().max() > 1e-3
    assert not difference[~is_image].any()


def test_prompts_of_paligemma_are_those_of_its_own_processor(samples):
    vlm = random_paligemma()
    tokenizer = vlm.processor.tokenizer
    tokenizer.bos_token = "<bos>"
    tokenizer.add_tokens(["\n"])
    own = encoder_of(vlm, "paligemma")
    question = samples[0].question
    found = own.encode(own.template.replace("{q}", question), np.zeros((32, 32, 3), np.uint8))
    original = transformers.PaliGemmaProcessor(vlm.processor.image_processor, tokenizer)
    expected = original(text=[f"<image>answer en {question}"], images=[np.zeros((32, 32, 3), np.uint8)])
    assert found["input_ids"].tolist() == expected["input_ids"]
    assert tokenizer.convert_ids_to_tokens(int(found["input_ids"][0, -1])) == "\n"
