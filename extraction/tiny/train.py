"""Train the small LLaVA on easy-VQA from scratch, in two stages and a fixed number of steps."""

import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from extraction.datasets.easy_vqa import load_easy_vqa
from extraction.datasets.sample import Sample
from extraction.passes.images import open_image
from extraction.tiny.architecture import build_model
from extraction.tiny.attributes import group_by_image, read_attributes
from extraction.tiny.decoder import DECODER, packed_accuracy, shuffled_batches, train_decoder
from extraction.tiny.fit import StageSettings
from extraction.tiny.packing import encode_questions
from extraction.tiny.tokenizer import build_processor
from extraction.tiny.tower import TOWER, all_features, pretrain_tower
from extraction.tiny.training import TrainingSummary, count_parameters, make_folder, save_model, single_thread

HELD_OUT_IMAGES = 200
"""The last images of the training split are never trained on; they give the held-out accuracy."""


def train_tiny(out: Path, *, seed: int = 0, report: Callable[[str], None] = lambda line: None) -> TrainingSummary:
    """Train the small LLaVA on the training split of easy-VQA and save it.

    The test split is not read. The same seed gives the same weights on the same machine and
    versions; across machines they differ by rounding, and so may single answers.

    Args:
        out: Folder to write; must not exist or be empty.
        seed: Seed of initialization, batches and mirroring.
        report: Called with lines of progress.

    Returns:
        A summary. The folder holds float16 weights, configuration, tokenizer and processor.

    Raises:
        FileExistsError: `out` exists and is not an empty folder.
        ModuleNotFoundError: The package `easy-vqa` is not installed.
    """
    out = Path(out)
    samples = load_easy_vqa("train")
    make_folder(out)
    with single_thread():
        return train_on(samples, out, seed=seed, report=report)


def train_on(
    samples: Sequence[Sample],
    out: Path,
    *,
    seed: int,
    report: Callable[[str], None],
    tower: StageSettings = TOWER,
    decoder: StageSettings = DECODER,
    held_out: int = HELD_OUT_IMAGES,
) -> TrainingSummary:
    """Train on given questions; `train_tiny` with every setting exposed.

    Args:
        samples: Questions with answers, words of easy-VQA only.
        out: Folder to write.
        seed: Seed of initialization, batches and mirroring.
        report: Called with lines of progress.
        tower: Settings of the first stage.
        decoder: Settings of the second stage.
        held_out: Number of images, the last ones, that are not trained on; at least 1.

    Returns:
        A summary.
    """
    start = time.process_time()
    generator = torch.Generator().manual_seed(seed)
    processor = build_processor()
    model = build_model(processor.tokenizer, generator)
    images = group_by_image(samples)
    report(f"{len(samples)} questions about {len(images)} images, {held_out} images held out")
    stages = _train_stages(model, processor, images, len(images) - held_out, (tower, decoder), generator, report)
    save_model(model, processor, out)
    return TrainingSummary(
        folder=out,
        parameters=count_parameters(model),
        tower_loss=tuple(stages[0]),
        decoder_loss=tuple(stages[1]),
        held_out_accuracy=stages[2],
        cpu_seconds=time.process_time() - start,
    )


def _train_stages(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    images: dict[Hashable, list[Sample]],
    trained: int,
    settings: tuple[StageSettings, StageSettings],
    generator: torch.Generator,
    report: Callable[[str], None],
) -> tuple[list[float], list[float], float]:
    """Train on the first images; return the losses of both stages and the accuracy on the rest."""
    groups = list(images.values())
    pixels = _read_pixels([group[0] for group in groups], processor)
    attributes = read_attributes(groups[:trained])
    tower_loss = pretrain_tower(model, pixels[:trained], attributes, settings[0], generator, report)
    features = all_features(model, pixels)
    encoded = encode_questions(groups, processor.tokenizer, model.config.image_token_id)
    batches = shuffled_batches(features[:trained], encoded[:trained], settings[1], generator)
    decoder_loss = train_decoder(model, batches, settings[1], report)
    accuracy = packed_accuracy(model, features[trained:], encoded[trained:])
    report(f"accuracy on the held-out training images {accuracy:.4f}")
    return tower_loss, decoder_loss, accuracy


def _read_pixels(samples: Sequence[Sample], processor: LlavaProcessor) -> Tensor:
    images = [open_image(sample) for sample in samples]
    return processor.image_processor(images, return_tensors="pt")["pixel_values"]
