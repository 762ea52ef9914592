"""The five groups partition the tokens, and the question is exactly the question."""

import pytest
import torch

from extraction.batch import make_batch, prepare_sample
from extraction.edges import GROUPS
from extraction.errors import SampleError
from extraction.prompts import TEMPLATES, Prompt
from extraction.spans import find_groups


def test_groups_partition_the_tokens(batch):
    total = sum(getattr(batch.groups, name).int() for name in GROUPS)
    assert torch.equal(total, batch.inputs["attention_mask"].int())


@pytest.mark.parametrize("template", [TEMPLATES["plain"], TEMPLATES["vicuna_v1"], "{q} USER: <image> ASSISTANT:"])
def test_question_decodes_to_the_question(vlm, samples, template):
    made = make_batch(vlm, [prepare_sample(sample, template) for sample in samples])
    for i, sample in enumerate(samples):
        ids = made.inputs["input_ids"][i][made.groups.question[i]]
        assert vlm.processor.tokenizer.decode(ids).split() == sample.question.split()


def test_image_positions_are_the_image_tokens(vlm, batch):
    assert torch.equal(batch.groups.image, batch.inputs["input_ids"] == vlm.image_token_id)
    assert (batch.groups.image.sum(dim=1) >= 16).all()


def test_last_is_the_last_position_and_not_the_question(batch):
    assert batch.groups.last[:, -1].all()
    assert (batch.groups.last.sum(dim=1) == 1).all()


def test_system_stands_before_and_suffix_behind_the_question(batch):
    positions = torch.arange(batch.length)
    for i in range(2):
        question = positions[batch.groups.question[i]]
        assert (positions[batch.groups.system[i]] < question.min()).all()
        assert (positions[batch.groups.suffix[i]] > question.max()).all()


def test_groups_do_not_depend_on_padding(vlm, samples, template, batch):
    short = min(range(2), key=lambda i: int(batch.inputs["attention_mask"][i].sum()))
    alone = make_batch(vlm, [prepare_sample(samples[short], template)])
    assert alone.length < batch.length
    for name in GROUPS:
        padded = getattr(batch.groups, name)[short][batch.length - alone.length :]
        assert torch.equal(padded, getattr(alone.groups, name)[0])


@pytest.mark.parametrize(
    ("input_ids", "match"),
    [([[1, 5, 6, 7]], "no image token"), ([[9, 5, 9, 9]], "no token of the question")],
)
def test_missing_parts_are_errors(input_ids, match):
    prompt = Prompt(text="<image> abc :", question_start=8, question_end=11)
    offsets = torch.tensor([[[0, 7], [0, 0], [20, 20], [20, 21]]])
    with pytest.raises(SampleError, match=match):
        find_groups([prompt], torch.tensor(input_ids), torch.ones(1, 4), offsets, image_token_id=9)
