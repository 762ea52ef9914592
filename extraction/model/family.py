"""What differs between families of vision-language models."""

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Any

CAUSAL, BIDIRECTIONAL_IMAGE, BIDIRECTIONAL_PROMPT = ATTENTION_RULES = (
    "causal",
    "bidirectional image",
    "bidirectional prompt",
)
"""Which tokens of a prompt attend to which: every token to earlier ones, in addition tokens of one image to each other,
or all tokens to all."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """How to load a family of models and where its parts are.

    Any model whose image tokens are part of the sequence of its decoder fits: blocks that take `position_embeddings`
    and an attention mask, and a processor that writes one token per image feature.

    Attributes:
        model_type: `config.model_type` of its checkpoints.
        vision_type: `config.vision_config.model_type`, if families of one model type differ in their vision towers.
        title: Name for messages.
        model_class: Class in transformers, or "package.module:Class".
        processor_class: Class in transformers, in `extraction.model.own_processors`, or "package.module:Class".
        image_mark: What the processor replaces by the image's tokens; exactly once in a prompt.
        image_text: What `<image>` in a template becomes; contains the mark.
        image_token: Token at the positions of the image, if it is not the mark.
        decoder: Where the decoder may be, as paths of attributes; the first that exists is taken.
        has_own_positions: Whether the model works out its positions itself, as with rotations in three axes; otherwise
            tokens are counted from the first one that is no padding.
        first_position: The number of the first token, if tokens are counted.
        attention: Which tokens of a prompt attend to which, one of `ATTENTION_RULES`.
        caps_logits: Whether logits are capped where the decoder's configuration has `final_logit_softcapping`.
        token_inputs: What the model takes of the processor besides tokens, one value per token.
    """

    model_type: str
    title: str
    vision_type: str = ""
    model_class: str
    processor_class: str
    image_mark: str = "<image>"
    image_text: str = "<image>"
    image_token: str = ""
    decoder: tuple[tuple[str, ...], ...] = (("model", "language_model"), ("language_model", "model"))
    has_own_positions: bool = False
    first_position: int = 0
    attention: str = CAUSAL
    caps_logits: bool = False
    token_inputs: tuple[str, ...] = ("mm_token_type_ids",)

    def __post_init__(self) -> None:
        if self.image_mark not in self.image_text:
            raise ValueError(f"image_text must contain image_mark {self.image_mark!r}, got {self.image_text!r}.")
        if self.attention not in ATTENTION_RULES:
            raise ValueError(f"attention must be one of {ATTENTION_RULES}, got {self.attention!r}.")
        if not self.decoder or not all(isinstance(path, tuple) and path for path in self.decoder):
            raise ValueError(
                f"decoder must be paths of attributes, such as (('model', 'language_model'),), got {self.decoder!r}."
            )

    @property
    def key(self) -> str:
        """Name in the table of families."""
        return f"{self.model_type}+{self.vision_type}" if self.vision_type else self.model_type


def find_class(name: str) -> Any:
    """Find a class of transformers by its name, or one of any installed package by "package.module:Class".

    Raises:
        ValueError: If there is none.
    """
    module, _, attribute = name.rpartition(":")
    try:
        return getattr(import_module(module or "transformers"), attribute)
    except (ImportError, AttributeError) as error:
        where = f"module {module!r}" if module else f"transformers {version('transformers')}"
        raise ValueError(
            f"{where} has no class {attribute!r} ({error}): install a version that has it, or correct the entry of its "
            "family."
        ) from error
