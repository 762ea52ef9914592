"""Second stage: projector and decoder learn to answer, with the tower frozen.

All questions of an image stand behind one image prefix, in one sequence. The image tokens come
first under the causal mask, so their states do not depend on the question, and one prefix serves
all questions. Each question attends to the prefix and to itself alone, and its positions continue
the prefix. The logits equal those of one sequence a question; the prefix, two thirds of such a
sequence, is computed once instead of ten times.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from extraction.datasets.sample import Sample
from extraction.tiny.tokenizer import expand_prompt
from extraction.tiny.training import Report, StageSettings, fit

DECODER = StageSettings(steps=1000, images_per_step=8, max_gradient_norm=1.0, report_every=50)
"""Settings of the second stage on easy-VQA."""

_IMAGES_PER_BATCH = 16  # where the accuracy is computed

IGNORED = -100
"""Label of the positions that are not trained."""


@dataclass(frozen=True, kw_only=True)
class EncodedImage:
    """The questions of one image as token ids.

    Attributes:
        prefix: Everything up to the last image token.
        tails: The rest of each prompt.
        answers: The one token that answers each.
    """

    prefix: list[int]
    tails: list[list[int]]
    answers: list[int]


@dataclass(frozen=True, kw_only=True)
class PackedBatch:
    """Packed sequences, padded on the right.

    Attributes:
        input_ids: (n_images, length).
        position_ids: (n_images, length), restarted after the prefix for each question.
        attention_mask: True where the query (third axis) attends to the key (fourth),
            (n_images, 1, length, length).
        labels: The token to be predicted at each position, or IGNORED, (n_images, length).
        is_answer: True at the last position of each prompt, (n_images, length).
    """

    input_ids: Tensor
    position_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    is_answer: Tensor


LabeledImages = tuple[Tensor, Sequence[EncodedImage]]
"""Patch features, (n, 16, 128), and the questions of n images."""


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


def encode_questions(
    groups: Sequence[Sequence[Sample]], tokenizer: PreTrainedTokenizerFast, image_token_id: int
) -> list[EncodedImage]:
    """Tokenize the prompts and answers of each image.

    Args:
        groups: The questions of each image, with answers of one word.
        tokenizer: Tokenizer of the small model.
        image_token_id: Its token "<image>".

    Returns:
        One entry an image.

    Raises:
        ValueError: An answer is missing or not one word of the vocabulary.
    """
    encoded = []
    for group in groups:
        prompts = tokenizer([expand_prompt(sample.question) for sample in group])["input_ids"]
        split = len(prompts[0]) - prompts[0][::-1].index(image_token_id)
        encoded.append(
            EncodedImage(
                prefix=prompts[0][:split],
                tails=[prompt[split:] for prompt in prompts],
                answers=[_answer_id(sample, tokenizer) for sample in group],
            )
        )
    return encoded


def pack(model: LlavaForConditionalGeneration, images: Sequence[EncodedImage]) -> PackedBatch:
    """Pack each image with all of its questions, answers and end marks into one sequence.

    Args:
        model: The small LLaVA, whose end mark is predicted after an answer, so that generation stops.
        images: Encoded questions.

    Returns:
        The batch; only the answer and the end mark are labeled.
    """
    text: Any = model.config.text_config
    rows = [_pack_one(image, text.eos_token_id) for image in images]
    length = max(len(row[0]) for row in rows)
    fills = (text.pad_token_id, 0, _PADDING, IGNORED, 0)
    ids, positions, segments, labels, is_answer = (
        torch.tensor([row[k] + [fill] * (length - len(row[k])) for row in rows]) for k, fill in enumerate(fills)
    )
    return PackedBatch(
        input_ids=ids,
        position_ids=positions,
        attention_mask=_attention_mask(segments),
        labels=labels,
        is_answer=is_answer.bool(),
    )


def packed_logits(model: LlavaForConditionalGeneration, features: Tensor, batch: PackedBatch) -> Tensor:
    """Compute the logits of a packed batch from precomputed features of the frozen tower.

    Args:
        model: The small LLaVA.
        features: Patch features of the images, (n_images, 16, 128).
        batch: Their packed questions.

    Returns:
        Logits, (n_images, length, vocabulary).
    """
    embeddings = model.get_input_embeddings()(batch.input_ids)
    is_image = (batch.input_ids == model.config.image_token_id).unsqueeze(-1)
    embeddings = embeddings.masked_scatter(is_image, model.model.multi_modal_projector(features))
    states = model.model.language_model(
        inputs_embeds=embeddings,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        use_cache=False,
    ).last_hidden_state
    return model.lm_head(states)


_PREFIX, _PADDING = 0, -1  # segments; the questions are numbered from 1


def _answer_id(sample: Sample, tokenizer: PreTrainedTokenizerFast) -> int:
    vocabulary = tokenizer.get_vocab()
    if sample.answer not in vocabulary:
        raise ValueError(f"answers must be one word of the vocabulary, got {sample.answer!r} for {sample.id}")
    return vocabulary[sample.answer]


def _pack_one(image: EncodedImage, eos: int) -> tuple[list[int], ...]:
    """Return token ids, positions, segments, labels and answer flags of one sequence."""
    start = len(image.prefix)
    ids, positions, segments = list(image.prefix), list(range(start)), [_PREFIX] * start
    labels, is_answer = [IGNORED] * start, [0] * start
    for number, (tail, answer) in enumerate(zip(image.tails, image.answers, strict=True), start=1):
        ids += [*tail, answer]
        positions += range(start, start + len(tail) + 1)
        segments += [number] * (len(tail) + 1)
        labels += [IGNORED] * (len(tail) - 1) + [answer, eos]
        is_answer += [0] * (len(tail) - 1) + [1, 0]
    return ids, positions, segments, labels, is_answer


def _attention_mask(segments: Tensor) -> Tensor:
    """Allow earlier keys of the own segment or the prefix; padding sees itself, never nothing."""
    query, key = segments.unsqueeze(2), segments.unsqueeze(1)
    length = segments.shape[1]
    is_causal = torch.ones(length, length, dtype=torch.bool).tril()
    return (is_causal & ((query == key) | (key == _PREFIX))).unsqueeze(1)
