"""Second stage: projector and decoder learn to answer, with the tower frozen."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlavaForConditionalGeneration

from extraction.tiny.packing import IGNORED, EncodedImage, pack, packed_logits
from extraction.tiny.training import Report, StageSettings, fit

LabeledImages = tuple[Tensor, Sequence[EncodedImage]]
"""Patch features, (n, 16, 128), and the questions of n images."""

DECODER = StageSettings(steps=1000, images_per_step=8, max_gradient_norm=1.0, report_every=50)
"""Settings of the second stage on easy-VQA."""

_IMAGES_PER_BATCH = 16  # where the accuracy is computed


def train_decoder(
    model: LlavaForConditionalGeneration,
    batches: Iterator[LabeledImages],
    settings: StageSettings,
    report: Report,
) -> list[float]:
    """Train everything but the tower to predict the answer and the end mark.

    Args:
        model: The small LLaVA; projector, decoder and head are trained in place.
        batches: Images and their questions, one batch a step.
        settings: Steps and optimizer.
        report: Called with a line of progress.

    Returns:
        The loss of every step: cross-entropy of a labeled token, in nats.
    """
    parts = (model.model.multi_modal_projector, model.model.language_model, model.lm_head)

    def next_loss() -> Tensor:
        features, images = next(batches)
        batch = pack(model, images)
        logits = packed_logits(model, features, batch)
        return cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORED)

    return fit("decoder", next_loss, (value for part in parts for value in part.parameters()), settings, report)


@torch.no_grad()
def packed_accuracy(model: LlavaForConditionalGeneration, features: Tensor, images: Sequence[EncodedImage]) -> float:
    """Compute the fraction of questions whose most likely token is the answer."""
    right = total = 0
    for start in range(0, len(images), _IMAGES_PER_BATCH):
        batch = pack(model, images[start : start + _IMAGES_PER_BATCH])
        predicted = packed_logits(model, features[start : start + _IMAGES_PER_BATCH], batch).argmax(-1)
        right += int((predicted == batch.labels)[batch.is_answer].sum())
        total += int(batch.is_answer.sum())
    return right / total
