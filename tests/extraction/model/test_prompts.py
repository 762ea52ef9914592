"""Templates and where the question stands in them."""

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from extraction.errors import SampleError
from extraction.model.families import FAMILIES
from extraction.model.prompts import TEMPLATES, render_prompt, resolve_template
from tests.extraction.random_models import random_llava

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


IN_TURN = "{% for m in messages %}[INST] {% for part in m['content'] %}"
OUT_OF_TURN = "{% endfor %} [/INST]{% endfor %}"
SHOWN = "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text']FILTER }}{% endif %}"


class WithTemplate:
    """A processor with a chat template."""

    def __init__(self, template):
        self._template = ImmutableSandboxedEnvironment().from_string(template)

    def apply_chat_template(self, messages, add_generation_prompt):
        return self._template.render(messages=messages, add_generation_prompt=add_generation_prompt)


def chat_template(filter_):
    return WithTemplate(IN_TURN + SHOWN.replace("FILTER", filter_) + OUT_OF_TURN)


@pytest.mark.parametrize("filter_", ["", " | trim", " | string"])
def test_chat_templates_that_leave_the_question_as_it_is(filter_):
    assert resolve_template("chat", chat_template(filter_), LLAVA) == "[INST] <image>{q} [/INST]"


@pytest.mark.parametrize(
    ("filter_", "match"),
    [
        (" | upper", "changes the text of the question, .* to .*WHAT  IS"),
        (" | lower", "changes the text of the question"),
        (" | capitalize", "changes the text of the question"),
        (" | title", "changes the text of the question"),
        (" | escape", "changes the text of the question"),
        (".split() | join(' ')", "changes the text of the question"),
        (".replace('?', '')", "changes the text of the question"),
        (" * 2", "writes the question 2 times"),
        (" | truncate(0, True, '')", "leaves the question out"),
    ],
)
def test_chat_templates_that_change_the_question(filter_, match):
    with pytest.raises(ValueError, match=rf"template 'chat' .*{match}.*by --template"):
        resolve_template("chat", chat_template(filter_), LLAVA)


@pytest.mark.parametrize(
    ("template", "match"),
    [
        ("{% for m in messages %}{{ '[INST] ' + m['content'] }}{% endfor %}", "fails .TypeError"),  # wants one text
        ("{% for m in messages %}{{ m['content'] | trim }} A:{% endfor %}", "writes '<image>' for the image"),
        ("{{ messages[0].content[1].text }} A:", "writes '<image>' for the image"),
        ("{{ messages[1]['content'] }}", "fails .UndefinedError"),
        ("{{ messages[0]['role'] / 2 }}", "fails .TypeError"),
    ],
)
def test_chat_templates_that_take_no_image(template, match):
    with pytest.raises(ValueError, match=rf"template 'chat' .*{match}.*by --template"):
        resolve_template("chat", WithTemplate(template), LLAVA)


def test_a_processor_without_a_chat_template():
    processor = random_llava().processor
    processor.chat_template = processor.tokenizer.chat_template = None
    with pytest.raises(ValueError, match=r"template.*'chat'.*\(ValueError: .*by --template"):
        resolve_template("chat", processor, LLAVA)
    processor.chat_template = IN_TURN + SHOWN.replace("FILTER", "") + OUT_OF_TURN
    assert resolve_template("chat", processor, LLAVA) == "[INST] <image>{q} [/INST]"


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
