"""Families of 2025 with random weights: genuine classes, small sizes."""

import transformers

from extraction.model import own_processors
from extraction.model.load import VisionLanguageModel
from tests.extraction.random_models import build_tokenizer, finish, seeded, text_config

_QWEN_MARKS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
_ROPE = {"rope_type": "default", "rope_theta": 1e4}
_SIGLIP = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 8,
}


def _qwen(tokenizer, config_class, text, vision):
    start, end, image, video = (tokenizer.convert_tokens_to_ids(mark) for mark in _QWEN_MARKS)
    return config_class(
        text_config=text.to_dict(),
        vision_config=vision,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )


def _qwen_images(patch_size: int):
    return transformers.Qwen2VLImageProcessorPil(min_pixels=16 * 16, max_pixels=40 * 40, patch_size=patch_size)


@seeded(0)
def random_qwen2_5_vl() -> VisionLanguageModel:
    """Qwen2.5-VL: windows in the vision tower."""
    tokenizer = build_tokenizer(*_QWEN_MARKS, image="<|image_pad|>")
    text = text_config(
        tokenizer, transformers.Qwen2_5_VLTextConfig, rope_parameters={**_ROPE, "mrope_section": [1, 1, 2]}
    )
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 4,
        "out_hidden_size": 48,
        "patch_size": 4,
        "window_size": 16,
        "fullatt_block_indexes": [1],
    }
    config = _qwen(tokenizer, transformers.Qwen2_5_VLConfig, text, vision)
    processor = own_processors.ImageOnlyQwen2_5_VLProcessor(_qwen_images(4), tokenizer)
    return finish(transformers.Qwen2_5_VLForConditionalGeneration(config), processor)


@seeded(0)
def random_qwen3_vl() -> VisionLanguageModel:
    """Qwen3-VL: features of the vision tower are added to the states after its first blocks (DeepStack)."""
    tokenizer = build_tokenizer(*_QWEN_MARKS, image="<|image_pad|>")
    rope = {**_ROPE, "mrope_section": [1, 1, 2], "mrope_interleaved": True}
    text = text_config(tokenizer, transformers.Qwen3VLTextConfig, head_dim=8, rope_parameters=rope)
    vision = {
        "depth": 3,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 4,
        "out_hidden_size": 48,
        "patch_size": 4,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1, 2],
    }
    config = _qwen(tokenizer, transformers.Qwen3VLConfig, text, vision)
    processor = own_processors.ImageOnlyQwen3VLProcessor(_qwen_images(4), tokenizer)
    return finish(transformers.Qwen3VLForConditionalGeneration(config), processor)


@seeded(1)
def random_internvl() -> VisionLanguageModel:
    """InternVL3: an image is cut into tiles of equal size."""
    marks = ("<img>", "</img>", "<IMG_CONTEXT>", "<video>")
    tokenizer = build_tokenizer(
        *marks,
        image="<IMG_CONTEXT>",
        start_image_token=marks[0],
        end_image_token=marks[1],
        context_image_token=marks[2],
        video_token=marks[3],
    )
    config = transformers.InternVLConfig(
        vision_config={**_SIGLIP, "image_size": [32, 32], "patch_size": [4, 4]},
        text_config=text_config(tokenizer, transformers.Qwen2Config).to_dict(),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=16,
    )
    images = transformers.GotOcr2ImageProcessorPil(
        size={"height": 32, "width": 32}, crop_to_patches=True, min_patches=1, max_patches=4
    )
    processor = own_processors.ImageOnlyInternVLProcessor(images, tokenizer, image_seq_length=16)
    return finish(transformers.InternVLForConditionalGeneration(config), processor)


@seeded(0)
def random_llava_onevision() -> VisionLanguageModel:
    """LLaVA-OneVision: tiles as in LLaVA-1.6, features of large images are interpolated."""
    tokenizer = build_tokenizer("<video>", video_token="<video>")
    pinpoints = [[32, 32], [32, 64], [64, 32], [64, 64]]
    config = transformers.LlavaOnevisionConfig(
        vision_config={"model_type": "siglip_vision_model", **_SIGLIP},
        text_config=text_config(tokenizer, transformers.Qwen2Config).to_dict(),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    images = transformers.LlavaOnevisionImageProcessorPil(
        size={"height": 32, "width": 32}, image_grid_pinpoints=pinpoints
    )
    processor = own_processors.ImageOnlyLlavaOnevisionProcessor(
        images, tokenizer, num_image_tokens=16, vision_feature_select_strategy="full"
    )
    return finish(transformers.LlavaOnevisionForConditionalGeneration(config), processor)


_PIXTRAL_MARKS = ("[IMG]", "[IMG_BREAK]", "[IMG_END]")
_PIXTRAL = {
    "model_type": "pixtral",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 64,
    "patch_size": 4,
}


def _mistral3(decoder, **more) -> VisionLanguageModel:
    tokenizer = build_tokenizer(*_PIXTRAL_MARKS, image="[IMG]")
    config = transformers.Mistral3Config(
        vision_config=_PIXTRAL,
        text_config=text_config(tokenizer, decoder, head_dim=8, **more).to_dict(),
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        spatial_merge_size=2,
        vision_feature_layer=-1,
    )
    images = transformers.PixtralImageProcessorPil(size={"longest_edge": 40}, patch_size=8)
    processor = own_processors.ImageOnlyPixtralProcessor(images, tokenizer, patch_size=4, spatial_merge_size=2)
    return finish(transformers.Mistral3ForConditionalGeneration(config), processor)


@seeded(0)
def random_mistral3() -> VisionLanguageModel:
    """Mistral Small 3.1: images of any shape, marks of rows between their tokens."""
    return _mistral3(transformers.MistralConfig)


@seeded(0)
def random_ministral3() -> VisionLanguageModel:
    """Ministral 3: queries are scaled by their positions."""
    rope = {**_ROPE, "llama_4_scaling_beta": 0.1, "original_max_position_embeddings": 16}
    return _mistral3(transformers.Ministral3Config, rope_parameters=rope)


@seeded(0)
def random_smolvlm() -> VisionLanguageModel:
    """SmolVLM2: as Idefics3, with a processor of its own."""
    marks = ("<fake_token_around_image>", "<end_of_utterance>", "<global-img>", "<video>")
    places = [f"<row_{i + 1}_col_{j + 1}>" for i in range(6) for j in range(6)]
    tokenizer = build_tokenizer(*marks, *places)
    config = transformers.SmolVLMConfig(
        vision_config={**_SIGLIP, "patch_size": 4},
        text_config=text_config(tokenizer).to_dict(),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
    )
    images = transformers.SmolVLMImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    processor = own_processors.ImageOnlySmolVLMProcessor(images, tokenizer, image_seq_len=16)
    return finish(transformers.SmolVLMForConditionalGeneration(config), processor)


@seeded(0)
def random_pixtral() -> VisionLanguageModel:
    """Pixtral: a LLaVA with another tower, whose images have any shape."""
    tokenizer = build_tokenizer(*_PIXTRAL_MARKS, image="[IMG]")
    config = transformers.LlavaConfig(
        vision_config=_PIXTRAL,
        text_config=text_config(tokenizer, transformers.MistralConfig, head_dim=8).to_dict(),
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    images = transformers.PixtralImageProcessorPil(size={"longest_edge": 32}, patch_size=4)
    processor = own_processors.ImageOnlyPixtralProcessor(images, tokenizer, patch_size=4)
    return finish(transformers.LlavaForConditionalGeneration(config), processor)


@seeded(0)
def random_gemma3() -> VisionLanguageModel:
    """Gemma 3: tokens of an image attend to each other; blocks with a window have rotations of their own."""
    marks = ("<start_of_image>", "<end_of_image>", "<image_soft_token>")
    tokenizer = build_tokenizer(*marks, image=marks[2], boi_token=marks[0], eoi_token=marks[1])
    kinds = ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention", "full_attention"]
    config = transformers.Gemma3Config(
        vision_config={"model_type": "siglip_vision_model", **_SIGLIP},
        text_config=text_config(
            tokenizer, transformers.Gemma3TextConfig, head_dim=8, layer_types=kinds, sliding_window=256
        ).to_dict(),
        mm_tokens_per_image=16,
        image_token_index=tokenizer.convert_tokens_to_ids(marks[2]),
        boi_token_index=tokenizer.convert_tokens_to_ids(marks[0]),
        eoi_token_index=tokenizer.convert_tokens_to_ids(marks[1]),
    )
    images = transformers.Gemma3ImageProcessorPil(size={"height": 32, "width": 32})
    processor = transformers.Gemma3Processor(images, tokenizer, image_seq_length=16)
    return finish(transformers.Gemma3ForConditionalGeneration(config), processor)


def _paligemma(decoder, **more) -> VisionLanguageModel:
    tokenizer = build_tokenizer("<bos>")
    image_id = tokenizer.convert_tokens_to_ids("<image>")
    images = transformers.SiglipImageProcessorPil(size={"height": 32, "width": 32}, image_seq_length=16)
    processor = own_processors.PlainPaliGemmaProcessor(images, tokenizer)
    config = transformers.PaliGemmaConfig(
        vision_config={"model_type": "siglip_vision_model", **_SIGLIP, "projection_dim": 48},
        text_config=text_config(tokenizer, decoder, head_dim=8, tie_word_embeddings=False, **more).to_dict(),
        image_token_index=image_id,
        projection_dim=48,
        hidden_size=48,
        tie_word_embeddings=False,
    )
    model = transformers.PaliGemmaForConditionalGeneration._from_config(
        config, attn_implementation="eager" if decoder is transformers.Gemma2Config else "sdpa"
    )
    return finish(model, processor)


@seeded(0)
def random_paligemma() -> VisionLanguageModel:
    """PaliGemma: all tokens of the prompt attend to each other."""
    return _paligemma(transformers.GemmaConfig)


@seeded(0)
def random_paligemma2() -> VisionLanguageModel:
    """PaliGemma 2: its decoder caps the logits of attention, which sdpa cannot do."""
    return _paligemma(transformers.Gemma2Config, sliding_window=256)


RANDOM_FAMILIES = {
    "pixtral": random_pixtral,
    "gemma3": random_gemma3,
    "paligemma": random_paligemma,
    "paligemma2": random_paligemma2,
    "qwen2_5_vl": random_qwen2_5_vl,
    "qwen3_vl": random_qwen3_vl,
    "internvl": random_internvl,
    "llava_onevision": random_llava_onevision,
    "mistral3": random_mistral3,
    "ministral3": random_ministral3,
    "smolvlm": random_smolvlm,
}
