"""What the trainings of all small models share: threads, where the model goes, and what is said about it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import LlavaForConditionalGeneration, LlavaProcessor


@dataclass(frozen=True, kw_only=True)
class TrainingSummary:
    """What a training did.

    Attributes:
        folder: The model, for `from_pretrained`.
        parameters: Number of parameters.
        tower_loss: Loss of every step of the first stage, in nats.
        decoder_loss: Loss of every step of the second stage, in nats.
        held_out_accuracy: Accuracy on the questions of images that were not trained on.
        cpu_seconds: CPU time of reading, training and saving.
    """

    folder: Path
    parameters: int
    tower_loss: tuple[float, ...]
    decoder_loss: tuple[float, ...]
    held_out_accuracy: float
    cpu_seconds: float


def make_folder(out: Path) -> None:
    """Make the folder of a model before the training, so that a bad one is found out early.

    Raises:
        FileExistsError: `out` exists and is not an empty folder.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise FileExistsError(f"out must be a new or empty folder, but {out} exists and is not empty; choose another")
    out.mkdir(parents=True, exist_ok=True)


def save_model(model: LlavaForConditionalGeneration, processor: LlavaProcessor, out: Path) -> None:
    """Write the folder; weights in float16, which the small model loses nothing by."""
    out.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(out)
    processor.save_pretrained(out)


def count_parameters(model: LlavaForConditionalGeneration) -> int:
    """Count the parameters of a model."""
    return sum(parameter.numel() for parameter in model.parameters())


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
