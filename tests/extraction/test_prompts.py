"""Templates and where the question stands in them."""

import pytest

from extraction.errors import SampleError
from extraction.families import FAMILIES
from extraction.prompts import TEMPLATES, render_prompt, resolve_template

LLAVA, QWEN = FAMILIES["llava"], FAMILIES["qwen2_vl"]


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_question_span(name):
    prompt = render_prompt(TEMPLATES[name], "  what is this ?\n", LLAVA)
    assert prompt.text[prompt.question_start : prompt.question_end] == "what is this ?"
    assert prompt.text.count("<image>") == 1


def test_names_resolve_and_texts_stay():
    assert resolve_template("vicuna_v1", None, LLAVA) == TEMPLATES["vicuna_v1"]
    assert resolve_template("X <image> {q} Y", None, LLAVA) == "X <image> {q} Y"


def test_chat_template_of_the_processor():
    class Processor:
        def apply_chat_template(self, messages, add_generation_prompt):
            assert add_generation_prompt
            text = next(part["text"] for part in messages[0]["content"] if part["type"] == "text")
            return f"[INST] <image>\n{text} [/INST]"

    assert resolve_template("chat", Processor(), LLAVA) == "[INST] <image>\n{q} [/INST]"


@pytest.mark.parametrize(
    "text", ["{q} ASSISTANT:", "<image> ASSISTANT:", "<image> {q} {q} A:", "<image> <image> {q} A:"]
)
def test_each_part_once(text):
    with pytest.raises(ValueError, match="exactly once"):
        resolve_template(text, None, LLAVA)


@pytest.mark.parametrize("text", ["USER: <image> {q}", "{q} <image> "])
def test_something_must_follow(text):
    with pytest.raises(ValueError, match="must go on after"):
        resolve_template(text, None, LLAVA)


@pytest.mark.parametrize(
    ("question", "match"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("what <image> ?", "stands for the image"),
        ("what </s> ?", "special token"),
        ("\ud800", "surrogate"),
    ],
)
def test_bad_questions(question, match):
    with pytest.raises(SampleError, match=match) as caught:
        render_prompt(TEMPLATES["plain"], question, LLAVA, frozenset({"</s>"}))
    assert caught.value.stage == "prompt"


def test_the_mark_of_the_family_stands_for_the_image():
    text = resolve_template("plain", None, QWEN)
    assert text == "USER: <|vision_start|><|image_pad|><|vision_end|>\n{q} ASSISTANT:"
    assert resolve_template(text, None, QWEN) == text
    with pytest.raises(SampleError, match="stands for the image"):
        render_prompt(text, "is <|image_pad|> red?", QWEN)


def test_a_question_may_hold_the_mark_of_the_question():
    prompt = render_prompt(TEMPLATES["plain"], "what is {q} ?", LLAVA)
    assert prompt.text[prompt.question_start : prompt.question_end] == "what is {q} ?"
