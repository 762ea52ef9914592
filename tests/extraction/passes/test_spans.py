"""The five groups partition the tokens, and the question is exactly the question."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from extraction.errors import SampleError
from extraction.model.families import FAMILIES
from extraction.model.prompts import TEMPLATES, Prompt, resolve_template
from extraction.passes.batch import make_batch
from extraction.passes.encode import Encoder
from extraction.passes.spans import find_groups
from pid_jax.store.manifest import GROUPS
from tests.extraction.conftest import encoder_of
from tests.extraction.random_models import random_llava


def test_groups_partition_the_tokens(batch):
    total = sum(batch.groups.mask(name).int() for name in GROUPS)
    assert torch.equal(total, batch.inputs["attention_mask"].int())


@pytest.mark.parametrize("template", [TEMPLATES["plain"], TEMPLATES["vicuna_v1"], "{q} USER: <image> ASSISTANT:"])
def test_question_decodes_to_the_question(vlm, samples, template):
    encoder = encoder_of(vlm, template)
    made = make_batch(vlm, [encoder.prepare(sample) for sample in samples])
    for i, sample in enumerate(samples):
        ids = made.inputs["input_ids"][i][made.groups.mask("question")[i]]
        assert vlm.processor.tokenizer.decode(ids).split() == sample.question.split()


@pytest.mark.parametrize("template", ["plain", "vicuna_v1"])
def test_a_question_may_hold_line_breaks(vlm, samples, template):
    """Also behind a line break of the template."""
    question = "what is the\ncolor\r\n\r\nof the\rcircle ?"
    one = encoder_of(vlm, template).prepare(replace(samples[0], question=f"\n{question}\n"))
    ids = one.input_ids[one.codes == GROUPS.index("question")]
    assert vlm.processor.tokenizer.decode(ids).split() == question.split()


def test_line_breaks_of_a_question_are_tokens_of_it(samples):
    """By a tokenizer of bytes, which has tokens for line breaks."""
    encoder = byte_encoder()
    question = "what is\nthe color\r\n\r\nof the\rcircle ?"
    one = encoder.prepare(replace(samples[0], question=question))
    ids = one.input_ids[one.codes == GROUPS.index("question")]
    assert encoder.processor.tokenizer.decode(ids) == question


NORMALIZERS = {
    "none": None,
    "lower case": normalizers.Lowercase(),
    "longer": normalizers.Replace("a", "aa"),
    "shorter": normalizers.Replace("What ", ""),
    "blanks": normalizers.Sequence([normalizers.Prepend("_"), normalizers.Replace(" ", "_")]),
}


@pytest.mark.parametrize("name", NORMALIZERS)
@pytest.mark.parametrize("template", ["plain", "{q} USER: <image> ASSISTANT:"])
def test_a_tokenizer_may_change_case_and_length(samples, name, template):
    """Offsets count in the text before it was normalized, so the question is found."""
    encoder = byte_encoder(NORMALIZERS[name], template)
    one = encoder.prepare(replace(samples[0], question="What is a Cat ?"))
    found = encoder.processor.tokenizer.decode(one.input_ids[one.codes == GROUPS.index("question")])
    normalizer = NORMALIZERS[name] or normalizers.Sequence([])
    assert found.lstrip("_") == normalizer.normalize_str("What is a Cat ?").lstrip("_")


def test_a_question_that_the_tokenizer_drops(samples):
    encoder = byte_encoder(normalizers.Replace("What", ""))
    with pytest.raises(SampleError, match="'What'"):
        encoder.prepare(replace(samples[0], question="What"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (str.lower, "changes the question 'What is THIS ?', whose tokens read 'what is this ?'"),
        (lambda text: text.replace("THIS", ""), "changes the question 'What is THIS ?'"),
        (lambda text: text.replace("THIS", "THIS THIS"), "changes the question 'What is THIS ?'"),
        (lambda text: text.replace("What is THIS ?", ""), "the question 'What is THIS ?'"),
        (lambda text: text + " THIS", "changes the question"),
    ],
)
def test_a_processor_that_changes_the_text(samples, change, match):
    """Not the tokenizer: it sees other text than the prompt, so offsets may be those of other words."""
    encoder = byte_encoder()
    process = encoder.processor.__class__.__call__

    class Changing(encoder.processor.__class__):
        def __call__(self, images, text, **others):
            return process(self, images=images, text=[change(one) for one in text], **others)

    encoder.processor.__class__ = Changing
    with pytest.raises(SampleError, match=re.escape(match)) as caught:
        encoder.prepare(replace(samples[0], question="What is THIS ?"))
    assert caught.value.stage == "prompt"


def byte_encoder(normalizer=None, template="plain"):
    """The encoder of a LLaVA whose tokenizer has one token a byte."""
    words = Tokenizer(BPE({letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, []))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    if normalizer is not None:
        words.normalizer = normalizer
    words.add_special_tokens(["<image>"])
    processor = random_llava().processor
    processor.tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, extra_special_tokens={"image_token": "<image>"}
    )
    processor.image_token_id = words.token_to_id("<image>")
    return Encoder(
        processor=processor,
        family=FAMILIES["llava"],
        template=resolve_template(template, processor, FAMILIES["llava"]),
        image_token_id=processor.image_token_id,
        max_positions=2048,
        embedding_rows=len(processor.tokenizer),
    )


def test_image_positions_are_the_image_tokens(vlm, batch):
    assert torch.equal(batch.groups.mask("image"), batch.inputs["input_ids"] == vlm.image_token_id)
    assert (batch.groups.mask("image").sum(dim=1) >= 16).all()


def test_last_is_the_last_position_and_not_the_question(batch):
    assert batch.groups.mask("last")[:, -1].all()
    assert (batch.groups.mask("last").sum(dim=1) == 1).all()


def test_system_stands_before_and_suffix_behind_the_question(batch):
    positions = torch.arange(batch.length)
    for i in range(2):
        question = positions[batch.groups.mask("question")[i]]
        assert (positions[batch.groups.mask("system")[i]] < question.min()).all()
        assert (positions[batch.groups.mask("suffix")[i]] > question.max()).all()


def test_groups_do_not_depend_on_padding(vlm, prepared, batch):
    short = min(range(2), key=lambda i: int(batch.inputs["attention_mask"][i].sum()))
    alone = make_batch(vlm, [prepared[short]])
    assert alone.length < batch.length
    for name in GROUPS:
        padded = batch.groups.mask(name)[short][batch.length - alone.length :]
        assert torch.equal(padded, alone.groups.mask(name)[0])


@pytest.mark.usefixtures("needs_prefix")
def test_prefix_ends_with_the_last_image_token(batch):
    """Also where other marks stand between the image tokens, and never where the question comes first."""
    for i in range(2):
        prefix, image = (batch.groups.is_prefix[i] & batch.groups.is_token[i]).nonzero(), batch.groups.mask("image")[i]
        assert prefix[-1] == image.nonzero()[-1]
        assert not (batch.groups.is_prefix[i] & batch.groups.mask("question")[i]).any()


def test_no_prefix_where_the_question_comes_first(vlm, samples):
    encoder = encoder_of(vlm, "{q} USER: <image> ASSISTANT:")
    assert not make_batch(vlm, [encoder.prepare(samples[0])]).has_prefix


@pytest.mark.parametrize(
    ("input_ids", "match"),
    [([1, 5, 6, 7], "no image token"), ([9, 5, 9, 9], "drops the question 'abc'")],
)
def test_missing_parts_are_errors(input_ids, match):
    prompt = Prompt(text="<image> abc :", question_start=8, question_end=11, is_image_first=True)
    offsets = np.array([[0, 7], [0, 0], [20, 20], [20, 21]])
    with pytest.raises(SampleError, match=match):
        find_groups(prompt, np.array(input_ids), offsets, 0, image_token_id=9)
