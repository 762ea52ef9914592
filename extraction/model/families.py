"""Families of vision-language models that can be extracted: what differs between them, as one table."""

from dataclasses import dataclass
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
        model_class: Class in transformers.
        processor_class: Class in transformers, or in `extraction.model.own_processors`.
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

    @property
    def key(self) -> str:
        """Name in the table of families."""
        return f"{self.model_type}+{self.vision_type}" if self.vision_type else self.model_type


_OF_QWEN: Any = {
    "image_mark": "<|image_pad|>",
    "image_text": "<|vision_start|><|image_pad|><|vision_end|>",
    "has_own_positions": True,
}

# LLaVA-1.6 on Vicuna, Mistral or Llama 3 is one family: the decoders differ in their configuration alone.
FAMILIES = {
    family.key: family
    for family in (
        Family(
            model_type="llava",
            title="LLaVA-1.5",
            model_class="LlavaForConditionalGeneration",
            processor_class="LlavaProcessor",
        ),
        Family(
            model_type="llava_next",
            title="LLaVA-1.6",
            model_class="LlavaNextForConditionalGeneration",
            processor_class="LlavaNextProcessor",
        ),
        Family(
            model_type="qwen2_vl",
            title="Qwen2-VL",
            model_class="Qwen2VLForConditionalGeneration",
            processor_class="ImageOnlyQwen2VLProcessor",
            **_OF_QWEN,
        ),
        Family(
            model_type="qwen2_5_vl",
            title="Qwen2.5-VL",
            model_class="Qwen2_5_VLForConditionalGeneration",
            processor_class="ImageOnlyQwen2_5_VLProcessor",
            **_OF_QWEN,
        ),
        Family(
            model_type="qwen3_vl",
            title="Qwen3-VL",
            model_class="Qwen3VLForConditionalGeneration",
            processor_class="ImageOnlyQwen3VLProcessor",
            **_OF_QWEN,
        ),
        Family(
            model_type="internvl",
            title="InternVL3",
            model_class="InternVLForConditionalGeneration",
            processor_class="ImageOnlyInternVLProcessor",
            image_mark="<IMG_CONTEXT>",
            image_text="<IMG_CONTEXT>",
        ),
        Family(
            model_type="llava_onevision",
            title="LLaVA-OneVision",
            model_class="LlavaOnevisionForConditionalGeneration",
            processor_class="ImageOnlyLlavaOnevisionProcessor",
        ),
        Family(
            model_type="mistral3",
            title="Mistral Small 3.1 and later",
            model_class="Mistral3ForConditionalGeneration",
            processor_class="ImageOnlyPixtralProcessor",
            image_mark="[IMG]",
            image_text="[IMG]",
        ),
        Family(
            model_type="llava",
            vision_type="pixtral",
            title="Pixtral",
            model_class="LlavaForConditionalGeneration",
            processor_class="ImageOnlyPixtralProcessor",
            image_mark="[IMG]",
            image_text="[IMG]",
        ),
        Family(
            model_type="gemma3",
            title="Gemma 3",
            model_class="Gemma3ForConditionalGeneration",
            processor_class="Gemma3Processor",
            image_mark="<start_of_image>",
            image_text="<start_of_image>",
            image_token="<image_soft_token>",
            attention=BIDIRECTIONAL_IMAGE,
            token_inputs=("token_type_ids",),
        ),
        Family(
            model_type="paligemma",
            title="PaliGemma",
            model_class="PaliGemmaForConditionalGeneration",
            processor_class="PlainPaliGemmaProcessor",
            image_text="<image><bos>",
            first_position=1,
            attention=BIDIRECTIONAL_PROMPT,
            caps_logits=True,
            token_inputs=("token_type_ids",),
        ),
        Family(
            model_type="smolvlm",
            title="SmolVLM2",
            model_class="SmolVLMForConditionalGeneration",
            processor_class="ImageOnlySmolVLMProcessor",
            decoder=(("model", "text_model"),),
        ),
        Family(
            model_type="idefics3",
            title="Idefics3 and the first SmolVLM",
            model_class="Idefics3ForConditionalGeneration",
            processor_class="Idefics3Processor",
            decoder=(("model", "text_model"),),
        ),
    )
}


# Relatives of these families that their names may be mistaken for, by `config.model_type`.
_RELATIVES = {
    "idefics2": "Idefics2",
    "llava_next_video": "LLaVA-NeXT-Video",
    "video_llava": "Video-LLaVA",
    "vipllava": "ViP-LLaVA",
}


def family_of(config: Any, name: str) -> Family:
    """Find the family of a model.

    Args:
        config: Its configuration.
        name: The model, for messages.

    Raises:
        ValueError: If there is none.
    """
    model_type = str(getattr(config, "model_type", None))
    vision_type = getattr(getattr(config, "vision_config", None), "model_type", "")
    family = FAMILIES.get(f"{model_type}+{vision_type}") or FAMILIES.get(model_type)
    if family is None:
        known = ", ".join(f"{family.title} ({family.model_type!r})" for family in FAMILIES.values())
        title = f"{_RELATIVES[model_type]} ({model_type!r})" if model_type in _RELATIVES else repr(model_type)
        raise ValueError(
            f"model {name!r} is of the family {title}, which is not supported; wanted one of {known}. "
            "A family whose image tokens stand in the stream of a causal decoder takes one entry in "
            "extraction/model/families.py."
        )
    return family
