"""Second stage: projector and decoder learn to answer, with the tower frozen."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlavaForConditionalGeneration

from extraction.tiny.fit import StageSettings, fit
from extraction.tiny.packing import IGNORED, EncodedImage, PackedBatch, pack_images, packed_logits

DECODER = StageSettings(steps=1000, images_per_step=8, max_gradient_norm=1.0, report_every=50)
"""Settings of the second stage."""


def train_decoder(
    model: LlavaForConditionalGeneration,
    features: Tensor,
    images: Sequence[EncodedImage],
    settings: StageSettings,
    generator: torch.Generator,
    report: Callable[[str], None],
) -> list[float]:
    """Train everything but the tower to predict the answer and the end mark.

    Args:
        model: The small LLaVA; projector, decoder and head are trained in place.
        features: Patch features of the training images, (n, 16, 128).
        images: Their questions.
        settings: Steps, batch size and optimizer.
        generator: Source of the order of the images.
        report: Called with a line of progress.

    Returns:
        The loss of every step: cross-entropy of a labeled token, in nats.
    """
    parts = (model.model.multi_modal_projector, model.model.language_model, model.lm_head)
    parameters = [parameter for part in parts for parameter in part.parameters()]
    order = _epochs(len(images), settings.steps * settings.images_per_step, generator)
    batches = iter(order.split(settings.images_per_step))

    def next_loss() -> Tensor:
        chosen = next(batches)
        batch = pack(model, [images[i] for i in chosen.tolist()])
        logits = packed_logits(model, features[chosen], batch)
        return cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORED)

    return fit(next_loss, parameters, settings, lambda line: report(f"decoder {line}"))


@torch.no_grad()
def packed_accuracy(
    model: LlavaForConditionalGeneration, features: Tensor, images: Sequence[EncodedImage], images_per_batch: int = 16
) -> float:
    """Compute the fraction of questions whose most likely token is the answer."""
    right = total = 0
    for start in range(0, len(images), images_per_batch):
        batch = pack(model, images[start : start + images_per_batch])
        predicted = packed_logits(model, features[start : start + images_per_batch], batch).argmax(-1)
        right += int((predicted == batch.labels)[batch.is_answer].sum())
        total += int(batch.is_answer.sum())
    return right / total


def pack(model: LlavaForConditionalGeneration, images: Sequence[EncodedImage]) -> PackedBatch:
    """Pack images with the special tokens of the model."""
    text: Any = model.config.text_config
    return pack_images(images, eos_token_id=text.eos_token_id, pad_token_id=text.pad_token_id)


def _epochs(count: int, length: int, generator: torch.Generator) -> Tensor:
    """Chain random orders of all images until `length` indices are reached."""
    rounds = -(-length // count)
    return torch.cat([torch.randperm(count, generator=generator) for _ in range(rounds)])[:length]
