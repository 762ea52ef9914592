"""First stage on easy-VQA: the vision tower learns shape and color, as far as the questions reveal them."""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import LlavaForConditionalGeneration

from extraction.datasets.sample import Sample
from extraction.tiny.architecture import WIDTH, patch_features
from extraction.tiny.tokenizer import COLORS, SHAPES
from extraction.tiny.training import Report, StageSettings, fit

TOWER = StageSettings(steps=3500, images_per_step=32)
"""Settings of the first stage."""

UNKNOWN = -100
"""Class index of an attribute that no question reveals; ignored by `cross_entropy`."""

_NEGATIONS = {"not", "no"}
_CHUNK = 256  # images whose features are computed at once


def group_by_image(samples: Sequence[Sample]) -> dict[Hashable, list[Sample]]:
    """Collect the questions of each image, images in the order of their first question."""
    groups: dict[Hashable, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.image_key, []).append(sample)
    return groups


def read_attributes(groups: Sequence[Sequence[Sample]]) -> Tensor:
    """Read the attributes of each image from its questions and their answers alone.

    A "what" question names true attributes in itself ("what is the blue shape?") and in its
    answer ("rectangle"). A "yes-no" question names one attribute, which is true if the answer
    is "yes" and the question has no negation, or "no" and it has one; otherwise it is false,
    and an attribute whose alternatives are all false but one is known as well.

    Args:
        groups: The questions of each image.

    Returns:
        Indices into SHAPES and COLORS, or UNKNOWN, (n_images, 2).
    """
    facts = [_facts(group) for group in groups]
    return torch.tensor([[_class_index(true, false, names) for names in (SHAPES, COLORS)] for true, false in facts])


def pretrain_tower(
    model: LlavaForConditionalGeneration,
    pixels: Tensor,
    attributes: Tensor,
    settings: StageSettings,
    generator: torch.Generator,
    report: Report,
) -> list[float]:
    """Train the tower until the mean of its patch features tells shape and color.

    Two linear classifiers read the mean; they are discarded afterwards, and the tower is to be
    frozen. Half of the images, chosen at random, are mirrored left to right.

    Args:
        model: The small LLaVA; its vision tower is trained in place.
        pixels: Preprocessed training images, (n, 3, 64, 64).
        attributes: What the training questions reveal about them, (n, 2).
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
        targets = attributes[chosen].T
        losses = [cross_entropy(head(mean), y, ignore_index=UNKNOWN) for head, y in zip(heads, targets, strict=True)]
        return losses[0] + losses[1]

    parts = (model.model.vision_tower, *heads)
    return fit("tower", next_loss, (value for part in parts for value in part.parameters()), settings, report)


@torch.no_grad()
def all_features(model: LlavaForConditionalGeneration, pixels: Tensor) -> Tensor:
    """Compute the patch features of all images, (n, 16, 128), a chunk of images at a time."""
    return torch.cat([patch_features(model, part) for part in pixels.split(_CHUNK)])


def _facts(group: Sequence[Sample]) -> tuple[set[str], set[str]]:
    """Return the words that hold of the image, and those that do not."""
    true: set[str] = set()
    false: set[str] = set()
    for sample in group:
        words = set(sample.question.rstrip("?").split())
        named = words & {*SHAPES, *COLORS}
        if sample.answer in ("yes", "no"):
            holds = (sample.answer == "yes") != bool(words & _NEGATIONS)
            (true if holds else false).update(named)
        else:
            true.update(named, {sample.answer or ""})
    return true, false


def _class_index(true: set[str], false: set[str], names: tuple[str, ...]) -> int:
    known = [i for i, name in enumerate(names) if name in true]
    possible = [i for i, name in enumerate(names) if name not in false]
    left = known or possible
    return left[0] if len(left) == 1 else UNKNOWN


def _classifier(classes: int, generator: torch.Generator) -> nn.Linear:
    head = nn.Linear(WIDTH, classes)
    with torch.no_grad():
        head.weight.normal_(0.0, WIDTH**-0.5, generator=generator)
        head.bias.zero_()
    return head


def _mirror_half(images: Tensor, generator: torch.Generator) -> Tensor:
    is_mirrored = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    return torch.where(is_mirrored, images.flip(-1), images)
