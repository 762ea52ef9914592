"""Train the small LLaVA on easy-VQA from scratch, in two stages and a fixed number of steps."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from extraction.datasets.easy_vqa import load_easy_vqa
from extraction.datasets.sample import Sample
from extraction.passes.images import open_image
from extraction.tiny.decoder import DECODER, packed_accuracy, shuffled_batches, train_decoder
from extraction.tiny.packing import encode_questions
from extraction.tiny.tokenizer import VOCABULARY
from extraction.tiny.tower import TOWER, all_features, group_by_image, pretrain_tower, read_attributes
from extraction.tiny.training import Report, StageSettings, TrainingSummary, train_model

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
        tower_loss = pretrain_tower(model, pixels[:trained], attributes, tower, generator, report)
        features = all_features(model, pixels)
        encoded = encode_questions(groups, processor.tokenizer, model.config.image_token_id)
        batches = shuffled_batches(features[:trained], encoded[:trained], decoder, generator)
        decoder_loss = train_decoder(model, batches, decoder, report)
        return tower_loss, decoder_loss, packed_accuracy(model, features[trained:], encoded[trained:])

    return train_model(out, train, VOCABULARY, seed=seed, report=report)
