"""Passes over the end of prompts: the same states and answers as passes over everything."""

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from extraction.datasets.sample import Sample
from extraction.errors import SampleError
from extraction.model.family import BIDIRECTIONAL_PROMPT
from extraction.model.prompts import resolve_template
from extraction.passes.batch import make_batch
from extraction.passes.capture import Recorder, StatesPlan, watching
from extraction.passes.edges import Knockout
from extraction.passes.encode import Encoder
from extraction.passes.forward import ForwardPlan, run_batch, share_images
from extraction.passes.knockout import cutting
from extraction.proof.prefix import PrefixError, prove_prefix
from pid_jax.store.manifest import GROUPS
from tests.extraction.conftest import encoder_of
from tests.extraction.random_models import LAYERS, random_llava, random_llava_next, random_qwen2_vl

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


@pytest.mark.usefixtures("needs_prefix")
def test_questions_about_one_image_share_a_pass(vlm, six):
    leaders, followers = share_images(six)
    assert (leaders, followers) == ([0, 1, 2], {3: 0, 4: 1, 5: 2})
    together, alone = (run_batch(vlm, six, plan)[0] for plan in (SHARED, ALONE))
    np.testing.assert_allclose(together.states, alone.states, atol=TOLERANCE, rtol=0)
    np.testing.assert_array_equal(together.states[3:, :, 1], together.states[:3, :, 1])  # the image's states
    assert together.answers == alone.answers
    assert np.abs(together.states[3:, :, 2] - together.states[:3, :, 2]).max() > 0.1  # other questions


@pytest.mark.usefixtures("needs_prefix")
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
    if vlm.family.attention != BIDIRECTIONAL_PROMPT and not knockout.touches_prefix:
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
    before = vlm.text_config._attn_implementation
    vlm.text_config._attn_implementation = "eager"
    try:
        base, cut = run_batch(vlm, six, SHARED, [None, KNOCKOUTS[0]])
        np.testing.assert_allclose(cut.states, _by_hooks(vlm, six, KNOCKOUTS[0]), atol=TOLERANCE, rtol=0)
    finally:
        vlm.text_config._attn_implementation = before
    tolerance = TOLERANCE * max(1, np.abs(base.states).max())
    np.testing.assert_allclose(base.states, run_batch(vlm, six, SHARED)[0].states, atol=tolerance, rtol=0)


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


@pytest.mark.usefixtures("needs_prefix")
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


def test_images_in_memory_that_look_different_do_not_share_a_pass(samples):
    """Equal pixels under another palette, or turned, are other images."""
    with Image.open(samples[0].image) as opened:
        plain = opened.convert("P")
    other, turned = plain.copy(), plain.convert("RGB")
    other.putpalette(plain.getpalette()[::-1])
    turned.getexif()[0x0112] = 6
    images = (plain, other, plain.convert("RGB"), turned)
    made = [Sample(id=str(i), image=im, question="?", answer=None, task="t") for i, im in enumerate(images)]
    assert len({sample.image_key for sample in made}) == 4
    assert made[0].image_key == Sample(id="x", image=plain.copy(), question="?", answer=None, task="t").image_key


def test_answers_where_the_decoder_has_a_sliding_window(twins):
    """The window counts padding too, so followers must not be padded into it."""
    vlm = random_llava_next(decoder=transformers.MistralConfig)
    longest = max(len(encoder_of(vlm).prepare(sample)) for sample in twins)
    vlm.text_config.sliding_window = longest
    six = [encoder_of(vlm).prepare(sample) for sample in twins]
    shared, alone = (run_batch(vlm, six, plan)[0] for plan in (SHARED, ALONE))
    assert shared.answers == alone.answers
    np.testing.assert_allclose(shared.states, alone.states, atol=TOLERANCE, rtol=0)
    vlm.text_config.sliding_window = longest - 1
    with pytest.raises(SampleError, match=f"more than the model's {longest - 1}"):
        [encoder_of(vlm).prepare(sample) for sample in twins]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(twins, dtype):
    vlm = random_llava()
    vlm.model.to(dtype)
    six = [encoder_of(vlm).prepare(sample) for sample in twins]
    base, cut = run_batch(vlm, six, SHARED, [None, KNOCKOUTS[0]])
    alone = run_batch(vlm, six, ALONE)[0]
    assert base.states.dtype == np.float32
    limit = {torch.float16: 5e-3, torch.bfloat16: 4e-2}[dtype] * np.abs(alone.states).max()
    assert np.abs(base.states - alone.states).max() < limit
    assert np.abs(cut.states - _by_hooks(vlm, six, KNOCKOUTS[0])).max() < limit


def test_a_template_with_its_own_beginning_gets_no_second_one(samples):
    vlm = random_llava()
    begin = vlm.processor.tokenizer.bos_token_id
    for template in ("plain", "<s> USER: <image>\n{q} ASSISTANT:"):
        prepared = encoder_of(vlm, template).prepare(samples[0])
        assert (prepared.input_ids == begin).sum() == 1
        question = prepared.input_ids[prepared.codes == GROUPS.index("question")]
        assert vlm.processor.tokenizer.decode(question).split() == samples[0].question.split()


@pytest.mark.parametrize("mark", ["<|vision_start|>", "<|video_pad|>", "</s>"])
def test_special_tokens_in_a_question_are_refused(samples, mark):
    vlm = random_qwen2_vl()
    sample = Sample(id="1", image=samples[0].image, question=f"what {mark} is this ?", answer=None, task="t")
    with pytest.raises(SampleError, match="special token"):
        encoder_of(vlm).prepare(sample)


def test_roles_without_a_token_are_named(samples):
    vlm = random_llava()
    template = resolve_template("USER: <image>\n{q} ?", None, vlm.family)
    with pytest.raises(SampleError, match=r"role.*'suffix'"):
        Encoder.of(vlm, template, ("suffix",)).prepare(samples[0])
