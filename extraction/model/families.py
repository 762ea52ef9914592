"""Families of vision-language models that can be extracted, as one table, and further ones that users add."""

from typing import Any

from extraction.model.family import BIDIRECTIONAL_IMAGE, BIDIRECTIONAL_PROMPT, Family

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
            title="Mistral 3",
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


BUILT_IN = frozenset(FAMILIES)
"""The families that pid_jax comes with."""

# Relatives of these families that their names may be mistaken for, by `config.model_type`.
_RELATIVES = {
    "idefics2": "Idefics2",
    "llava_next_video": "LLaVA-NeXT-Video",
    "video_llava": "Video-LLaVA",
    "vipllava": "ViP-LLaVA",
}
# Families that cannot be extracted by an entry in the table: title and reason.
_REFUSED = {
    "mllama": (
        "Llama 3.2 Vision",
        "its image is no part of the sequence of tokens: some blocks read it by cross-attention. So no position has "
        "states of the image, and what flows from the image to the question could be cut in the masks of "
        "cross-attention only, which knockouts do not reach; Question→Last is the only edge that they could cut",
    ),
}


class UnknownFamilyError(ValueError):
    """A model of a family that is not supported.

    Attributes:
        is_refused: Whether no entry would help.
        report: What was looked for, and an entry to fill in, as lines.
    """

    is_refused: bool = False
    report: str = ""


def register_family(family: Family) -> None:
    """Let models of a further family be loaded and extracted.

    Nothing else differs from families that pid_jax knows: what cannot work is found by the same self-tests, before
    anything is written. `pid-extract check MODEL --family FILE.toml` runs them alone.

    Args:
        family: The family; every process that loads a model of it registers it first.

    Raises:
        TypeError: If it is no `Family`.
        ValueError: If another family of this model type is known.

    Example:
        >>> from extraction import Family, register_family
        >>> register_family(
        ...     Family(
        ...         model_type="aya_vision",
        ...         title="Aya Vision",
        ...         model_class="AyaVisionForConditionalGeneration",
        ...         processor_class="AyaVisionProcessor",
        ...     )
        ... )
    """
    if not isinstance(family, Family):
        raise TypeError(f"family must be Family(...), got {type(family).__name__}.")
    known = FAMILIES.get(family.key)
    if known not in (None, family):
        raise ValueError(
            f"family has the model_type {family.key!r}, which is that of {known.title}: a family that is known cannot "
            "be replaced."
        )
    FAMILIES[family.key] = family


def family_of(config: Any, name: str) -> Family:
    """Find the family of a model.

    Args:
        config: Its configuration.
        name: The model, for messages.

    Raises:
        UnknownFamilyError: If there is none.
    """
    model_type = str(getattr(config, "model_type", None))
    vision_type = getattr(getattr(config, "vision_config", None), "model_type", "")
    family = FAMILIES.get(f"{model_type}+{vision_type}") or FAMILIES.get(model_type)
    if family is not None:
        return family
    if model_type in _REFUSED:
        title, reason = _REFUSED[model_type]
        refusal = UnknownFamilyError(
            f"model {name!r} is of the family {title} ({model_type!r}), refused since {reason}."
        )
        refusal.is_refused = True
        raise refusal
    known = ", ".join(f"{family.title} ({family.model_type!r})" for family in FAMILIES.values())
    title = f"{_RELATIVES[model_type]} ({model_type!r})" if model_type in _RELATIVES else repr(model_type)
    raise UnknownFamilyError(
        f"model {name!r} is of the family {title}, which is not supported; wanted one of {known}. A family whose image "
        "tokens are part of the sequence of its decoder takes one entry: give it by --family FILE.toml, or in Python "
        "by extraction.register_family; `pid-extract check` prints one to fill in."
    )
