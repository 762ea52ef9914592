"""Prompt templates: text with one image and one question, and where the question stands in it."""

import re
from dataclasses import dataclass
from typing import Any

from extraction.errors import SampleError, shown
from extraction.model.family import Family

IMAGE = "<image>"
QUESTION = "{q}"
_SHORT = "Answer the question using a single word or phrase."
TEMPLATES = {
    "plain": "USER: <image>\n{q} ASSISTANT:",
    "vicuna_v1": (
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
        f"detailed, and polite answers to the user's questions. USER: <image>\n{{q}} \n{_SHORT} ASSISTANT:"
    ),
    "mistral": f"[INST] <image>\n{{q}}\n{_SHORT} [/INST]",
    "llama_3": (
        "<|start_header_id|>user<|end_header_id|>\n\n<image>\n{q}\n"
        f"{_SHORT}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    ),
    "paligemma": "<image>answer en {q}\n",
    "chatml": f"<|im_start|>user\n<image>\n{{q}}\n{_SHORT}<|im_end|>\n<|im_start|>assistant\n",
}
# Stands for the question in a chat template; any change of case, blanks or signs shows.
_SENTINEL = "\u2983wHat  Is <this> & 'that' ?\u2984"
_BY_TEXT = "write the prompt out by --template, as a text such as 'USER: <image>\\n{q} ASSISTANT:'"


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt and the characters [question_start, question_end) of the question in it.

    Attributes:
        text: The prompt, with the mark that the processor replaces by image tokens.
        question_start: First character of the question.
        question_end: The character after it.
        is_image_first: Whether the image stands before the question.
    """

    text: str
    question_start: int
    question_end: int
    is_image_first: bool

    @property
    def question(self) -> str:
        """The question in it."""
        return self.text[self.question_start : self.question_end]


def resolve_template(template: str, processor: Any, family: Family) -> str:
    """Return the text of a template, with `{q}` for the question and the family's mark for the image.

    Args:
        template: A name of `TEMPLATES`, "chat" for the processor's own chat template, or the text itself, with
            `<image>` for the image.
        processor: The model's processor, asked only for "chat".
        family: The model's family.

    Raises:
        ValueError: If the text lacks the image or the question, or repeats them, or ends with the question; if a chat
            template fails, or changes the question.
    """
    text = _chat_template(processor, family) if template == "chat" else TEMPLATES.get(template, template)
    if family.image_text not in text:
        text = text.replace(IMAGE, family.image_text)
    for part in (family.image_mark, QUESTION):
        if text.count(part) != 1:
            raise ValueError(
                f"template must hold {part!r} exactly once, got {text!r}. Use one of {sorted(TEMPLATES)}, 'chat', or a "
                "text such as 'USER: <image>\\n{q} ASSISTANT:'."
            )
    if text.rstrip(" ").endswith((QUESTION, family.image_mark)):
        raise ValueError(
            f"template must go on after the question and the image, got {text!r}: the last position is the one that "
            "decides the answer and must not belong to either. Add for example ' ASSISTANT:'."
        )
    return text


def render_prompt(template: str, question: str, family: Family, marks: frozenset[str] = frozenset()) -> Prompt:
    """Put a question into a template.

    Args:
        template: A resolved template.
        question: The question; blanks around it are dropped.
        family: The model's family.
        marks: Special tokens of the tokenizer; a question must not hold any.

    Raises:
        SampleError: If the question is empty, holds a mark, or half of a surrogate pair.
    """
    question = question.strip()
    if not question:
        raise SampleError("prompt", "the question is empty: give it a text or leave the sample out")
    for mark in (IMAGE, family.image_mark):
        if mark in question:
            raise SampleError("prompt", f"the question holds {mark!r}, which stands for the image: remove it")
    if any("\ud800" <= letter <= "\udfff" for letter in question):
        raise SampleError("prompt", "the question holds half of a surrogate pair, which is no text: remove it")
    if found := [mark for mark in sorted(marks) if mark in question]:
        raise SampleError("prompt", f"the question holds {found[0]!r}, a special token of the model: remove it")
    start = template.index(QUESTION)
    return Prompt(
        text=template.replace(QUESTION, question),
        question_start=start,
        question_end=start + len(question),
        is_image_first=template.index(family.image_mark) < start,
    )


def _chat_template(processor: Any, family: Family) -> str:
    """Read a template off the processor's chat template.

    Raises:
        ValueError: If the chat template fails, leaves out the image, or does not show the question once and unchanged.
    """
    content = [{"type": "image"}, {"type": "text", "text": _SENTINEL}]
    try:
        text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    except Exception as error:  # a chat template is a program that comes with the checkpoint
        raise ValueError(
            "template 'chat' needs a chat template that takes a list of an image and a text, but the processor's fails "
            f"({type(error).__name__}: {shown(error)}): {_BY_TEXT}."
        ) from error
    if not (family.image_mark in text or IMAGE in text):
        raise ValueError(
            f"template 'chat' needs a chat template that writes {family.image_mark!r} for the image, got "
            f"{shown(text)!r}: {_BY_TEXT}."
        )
    if (count := text.count(_SENTINEL)) != 1:
        changed = re.search(f"{_SENTINEL[0]}.*?{_SENTINEL[-1]}", text, re.DOTALL)
        what = f"writes the question {count} times" if count else "leaves the question out"
        if not count and changed:
            what = f"changes the text of the question, {_SENTINEL!r} to {changed[0]!r}"
        raise ValueError(f"template 'chat' cannot be used, since the chat template {what}: {_BY_TEXT}.")
    return text.replace(_SENTINEL, QUESTION)
