"""Train a small LLaVA on generated scenes from scratch, in two stages and a fixed number of steps."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, layer_norm
from transformers import LlavaForConditionalGeneration, LlavaProcessor
from transformers.image_processing_utils import BaseImageProcessor

from extraction.datasets.sample import Sample
from extraction.scenes import questions
from extraction.scenes.drawing import decode_jpeg, encode_jpeg
from extraction.scenes.scene import COLORS, MATERIALS, SHAPES, SIDES, SIZES, SPLITS, Scene, image_ids, make_scene
from extraction.tiny.architecture import IMAGE_SIZE, IMAGE_TOKENS, PATCH_SIZE, WIDTH, patch_features
from extraction.tiny.decoder import LabeledImages, encode_questions, packed_accuracy, train_decoder
from extraction.tiny.tokenizer import SCENE_VOCABULARY
from extraction.tiny.training import Report, StageSettings, TrainingSummary, fit, train_model

SCENE_TOWER = StageSettings(steps=2730, images_per_step=32, max_gradient_norm=1.0)
"""Settings of the first stage on scenes, in which every patch learns what the thing in its half of the image is."""

_ATTRIBUTES = {"shape": SHAPES, "color": COLORS, "material": MATERIALS, "size": SIZES, "side": SIDES}
_COLUMNS = IMAGE_SIZE // PATCH_SIZE
_HALF = torch.arange(IMAGE_TOKENS) % _COLUMNS // (_COLUMNS // 2)
"""For every patch 0 or 1: the half of the image that it lies in."""

SCENE_DECODER = StageSettings(steps=1500, images_per_step=8, max_gradient_norm=1.0, report_every=50)
"""Settings of the second stage on scenes."""

HELD_OUT_SCENES = 200
"""The first images of the validation split give the held-out accuracy."""

_PRACTICE = (
    *(questions.choose_attribute, questions.query_color, questions.logical_object),
    *(questions.choose_category, questions.choose_relation, questions.compare_attribute, questions.query_side) * 2,
)
"""What is asked about every training image: what is learned later is asked twice."""
_COLORS_DIFFER = (questions.logical_object,) * 4
"""What is asked in addition where the colors differ: only there, either-or questions need to bind color to shape."""


def train_on_scenes(
    out: Path,
    *,
    layers: int,
    seed: int = 0,
    report: Report = lambda line: None,
    tower: StageSettings = SCENE_TOWER,
    decoder: StageSettings = SCENE_DECODER,
) -> TrainingSummary:
    """Train a small LLaVA on scenes of the training split, drawn while it trains, and save it.

    The same arguments give the same weights on the same machine and versions; across machines
    they differ by rounding, and so may single answers.

    Args:
        out: Folder to write; must not exist or be empty.
        layers: Number of decoder layers.
        seed: Seed of scenes, questions and initialization.
        report: Called with lines of progress.
        tower: Settings of the first stage.
        decoder: Settings of the second stage.

    Returns:
        A summary. The folder holds float16 weights, configuration, tokenizer and processor.

    Raises:
        FileExistsError: `out` exists and is not an empty folder.
        ValueError: `layers` is below 1.
    """
    if layers < 1:
        raise ValueError(f"layers must be at least 1, got {layers}; the shipped models have 6 and 8.")

    def train(
        model: LlavaForConditionalGeneration, processor: LlavaProcessor, generator: torch.Generator
    ) -> tuple[list[float], list[float], float]:
        scenes = (make_scene(seed, i) for i in range(SPLITS["train"], SPLITS["val"]))
        tower_loss = _pretrain_tower(model, processor.image_processor, scenes, tower, generator, report)
        model.model.vision_tower.requires_grad_(False)
        drawn = (list(islice(scenes, decoder.images_per_step)) for _ in range(decoder.steps))
        decoder_loss = train_decoder(model, (_label(model, processor, chosen) for chosen in drawn), decoder, report)
        held_out = [make_scene(seed, i) for i in image_ids("val", HELD_OUT_SCENES)]
        return tower_loss, decoder_loss, packed_accuracy(model, *_label(model, processor, held_out))

    return train_model(out, train, SCENE_VOCABULARY, seed=seed, report=report, layers=layers)


def practice_questions(scene: Scene) -> list[Sample]:
    """Ask what a training image is used for; the order of the questions has no effect."""
    draw = Random(f"practice/{scene.seed}/{scene.image_id}")
    differ = scene.things[0].color != scene.things[1].color
    asked = [ask(scene, draw) for ask in (*_PRACTICE, *(_COLORS_DIFFER if differ else ()))]
    image = Path(f"{scene.image_id}.jpg")
    return [question.as_sample(f"{scene.image_id}-{n}", image) for n, question in enumerate(asked)]


@torch.no_grad()
def _label(model: LlavaForConditionalGeneration, processor: LlavaProcessor, scenes: Sequence[Scene]) -> LabeledImages:
    features = patch_features(model, scene_pixels(scenes, processor.image_processor))
    groups = [practice_questions(scene) for scene in scenes]
    return features, encode_questions(groups, processor.tokenizer, model.config.image_token_id)


def _pretrain_tower(
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
