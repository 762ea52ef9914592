"""The five groups partition the tokens, and the question is exactly the question."""

import numpy as np
import pytest
import torch

from extraction.batch import make_batch
from extraction.edges import GROUPS
from extraction.errors import SampleError
from extraction.prompts import TEMPLATES, Prompt
from extraction.spans import find_groups
from tests.extraction.conftest import encoder_of


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
    [([1, 5, 6, 7], "no image token"), ([9, 5, 9, 9], "no token of the question")],
)
def test_missing_parts_are_errors(input_ids, match):
    prompt = Prompt(text="<image> abc :", question_start=8, question_end=11, is_image_first=True)
    offsets = np.array([[0, 7], [0, 0], [20, 20], [20, 21]])
    with pytest.raises(SampleError, match=match):
        find_groups(prompt, np.array(input_ids), offsets, 0, image_token_id=9)
