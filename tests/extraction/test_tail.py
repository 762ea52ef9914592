"""Passes over the end of prompts: the same states and answers as passes over everything."""

import numpy as np
import pytest
import torch

from extraction.batch import make_batch
from extraction.capture import Recorder, StatesPlan, watching
from extraction.edges import GROUPS, Knockout
from extraction.forward import ForwardPlan, run_batch, share_images
from extraction.knockout import cutting
from extraction.prefix_test import PrefixError, prove_prefix
from tests.extraction.conftest import encoder_of
from tests.extraction.random_models import LAYERS, random_llava

PLAN = StatesPlan(roles=GROUPS, layers=tuple(range(LAYERS + 1)))
SHARED = ForwardPlan(states=PLAN, max_new_tokens=4)
ALONE = ForwardPlan(states=PLAN, max_new_tokens=4, share_images=False)
TOLERANCE = 4e-6


def _image_to_last(groups):
    return groups.mask("last")[:, :, None] & groups.mask("image")[:, None, :]


KNOCKOUTS = [
    Knockout(edges=(("image", "question"),), first=1, last=2),
    Knockout(edges=(("image", "question"), ("question", "last")), first=0, last=LAYERS - 1, is_all=True),
    Knockout(edges=(("image", "suffix"), ("image", "last")), first=LAYERS - 1, last=LAYERS - 1),
    Knockout(edges=(("system", "image"),), first=3, last=4),
    Knockout(mask=_image_to_last, title="own", first=2, last=4),
]


@pytest.fixture
def six(encoder, twins):
    return [encoder.prepare(sample) for sample in twins]


def _by_hooks(vlm, prepared, knockout):
    batch = make_batch(vlm, prepared)
    recorder = Recorder(vlm, batch.groups, PLAN, batch.has_prefix)
    with torch.inference_mode(), cutting(vlm, knockout, batch.groups), watching(vlm, recorder, {}):
        vlm.model(**batch.inputs, use_cache=False, logits_to_keep=1)
    return recorder.states.numpy()


def test_questions_about_one_image_share_a_pass(vlm, six):
    leaders, followers = share_images(six)
    assert (leaders, followers) == ([0, 1, 2], {3: 0, 4: 1, 5: 2})
    together, alone = (run_batch(vlm, six, plan)[0] for plan in (SHARED, ALONE))
    np.testing.assert_allclose(together.states, alone.states, atol=TOLERANCE, rtol=0)
    np.testing.assert_array_equal(together.states[3:, :, 1], together.states[:3, :, 1])  # the image's states
    assert together.answers == alone.answers
    assert np.abs(together.states[3:, :, 2] - together.states[:3, :, 2]).max() > 0.1  # other questions


def test_an_image_is_seen_once(vlm, six):
    seen = []
    handle = vlm.decoder.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["inputs_embeds"].shape[0]), with_kwargs=True
    )
    try:
        run_batch(vlm, six, ForwardPlan(states=PLAN, max_new_tokens=1))
    finally:
        handle.remove()
    assert seen == [3]


@pytest.mark.parametrize("knockout", KNOCKOUTS, ids=lambda knockout: knockout.name)
def test_knockouts_equal_hooks_on_whole_passes(vlm, six, knockout):
    base, cut = run_batch(vlm, six, SHARED, [None, knockout])
    np.testing.assert_allclose(cut.states, _by_hooks(vlm, six, knockout), atol=TOLERANCE, rtol=0)
    np.testing.assert_array_equal(cut.states[:, : knockout.first + 1], base.states[:, : knockout.first + 1])
    assert np.abs(cut.states[:, knockout.first + 1] - base.states[:, knockout.first + 1]).max() > 1e-3
    if not knockout.touches_prefix:
        np.testing.assert_array_equal(cut.states[:, :, 1], base.states[:, :, 1])  # images, bit by bit


def test_knockouts_together_equal_each_alone(vlm, six):
    """Bit by bit, also where cuts of the prefix and others begin with the same block."""
    more = [*KNOCKOUTS, Knockout(edges=(("image", "question"),), first=2, last=3)]
    for prepared in (six, six[:3]):  # with and without questions that share an image
        for knockout, cut in zip(more, run_batch(vlm, prepared, SHARED, more), strict=True):
            alone = run_batch(vlm, prepared, SHARED, [knockout])[0]
            np.testing.assert_array_equal(cut.states, alone.states)
            assert cut.answers == alone.answers


def test_with_eager_attention(vlm, six):
    vlm.text_config._attn_implementation = "eager"
    try:
        base, cut = run_batch(vlm, six, SHARED, [None, KNOCKOUTS[0]])
        np.testing.assert_allclose(cut.states, _by_hooks(vlm, six, KNOCKOUTS[0]), atol=TOLERANCE, rtol=0)
    finally:
        vlm.text_config._attn_implementation = "sdpa"
    np.testing.assert_allclose(base.states, run_batch(vlm, six, SHARED)[0].states, atol=TOLERANCE, rtol=0)


def test_answers_under_a_knockout_are_those_of_generate(vlm, six):
    """The cut reaches the new tokens through keys and values, whichever way it was made."""
    knockout, batch = KNOCKOUTS[1], make_batch(vlm, six)
    with torch.inference_mode(), cutting(vlm, knockout, batch.groups):
        tokens = [vlm.model(**batch.inputs, use_cache=False, logits_to_keep=1).logits[:, -1].argmax(-1)]
    first = vlm.processor.tokenizer.batch_decode(tokens[0][:, None], skip_special_tokens=True)
    found = run_batch(vlm, six, SHARED, [knockout])[0].answers
    assert all(text.startswith(start.strip()) for text, start in zip(found, first, strict=True))
    assert found != run_batch(vlm, six, SHARED)[0].answers


def test_image_behind_the_question(twins):
    vlm = random_llava()
    encoder = encoder_of(vlm, "USER: {q} \n<image> ASSISTANT:")
    prepared = [encoder.prepare(sample) for sample in twins]
    assert share_images(prepared)[1] == {}
    base, cut = run_batch(vlm, prepared, SHARED, [None, KNOCKOUTS[2]])
    assert np.isfinite(base.states).all()
    np.testing.assert_allclose(cut.states, _by_hooks(vlm, prepared, KNOCKOUTS[2]), atol=TOLERANCE, rtol=0)


def test_prefix_is_proved_on_real_samples(vlm, encoder, prepared):
    proof = prove_prefix(vlm, encoder, prepared)
    assert proof is not None
    assert max(proof.image_error, proof.shared_error) < 1e-5


def test_attention_that_is_not_causal_is_noticed(samples):
    vlm = random_llava()
    encoder = encoder_of(vlm)

    def see_everything(module, args, kwargs):
        return args, kwargs | {"attention_mask": None}

    for i in range(LAYERS):
        vlm.attention(i).is_causal = False
        vlm.attention(i).register_forward_pre_hook(see_everything, with_kwargs=True)
    two = [encoder.prepare(sample) for sample in samples[:2]]
    with pytest.raises(PrefixError, match="--no-share-images"):
        prove_prefix(vlm, encoder, two)
