"""Accuracy of a small LLaVA by greedy generation through its processor."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from extraction.datasets.sample import Sample, is_correct
from extraction.model.load import VisionLanguageModel, load_model
from extraction.passes.capture import StatesPlan
from extraction.passes.edges import Knockout
from extraction.passes.encode import Encoder
from extraction.passes.forward import ForwardPlan, run_batch
from extraction.tiny.tokenizer import PROMPT
from extraction.tiny.training import single_thread

_BATCH = 64  # questions generated for at once
_MAX_NEW_TOKENS = 2  # the answer and the end mark


def evaluate_tiny(model_folder: Path, samples: Sequence[Sample], knockout: Knockout | None = None) -> dict[str, float]:
    """Compute the accuracy of a saved model, task by task.

    Args:
        model_folder: Folder written by a training, or of a shipped model.
        samples: Questions with answers.
        knockout: Attention edges to cut, none if not given.

    Returns:
        Fraction of correct answers of each task, in the order of the tasks' first samples.

    Raises:
        ValueError: No samples, a sample without an answer, or a folder without a model.
    """
    if not samples:
        raise ValueError("samples must hold at least one question, got none.")
    hidden = [sample.id for sample in samples if sample.answer is None]
    if hidden:
        raise ValueError(f"samples must have answers, but {len(hidden)} have none, the first is {hidden[0]}.")
    vlm = load_model(str(model_folder), dtype="float32", device="cpu", local_files_only=True)
    total: Counter[str] = Counter()
    right: Counter[str] = Counter()
    with single_thread():
        for start in range(0, len(samples), _BATCH):
            batch = samples[start : start + _BATCH]
            for sample, answer in zip(batch, generate_answers(vlm, batch, knockout), strict=True):
                total[sample.task] += 1
                right[sample.task] += is_correct(answer, sample.answer)
    return {task: right[task] / total[task] for task in total}


def generate_answers(
    vlm: VisionLanguageModel, samples: Sequence[Sample], knockout: Knockout | None = None
) -> list[str]:
    """Generate the answers to one batch of questions, greedily."""
    encoder = Encoder.of(vlm, PROMPT)
    plan = ForwardPlan(states=StatesPlan(roles=(), layers=(0,)), max_new_tokens=_MAX_NEW_TOKENS)
    return run_batch(vlm, [encoder.prepare(sample) for sample in samples], plan, [knockout])[0].answers
