"""First stage: the vision tower learns to classify shape and color."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import LlavaForConditionalGeneration

from extraction.tiny.architecture import WIDTH, patch_features
from extraction.tiny.attributes import UNKNOWN, Attributes
from extraction.tiny.fit import StageSettings, fit
from extraction.tiny.tokenizer import COLORS, SHAPES

TOWER = StageSettings(steps=3500, images_per_step=32)
"""Settings of the first stage."""


def pretrain_tower(
    model: LlavaForConditionalGeneration,
    pixels: Tensor,
    attributes: Attributes,
    settings: StageSettings,
    generator: torch.Generator,
    report: Callable[[str], None],
) -> list[float]:
    """Train the tower until the mean of its patch features tells shape and color.

    Two linear classifiers read the mean; they are discarded afterwards, and the tower is to be
    frozen. Half of the images, chosen at random, are mirrored left to right.

    Args:
        model: The small LLaVA; its vision tower is trained in place.
        pixels: Preprocessed training images, (n, 3, 64, 64).
        attributes: What the training questions reveal about them.
        settings: Steps, batch size and optimizer.
        generator: Source of the batches, the mirroring and the classifiers.
        report: Called with a line of progress.

    Returns:
        The loss of every step: the sum of the two cross-entropies, in nats.
    """
    heads = [_classifier(len(names), generator) for names in (SHAPES, COLORS)]

    def next_loss() -> Tensor:
        chosen = torch.randint(len(pixels), (settings.images_per_step,), generator=generator)
        mean = patch_features(model, _mirror_half(pixels[chosen], generator)).mean(1)
        targets = (attributes.shape[chosen], attributes.color[chosen])
        losses = [cross_entropy(head(mean), y, ignore_index=UNKNOWN) for head, y in zip(heads, targets, strict=True)]
        return losses[0] + losses[1]

    parts = (model.model.vision_tower, *heads)
    parameters = [parameter for part in parts for parameter in part.parameters()]
    return fit(next_loss, parameters, settings, lambda line: report(f"tower {line}"))


@torch.no_grad()
def all_features(model: LlavaForConditionalGeneration, pixels: Tensor, chunk: int = 256) -> Tensor:
    """Compute the patch features of all images, (n, 16, 128), a chunk of images at a time."""
    return torch.cat([patch_features(model, part) for part in pixels.split(chunk)])


def _classifier(classes: int, generator: torch.Generator) -> nn.Linear:
    head = nn.Linear(WIDTH, classes)
    with torch.no_grad():
        head.weight.normal_(0.0, WIDTH**-0.5, generator=generator)
        head.bias.zero_()
    return head


def _mirror_half(images: Tensor, generator: torch.Generator) -> Tensor:
    is_mirrored = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    return torch.where(is_mirrored, images.flip(-1), images)
