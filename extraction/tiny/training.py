"""What the trainings of all small models share: the frame of a training, and the optimization in its two stages."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from extraction.tiny.architecture import DECODER_LAYERS, build_model
from extraction.tiny.tokenizer import build_processor

WARMUP_FRACTION = 0.05
LEARNING_RATE = 1.5e-3  # peak of the schedule
WEIGHT_DECAY = 0.01

Report = Callable[[str], None]
"""Called with a line of progress."""

Stages = Callable[
    [LlavaForConditionalGeneration, LlavaProcessor, torch.Generator], tuple[list[float], list[float], float]
]
"""Trains a model in place; returns the losses of both stages and the accuracy on held-out images."""


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """Settings of one stage of the training.

    Attributes:
        steps: Number of steps, fixed, so that a training can be repeated.
        images_per_step: Batch size.
        max_gradient_norm: Longer gradients are shortened to it.
        report_every: Steps between two lines of progress.
    """

    steps: int
    images_per_step: int
    max_gradient_norm: float = math.inf
    report_every: int = 100


@dataclass(frozen=True, kw_only=True)
class TrainingSummary:
    """What a training did.

    Attributes:
        folder: The model, for `from_pretrained`.
        parameters: Number of parameters.
        tower_loss: Loss of every step of the first stage, in nats.
        decoder_loss: Loss of every step of the second stage, in nats.
        held_out_accuracy: Accuracy on the questions of images that were not trained on.
        cpu_seconds: CPU time of the training.
    """

    folder: Path
    parameters: int
    tower_loss: tuple[float, ...]
    decoder_loss: tuple[float, ...]
    held_out_accuracy: float
    cpu_seconds: float


def train_model(
    out: Path, stages: Stages, vocabulary: Sequence[str], *, seed: int, report: Report, layers: int = DECODER_LAYERS
) -> TrainingSummary:
    """Build a small LLaVA, train it on one thread, and save it in float16, which it loses nothing by.

    Args:
        out: Folder to write; made before the training, so that a bad one is found out early.
        stages: The training.
        vocabulary: Words of the tokenizer.
        seed: Seed of initialization and stages.
        report: Called with lines of progress.
        layers: Number of decoder layers.

    Raises:
        FileExistsError: `out` exists and is not an empty folder.
    """
    out = Path(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise FileExistsError(f"out must be a new or empty folder, but {out} exists and is not empty; choose another")
    out.mkdir(parents=True, exist_ok=True)
    start, generator = time.process_time(), torch.Generator().manual_seed(seed)
    processor = build_processor(vocabulary)
    with single_thread():
        model = build_model(processor.tokenizer, generator, layers)
        tower_loss, decoder_loss, accuracy = stages(model, processor, generator)
    report(f"accuracy on held-out images {accuracy:.4f}")
    model.half().save_pretrained(out)
    processor.save_pretrained(out)
    return TrainingSummary(
        folder=out,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        tower_loss=tuple(tower_loss),
        decoder_loss=tuple(decoder_loss),
        held_out_accuracy=accuracy,
        cpu_seconds=time.process_time() - start,
    )


def fit(
    name: str,
    next_loss: Callable[[], Tensor],
    parameters: Iterable[nn.Parameter],
    settings: StageSettings,
    report: Report,
) -> list[float]:
    """Minimize a loss with AdamW.

    Args:
        name: Of the stage, for the lines of progress.
        next_loss: Draws a batch and computes its loss; called once a step.
        parameters: What is trained, in place.
        settings: Steps and optimizer.
        report: Called with a line of progress.

    Returns:
        The loss of every step.
    """
    parameters = list(parameters)
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    warmup = max(1, round(WARMUP_FRACTION * settings.steps))

    def factor(step: int) -> float:
        """Rise linearly over the first 5 % of the steps, then fall to zero as half a cosine."""
        fall = 0.5 * (1 + math.cos(math.pi * max(0, step - warmup) / max(1, settings.steps - warmup)))
        return min((step + 1) / warmup, 1.0) * fall

    schedule, losses = LambdaLR(optimizer, factor), list[float]()
    for step in range(1, settings.steps + 1):
        loss = next_loss()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, settings.max_gradient_norm)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % settings.report_every == 0:
            mean = sum(losses[-settings.report_every :]) / settings.report_every
            report(f"{name} step {step}/{settings.steps}: loss {mean:.4f} nats")
    return losses


@contextmanager
def single_thread() -> Iterator[None]:
    """Compute on one thread inside the block, then restore the number of threads.

    The matrices are too small to share: two threads gain a quarter on an idle machine and lose
    a factor of 20 and more on a busy one. The order of the sums, and so the result of a
    training, does not depend on the number of cores either.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
