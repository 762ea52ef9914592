"""LLaVA-1.5 and LLaVA-1.6 of real proportions with random weights, and samples for them."""

from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image

from extraction.datasets.sample import Sample
from extraction.model.load import VisionLanguageModel, wrap_model
from extraction.tiny.tokenizer import build_tokenizer

# Width, MLP width, decoder blocks, heads, and width, MLP width and blocks of the vision tower.
SIZES = {"0.3B": (1024, 2816, 24, 16, 256, 1024, 6), "7B": (4096, 11008, 32, 32, 1024, 4096, 24)}
_PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
QUESTIONS = ("is there a red circle in the image?", "what shape is present?", "what color is the shape in the image?")


def build(size: str, is_next: bool, device: str = "cpu", dtype: torch.dtype = torch.float32) -> VisionLanguageModel:
    """Build a LLaVA-1.6 (`is_next`) or LLaVA-1.5 of one of `SIZES`."""
    width, mlp, blocks, heads, tower, tower_mlp, tower_blocks = SIZES[size]
    tokenizer = build_tokenizer()
    tokenizer.model_max_length = 4096
    vision = transformers.CLIPVisionConfig(
        hidden_size=tower,
        intermediate_size=tower_mlp,
        num_hidden_layers=tower_blocks,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
    )
    text = transformers.LlamaConfig(
        vocab_size=32064,
        hidden_size=width,
        intermediate_size=mlp,
        num_hidden_layers=blocks,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=4096,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    common = {
        "vision_config": vision,
        "text_config": text,
        "image_token_index": tokenizer.convert_tokens_to_ids("<image>"),
        "image_seq_length": 576,
    }
    with torch.device(device):
        torch.set_default_dtype(dtype)
        if is_next:
            config = transformers.LlavaNextConfig(image_grid_pinpoints=_PINPOINTS, **common)
            model = transformers.LlavaNextForConditionalGeneration(config)
        else:
            model = transformers.LlavaForConditionalGeneration(transformers.LlavaConfig(**common))
        torch.set_default_dtype(torch.float32)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = text.vocab_size - 1  # hardly ever drawn: no answer ends early
    return wrap_model(model, _processor(tokenizer, is_next))


def make_samples(folder: Path, count: int, size: tuple[int, int]) -> list[Sample]:
    """Write random images (width, height), and ask a question about each."""
    generator, samples = np.random.default_rng(0), []
    for i in range(count):
        path = folder / f"{i:04d}.png"
        Image.fromarray(generator.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).save(path)
        question = QUESTIONS[i % len(QUESTIONS)]
        samples.append(Sample(id=f"{i:04d}", image=path, question=question, answer=None, task="all"))
    return samples


def _processor(tokenizer: transformers.PreTrainedTokenizerFast, is_next: bool) -> transformers.ProcessorMixin:
    size = {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}}
    common = {
        "tokenizer": tokenizer,
        "patch_size": 14,
        "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1,
        "image_token": "<image>",
    }
    if is_next:
        images = transformers.LlavaNextImageProcessorPil(image_grid_pinpoints=_PINPOINTS, **size)
        return transformers.LlavaNextProcessor(image_processor=images, **common)
    return transformers.LlavaProcessor(image_processor=transformers.CLIPImageProcessorPil(**size), **common)
