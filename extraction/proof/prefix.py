"""Proof, on the real model and real samples, that the states of an image do not depend on the question."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from extraction.errors import SampleError
from extraction.model.load import VisionLanguageModel
from extraction.passes.encode import Encoder, Prepared
from extraction.passes.forward import ForwardPlan, run_batch
from extraction.proof.knockout import difference, every_state, tolerance_of


class PrefixError(RuntimeError):
    """States of the image depend on the question, so questions cannot share a pass over it."""


@dataclass(frozen=True, kw_only=True)
class PrefixProof:
    """What was measured.

    Attributes:
        image_error: Difference of the image's states under two questions, relative to the largest state.
        shared_error: Difference of all states between a question that shares the pass over its image and the same
            question alone, relative to the largest state.
    """

    image_error: float
    shared_error: float


def prove_prefix(vlm: VisionLanguageModel, encoder: Encoder, candidates: Sequence[Prepared]) -> PrefixProof | None:
    """Ask two questions about one image, together and each alone.

    Args:
        vlm: The model.
        encoder: Its encoder.
        candidates: Real samples with different questions; the image of the first is used.

    Returns:
        What was measured; None where there are no two questions, the image does not precede the question, or no pair
        has finite states, which makes failures of the samples and no proof.

    Raises:
        PrefixError: If the states differ by more than the model's precision.
    """
    if not candidates or not candidates[0].prefix:
        return None
    for candidate in candidates[1:]:
        try:
            other = encoder.prepare(replace(candidate.sample, image=candidates[0].sample.image))
        except SampleError:  # the question does not fit to this image
            continue
        proof = _measure(vlm, candidates[0], other)
        if proof is None:
            continue
        if not np.max([proof.image_error, proof.shared_error]) < tolerance_of(vlm):  # also where one is NaN
            raise PrefixError(
                f"Questions about one image cannot share a pass over it in {type(vlm.model).__name__}: the states of "
                f"the image differ by {proof.image_error:.1e} between two questions, and all states by "
                f"{proof.shared_error:.1e} between a shared pass and one alone. Its attention is not causal over the "
                "image, or its decoder changes the embeddings before the first block. Extract without sharing: "
                "--no-share-images."
            )
        return proof
    return None


def _measure(vlm: VisionLanguageModel, one: Prepared, other: Prepared) -> PrefixProof | None:
    plan = ForwardPlan(states=every_state(vlm), max_new_tokens=1)
    together = run_batch(vlm, [one, other], plan)[0].states
    alone = np.stack([run_batch(vlm, [prepared], plan)[0].states[0] for prepared in (one, other)])
    if not np.isfinite(alone).all():
        return None
    at_image = plan.states.roles.index("image")
    shared, (first, second) = torch.from_numpy(together), torch.from_numpy(alone)[:, :, at_image]
    return PrefixProof(image_error=difference(first, second), shared_error=difference(shared, torch.from_numpy(alone)))
