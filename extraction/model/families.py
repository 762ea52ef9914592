"""Families of vision-language models that can be extracted: what differs between them, as one table."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Family:
    """How to load a family of models and where its parts are.

    Any model whose image tokens stand in the stream of a causal decoder fits: blocks that take `position_embeddings`
    and an attention mask, and a processor that writes one token a place.

    Attributes:
        model_type: `config.model_type` of its checkpoints.
        title: Name for messages.
        model_class: Class in transformers.
        processor_class: Class in transformers, or in `extraction.model.processors`.
        image_mark: What the processor replaces by the image's tokens; exactly once in a prompt.
        image_text: What `<image>` in a template becomes; holds the mark.
        decoder: Where the decoder may be, as paths of attributes; the first that exists is taken.
        has_own_positions: Whether the model works out its positions itself, as with rotations in three axes; otherwise
            tokens are counted from the first one that is no padding.
    """

    model_type: str
    title: str
    model_class: str
    processor_class: str
    image_mark: str = "<image>"
    image_text: str = "<image>"
    decoder: tuple[tuple[str, ...], ...] = (("model", "language_model"), ("language_model", "model"))
    has_own_positions: bool = False


# LLaVA-1.6 on Vicuna, Mistral or Llama 3 is one family: the decoders differ in their configuration alone.
FAMILIES = {
    family.model_type: family
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
            image_mark="<|image_pad|>",
            image_text="<|vision_start|><|image_pad|><|vision_end|>",
            has_own_positions=True,
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
    "llava_onevision": "LLaVA-OneVision",
    "qwen2_5_vl": "Qwen2.5-VL",
    "qwen3_vl": "Qwen3-VL",
    "smolvlm": "SmolVLM2",
    "video_llava": "Video-LLaVA",
    "vipllava": "ViP-LLaVA",
}


def family_of(model_type: str, name: str) -> Family:
    """Find the family of a model.

    Raises:
        ValueError: If there is none.
    """
    if model_type not in FAMILIES:
        known = ", ".join(f"{family.title} ({family.model_type!r})" for family in FAMILIES.values())
        title = f"{_RELATIVES[model_type]} ({model_type!r})" if model_type in _RELATIVES else repr(model_type)
        raise ValueError(
            f"model {name!r} is of the family {title}, which is not supported; wanted one of {known}. "
            "A family whose image tokens stand in the stream of a causal decoder takes one entry in "
            "extraction/model/families.py."
        )
    return FAMILIES[model_type]
