"""Prompt templates: text with one image and one question, and where the question stands in it."""

from dataclasses import dataclass
from typing import Any

from extraction.errors import SampleError

IMAGE = "<image>"
QUESTION = "{q}"
TEMPLATES = {
    "plain": "USER: <image>\n{q} ASSISTANT:",
    "vicuna_v1": (
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the user's questions. USER: <image>\n{q} \nAnswer the question using a "
        "single word or phrase. ASSISTANT:"
    ),
}
_SENTINEL = "\u2983question\u2984"


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt and the characters [question_start, question_end) of the question in it."""

    text: str
    question_start: int
    question_end: int


def resolve_template(template: str, processor: Any) -> str:
    """Return the text of a template, with `{q}` for the question.

    Args:
        template: A name of `TEMPLATES`, "chat" for the processor's own chat template, or the text itself.
        processor: The model's processor, asked only for "chat".

    Raises:
        ValueError: If the text lacks the image or the question, or repeats them, or ends with the question.
    """
    text = _chat_template(processor) if template == "chat" else TEMPLATES.get(template, template)
    for part in (IMAGE, QUESTION):
        if text.count(part) != 1:
            raise ValueError(
                f"template must hold {part!r} exactly once, got {text!r}. Use one of {sorted(TEMPLATES)}, 'chat', or a "
                "text such as 'USER: <image>\\n{q} ASSISTANT:'."
            )
    if text.rstrip().endswith((QUESTION, IMAGE)):
        raise ValueError(
            f"template must go on after the question and the image, got {text!r}: the last position is the one that "
            "decides the answer and must not belong to either. Add for example ' ASSISTANT:'."
        )
    return text


def render_prompt(template: str, question: str) -> Prompt:
    """Put a question into a template.

    Raises:
        SampleError: If the question is empty, holds the image mark, or half of a surrogate pair.
    """
    question = question.strip()
    if not question:
        raise SampleError("prompt", "the question is empty: give it a text or leave the sample out")
    if IMAGE in question:
        raise SampleError("prompt", f"the question holds {IMAGE!r}, which stands for the image: remove it")
    if any("\ud800" <= letter <= "\udfff" for letter in question):
        raise SampleError("prompt", "the question holds half of a surrogate pair, which is no text: remove it")
    start = template.index(QUESTION)
    return Prompt(text=template.replace(QUESTION, question), question_start=start, question_end=start + len(question))


def _chat_template(processor: Any) -> str:
    content = [{"type": "image"}, {"type": "text", "text": _SENTINEL}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    return text.replace(_SENTINEL, QUESTION)
