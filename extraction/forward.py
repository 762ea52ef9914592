"""One pass over a batch: answers by greedy generation, and pooled states of the prompt."""

from dataclasses import dataclass

import numpy as np
import torch

from extraction.answers import is_correct
from extraction.batch import Batch, Prepared
from extraction.capture import recording
from extraction.edges import Knockout
from extraction.knockout import cutting
from extraction.models import VisionLanguageModel


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """What one pass gives.

    Attributes:
        states: (batch, layers + 2, roles, width), float32: embeddings, every block, final norm.
        answers: Generated texts.
    """

    states: np.ndarray
    answers: list[str]


@torch.inference_mode()
def run_batch(
    vlm: VisionLanguageModel, batch: Batch, roles: tuple[str, ...], knockout: Knockout | None, max_new_tokens: int
) -> BatchResult:
    """Generate greedily; the pass over the prompt is recorded on the way.

    Args:
        vlm: The model.
        batch: Its inputs.
        roles: Token groups to pool.
        knockout: Edges to cut, none for the baseline.
        max_new_tokens: Longest answer.

    Returns:
        States and answers, copied to the host once.
    """
    with cutting(vlm, knockout, batch.groups), recording(vlm, batch.groups, roles) as recorder:
        tokens = vlm.model.generate(
            **batch.inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            pad_token_id=vlm.processor.tokenizer.pad_token_id,
        )
    texts = vlm.processor.tokenizer.batch_decode(tokens[:, batch.length :], skip_special_tokens=True)
    return BatchResult(states=recorder.states.cpu().numpy(), answers=[text.strip() for text in texts])


def describe_sample(prepared: Prepared, batch: Batch, row: int, answer: str) -> dict[str, object]:
    """Collect the columns of one sample for the store."""
    sample = prepared.sample
    return {
        "task": sample.task,
        "image": sample.image_name,
        "question": sample.question,
        "gold": sample.answer or "",
        "predicted": answer,
        "correct": is_correct(answer, sample.answer),
        "n_image": int(batch.groups.image[row].sum()),
        "n_question": int(batch.groups.question[row].sum()),
    }
