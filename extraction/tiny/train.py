"""Train the small LLaVA on easy-VQA from scratch, in two stages and a fixed number of steps."""

from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from extraction.datasets.easy_vqa import load_easy_vqa
from extraction.datasets.sample import Sample
from extraction.passes.images import open_image
from extraction.tiny.architecture import WIDTH, patch_features
from extraction.tiny.decoder import (
    DECODER,
    EncodedImage,
    LabeledImages,
    encode_questions,
    packed_accuracy,
    train_decoder,
)
from extraction.tiny.tokenizer import COLORS, SHAPES, VOCABULARY
from extraction.tiny.training import Report, StageSettings, TrainingSummary, fit, train_model

TOWER = StageSettings(steps=3500, images_per_step=32)
"""Settings of the first stage, in which the tower learns shape and color."""

UNKNOWN = -100
"""Class index of an attribute that no question reveals; ignored by `cross_entropy`."""

_NEGATIONS = {"not", "no"}
_CHUNK = 256  # images whose features are computed at once

HELD_OUT_IMAGES = 200
"""The last images of the training split are never trained on; they give the held-out accuracy."""


def train_tiny(
    out: Path,
    *,
    seed: int = 0,
    report: Report = lambda line: None,
    samples: Sequence[Sample] | None = None,
    tower: StageSettings = TOWER,
    decoder: StageSettings = DECODER,
    held_out: int = HELD_OUT_IMAGES,
) -> TrainingSummary:
    """Train the small LLaVA on the training split of easy-VQA and save it.

    The test split is not read. The same seed gives the same weights on the same machine and
    versions; across machines they differ by rounding, and so may single answers.

    Args:
        out: Folder to write; must not exist or be empty.
        seed: Seed of initialization, batches and mirroring.
        report: Called with lines of progress.
        samples: Questions with answers, words of easy-VQA only, instead of its training split.
        tower: Settings of the first stage.
        decoder: Settings of the second stage.
        held_out: Number of images, the last ones, that are not trained on; at least 1.

    Returns:
        A summary. The folder holds float16 weights, configuration, tokenizer and processor.

    Raises:
        FileExistsError: `out` exists and is not an empty folder.
        ModuleNotFoundError: The package `easy-vqa` is not installed.
    """
    samples = load_easy_vqa("train") if samples is None else samples
    groups = list(group_by_image(samples).values())
    trained = len(groups) - held_out

    def train(
        model: LlavaForConditionalGeneration, processor: LlavaProcessor, generator: torch.Generator
    ) -> tuple[list[float], list[float], float]:
        report(f"{len(samples)} questions about {len(groups)} images, {held_out} images held out")
        images = [open_image(group[0]) for group in groups]
        pixels = processor.image_processor(images, return_tensors="pt")["pixel_values"]
        attributes = read_attributes(groups[:trained])
        tower_loss = _pretrain_tower(model, pixels[:trained], attributes, tower, generator, report)
        features = _all_features(model, pixels)
        encoded = encode_questions(groups, processor.tokenizer, model.config.image_token_id)
        batches = _shuffled_batches(features[:trained], encoded[:trained], decoder, generator)
        decoder_loss = train_decoder(model, batches, decoder, report)
        return tower_loss, decoder_loss, packed_accuracy(model, features[trained:], encoded[trained:])

    return train_model(out, train, VOCABULARY, seed=seed, report=report)


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


def _pretrain_tower(
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


def _shuffled_batches(
    features: Tensor, images: Sequence[EncodedImage], settings: StageSettings, generator: torch.Generator
) -> Iterator[LabeledImages]:
    """Go through given images in random order, again and again, one batch a step."""
    length = settings.steps * settings.images_per_step
    rounds = [torch.randperm(len(images), generator=generator) for _ in range(-(-length // len(images)))]
    order = torch.cat(rounds)[:length]
    for chosen in order.split(settings.images_per_step):
        yield features[chosen], [images[i] for i in chosen.tolist()]


@torch.no_grad()
def _all_features(model: LlavaForConditionalGeneration, pixels: Tensor) -> Tensor:
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
