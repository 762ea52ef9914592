"""Configuration and initialization of the small LLaVAs."""

from typing import Any

import torch
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
)

IMAGE_SIZE = 64
PATCH_SIZE = 16
IMAGE_TOKENS = (IMAGE_SIZE // PATCH_SIZE) ** 2
SELECT_STRATEGY = "default"  # drop the class token, keep the 16 patches
FEATURE_LAYER = -1
WIDTH = 128
HEADS = 4
MLP_WIDTH = 256
TOWER_LAYERS = 2
DECODER_LAYERS = 8
MAX_POSITIONS = 256
EMBEDDING_STD = 0.5

_EMBEDDINGS = ("embed_tokens", "position_embedding", "class_embedding")
_RESIDUAL_PROJECTIONS = ("o_proj", "down_proj", "out_proj", "fc2")


def build_model(
    tokenizer: PreTrainedTokenizerFast, generator: torch.Generator, layers: int = DECODER_LAYERS
) -> LlavaForConditionalGeneration:
    """Build an untrained model with so many decoder layers; every parameter is drawn from `generator`."""
    model = LlavaForConditionalGeneration(_configure(tokenizer, layers))
    _initialize(model, generator)
    model.generation_config = GenerationConfig(**_token_ids(tokenizer), do_sample=False, max_new_tokens=4)
    return model.eval()


def _configure(tokenizer: PreTrainedTokenizerFast, layers: int) -> LlavaConfig:
    """Configure a LLaVA with a 2-layer CLIP tower and a Llama decoder of so many layers, both 128 wide."""
    vision = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=MLP_WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=TOWER_LAYERS,
        num_attention_heads=HEADS,
        image_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=MLP_WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=False,
        **_token_ids(tokenizer),
    )
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.get_vocab()["<image>"],
        image_seq_length=IMAGE_TOKENS,
        vision_feature_layer=FEATURE_LAYER,
        vision_feature_select_strategy=SELECT_STRATEGY,
        tie_word_embeddings=False,
    )


@torch.no_grad()
def _initialize(model: LlavaForConditionalGeneration, generator: torch.Generator) -> None:
    """Draw every parameter anew.

    Embeddings have standard deviation 0.5, matrices fan_in^(-1/2), and the projections that
    write into a residual stream of L blocks are scaled by (2 L)^(-1/2), so that the stream
    keeps its size over the 2 L branches added to it. Norms are the identity, biases zero.
    """
    depth: Any = model.config.get_text_config().num_hidden_layers
    for name, parameter in model.named_parameters():
        if any(word in name for word in _EMBEDDINGS):
            parameter.normal_(0.0, EMBEDDING_STD, generator=generator)
        elif parameter.ndim == 1:
            parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
        else:
            fan_in = parameter[0].numel()
            layers = TOWER_LAYERS if "vision_tower" in name else depth
            is_residual = any(word in name for word in _RESIDUAL_PROJECTIONS)
            scale = (2 * layers) ** -0.5 if is_residual else 1.0
            parameter.normal_(0.0, scale * fan_in**-0.5, generator=generator)


def patch_features(model: LlavaForConditionalGeneration, pixels: Tensor) -> Tensor:
    """Compute what the projector reads: the tower's last block without the class token.

    Args:
        model: The small LLaVA.
        pixels: Preprocessed images, (n, 3, 64, 64).

    Returns:
        Features, (n, 16, 128).
    """
    return model.model.vision_tower(pixel_values=pixels).last_hidden_state[:, 1:]


def _token_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
