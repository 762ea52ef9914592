"""Models with random weights: genuine classes, small sizes, grouped key-value heads; more in random_families.py."""

from functools import wraps

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from extraction.model.load import VisionLanguageModel, wrap_model
from extraction.model.own_processors import ImageOnlyQwen2VLProcessor

WORDS = [
    "<pad>",
    "<s>",
    "</s>",
    "<unk>",
    "<image>",
    "USER",
    ":",
    "ASSISTANT",
    "?",
    ".",
    ",",
    "'",
    "A",
    "a",
    "chat",
    "between",
    "curious",
    "user",
    "and",
    "an",
    "artificial",
    "intelligence",
    "assistant",
    "The",
    "gives",
    "helpful",
    "detailed",
    "polite",
    "answers",
    "to",
    "the",
    "s",
    "questions",
    "Answer",
    "question",
    "using",
    "single",
    "word",
    "or",
    "phrase",
    "what",
    "is",
    "color",
    "of",
    "circle",
    "left",
    "right",
    "Is",
    "there",
    "red",
    "or",
    "blue",
    "thing",
    "on",
    "this",
    "photo",
]
LAYERS = 5


def build_tokenizer(*marks: str, image: str = "<image>", **special: str) -> transformers.PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys([*WORDS, *marks]))}
    words = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    words.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", vocabulary["<s>"])])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": image, **special},
    )
    tokenizer.add_tokens(list(marks), special_tokens=True)
    return tokenizer


def text_config(tokenizer, config_class=transformers.LlamaConfig, **more):
    return config_class(
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=LAYERS,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **more,
    )


def vision_config() -> transformers.CLIPVisionConfig:
    return transformers.CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, image_size=32, patch_size=8
    )


def seeded(seed: int):
    """Make a function without arguments build the same weights in every call."""

    def decorate(build):
        @wraps(build)
        def from_seed() -> VisionLanguageModel:
            torch.manual_seed(seed)
            return build()

        return from_seed

    return decorate


def finish(model, processor) -> VisionLanguageModel:
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.generation_config.pad_token_id = model.config.text_config.pad_token_id
    return wrap_model(model.eval(), processor)


def random_llava(seed: int = 0) -> VisionLanguageModel:
    """LLaVA-1.5: 16 image tokens."""
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    image_id = tokenizer.convert_tokens_to_ids("<image>")
    config = transformers.LlavaConfig(
        vision_config=vision_config(),
        text_config=text_config(tokenizer),
        image_token_index=image_id,
        image_seq_length=16,
        vision_feature_layer=-2,
    )
    size = {"height": 32, "width": 32}
    processor = transformers.LlavaProcessor(
        image_processor=transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=size),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
    )
    return finish(transformers.LlavaForConditionalGeneration(config), processor)


def random_llava_next(seed: int = 0, decoder=transformers.LlamaConfig) -> VisionLanguageModel:
    """LLaVA-1.6: the number of image tokens depends on the shape of the image; decoders differ between variants."""
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    image_id = tokenizer.convert_tokens_to_ids("<image>")
    pinpoints = [[32, 64], [64, 32], [64, 64]]
    config = transformers.LlavaNextConfig(
        vision_config=vision_config(),
        text_config=text_config(tokenizer, decoder),
        image_token_index=image_id,
        image_grid_pinpoints=pinpoints,
        image_seq_length=16,
        vision_feature_layer=-2,
    )
    processor = transformers.LlavaNextProcessor(
        image_processor=transformers.LlavaNextImageProcessorPil(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, image_grid_pinpoints=pinpoints
        ),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
    )
    return finish(transformers.LlavaNextForConditionalGeneration(config), processor)


def random_llava_next_mistral(seed: int = 0) -> VisionLanguageModel:
    """LLaVA-1.6 on a Mistral decoder."""
    return random_llava_next(seed, transformers.MistralConfig)


def random_qwen2_vl(seed: int = 0) -> VisionLanguageModel:
    """Qwen2-VL: rotations in three axes, patches of all images in one row."""
    torch.manual_seed(seed)
    marks = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    tokenizer = build_tokenizer(*marks, image="<|image_pad|>")
    start, end, image, video = (tokenizer.convert_tokens_to_ids(mark) for mark in marks)
    text = text_config(tokenizer, transformers.Qwen2VLTextConfig, rope_parameters={
        "rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]})  # fmt: skip
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 48, "num_heads": 4, "mlp_ratio": 2, "patch_size": 4}
    config = transformers.Qwen2VLConfig(
        text_config=text.to_dict(),
        vision_config=vision,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    processor = ImageOnlyQwen2VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessorPil(min_pixels=16 * 16, max_pixels=40 * 40, patch_size=4),
        tokenizer=tokenizer,
    )
    return finish(transformers.Qwen2VLForConditionalGeneration(config), processor)


def random_idefics3(seed: int = 0) -> VisionLanguageModel:
    """Idefics3, the class of SmolVLM: marks of rows and columns stand between the image tokens."""
    torch.manual_seed(seed)
    marks = ("<fake_token_around_image>", "<end_of_utterance>", "<global-img>")
    places = [f"<row_{i + 1}_col_{j + 1}>" for i in range(6) for j in range(6)]
    tokenizer = build_tokenizer(*marks, *places)
    config = transformers.Idefics3Config(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 32,
            "patch_size": 4,
        },
        text_config=text_config(tokenizer).to_dict(),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
    )
    processor = transformers.Idefics3Processor(
        image_processor=transformers.Idefics3ImageProcessorPil(
            size={"longest_edge": 64}, max_image_size={"longest_edge": 32}
        ),
        tokenizer=tokenizer,
        image_seq_len=16,
    )
    return finish(transformers.Idefics3ForConditionalGeneration(config), processor)


RANDOM_MODELS = {
    "llava": random_llava,
    "llava_next": random_llava_next,
    "llava_next_mistral": random_llava_next_mistral,
    "qwen2_vl": random_qwen2_vl,
    "idefics3": random_idefics3,
}
