"""LLaVA-1.5 and LLaVA-1.6 with random weights: genuine classes, small sizes, grouped key-value heads."""

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from extraction.models import VisionLanguageModel, wrap_model

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


def build_tokenizer() -> transformers.PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys(WORDS))}
    words = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    words.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", vocabulary["<s>"])])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
    )


def _text_config(tokenizer) -> transformers.LlamaConfig:
    return transformers.LlamaConfig(
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
    )


def _vision_config() -> transformers.CLIPVisionConfig:
    return transformers.CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, image_size=32, patch_size=8
    )


def _finish(model, processor) -> VisionLanguageModel:
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
        vision_config=_vision_config(),
        text_config=_text_config(tokenizer),
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
    return _finish(transformers.LlavaForConditionalGeneration(config), processor)


def random_llava_next(seed: int = 0) -> VisionLanguageModel:
    """LLaVA-1.6: the number of image tokens depends on the shape of the image."""
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    image_id = tokenizer.convert_tokens_to_ids("<image>")
    pinpoints = [[32, 64], [64, 32], [64, 64]]
    config = transformers.LlavaNextConfig(
        vision_config=_vision_config(),
        text_config=_text_config(tokenizer),
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
    return _finish(transformers.LlavaNextForConditionalGeneration(config), processor)
