"""First stage on generated scenes: every patch learns what the thing in its half of the image is."""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, layer_norm
from transformers import LlavaForConditionalGeneration
from transformers.image_processing_utils import BaseImageProcessor

from extraction.scenes.drawing import decode_jpeg, encode_jpeg
from extraction.scenes.scene import COLORS, MATERIALS, SHAPES, SIDES, SIZES, Scene
from extraction.tiny.architecture import IMAGE_SIZE, IMAGE_TOKENS, PATCH_SIZE, WIDTH, patch_features
from extraction.tiny.training import Report, StageSettings, fit

SCENE_TOWER = StageSettings(steps=2730, images_per_step=32, max_gradient_norm=1.0)
"""Settings of the first stage on scenes."""

_ATTRIBUTES = {"shape": SHAPES, "color": COLORS, "material": MATERIALS, "size": SIZES, "side": SIDES}
_COLUMNS = IMAGE_SIZE // PATCH_SIZE
_HALF = torch.arange(IMAGE_TOKENS) % _COLUMNS // (_COLUMNS // 2)
"""For every patch 0 or 1: the half of the image that it lies in."""


def pretrain_scene_tower(
    model: LlavaForConditionalGeneration,
    image_processor: BaseImageProcessor,
    scenes: Iterator[Scene],
    settings: StageSettings,
    generator: torch.Generator,
    report: Report,
) -> list[float]:
    """Train the tower until each patch tells shape, color, material, size and side of its half's thing.

    The classes are read along fixed orthonormal directions of the normalized features. A readout
    that is trained with them can make up for features in which one attribute, such as the side,
    hardly shows; a fixed one cannot, and the decoder finds every attribute at the same size.

    Args:
        model: A small LLaVA; its vision tower is trained in place and to be frozen afterwards.
        image_processor: What prepares its images.
        scenes: Training scenes, as many as are needed; each is used once.
        settings: Steps, batch size and optimizer.
        generator: Source of the directions.
        report: Called with a line of progress.

    Returns:
        The loss of every step: the sum of the cross-entropies of the five attributes, in nats.
    """
    sizes = [len(names) for names in _ATTRIBUTES.values()]
    directions = torch.linalg.qr(torch.randn(WIDTH, sum(sizes), generator=generator)).Q

    def next_loss() -> Tensor:
        chosen = list(islice(scenes, settings.images_per_step))
        features = patch_features(model, scene_pixels(chosen, image_processor))
        scores = (layer_norm(features, (WIDTH,)) @ directions).split(sizes, dim=-1)
        targets = scene_classes(chosen)[:, _HALF]
        losses = [cross_entropy(part.flatten(0, 1), targets[..., k].flatten()) for k, part in enumerate(scores)]
        return torch.stack(losses).sum()

    return fit("tower", next_loss, model.model.vision_tower.parameters(), settings, report)


def scene_pixels(scenes: Sequence[Scene], image_processor: BaseImageProcessor) -> Tensor:
    """Prepare scenes as they are shipped, (n, 3, 64, 64).

    The pictures have the model's size, so that scaling and normalizing are all that the image processor would do.
    """
    scale, mean, std = (getattr(image_processor, name) for name in ("rescale_factor", "image_mean", "image_std"))
    pictures = torch.from_numpy(np.stack([np.asarray(decode_jpeg(encode_jpeg(scene))) for scene in scenes]))
    pixels = (pictures * scale - torch.tensor(mean)) / torch.tensor(std)
    return pixels.permute(0, 3, 1, 2).contiguous()


def scene_classes(scenes: Sequence[Scene]) -> Tensor:
    """Return the class of each attribute of both things, (n, 2, 5)."""
    return torch.tensor(
        [[[names.index(getattr(thing, a)) for a, names in _ATTRIBUTES.items()] for thing in s.things] for s in scenes]
    )
