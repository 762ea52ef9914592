"""Proof, on the real model and real samples, that the states of an image do not depend on the question."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from extraction.capture import StatesPlan
from extraction.encode import Encoder, Prepared
from extraction.forward import ForwardPlan, run_batch
from extraction.models import VisionLanguageModel
from extraction.selftest import AGREEMENT

_ROLES = ("image", "question", "last")


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


def prove_prefix(vlm: VisionLanguageModel, encoder: Encoder, prepared: Sequence[Prepared]) -> PrefixProof | None:
    """Ask two questions about one image, together and each alone.

    Args:
        vlm: The model.
        encoder: Its encoder.
        prepared: Two real samples; the image of the first is used.

    Returns:
        What was measured; None where there are no two samples, the image does not precede the question, or states are
        not finite, which makes failures of the samples and no proof.

    Raises:
        PrefixError: If the states differ by more than the model's precision.
    """
    if len(prepared) < 2 or not prepared[0].prefix:
        return None
    other = encoder.prepare(replace(prepared[1].sample, image=prepared[0].sample.image))
    layers = tuple(range(len(vlm.layers) + 1))
    plan = ForwardPlan(states=StatesPlan(roles=_ROLES, layers=layers), max_new_tokens=1)
    together = run_batch(vlm, [prepared[0], other], plan)[0].states
    alone = [run_batch(vlm, [one], plan)[0].states[0] for one in (prepared[0], other)]
    if not np.isfinite(alone).all():
        return None
    proof = PrefixProof(
        image_error=_difference(alone[0][:, 0], alone[1][:, 0]), shared_error=_difference(together, np.stack(alone))
    )
    tolerance = AGREEMENT.get(vlm.model.dtype, 1e-1)
    if not max(proof.image_error, proof.shared_error) < tolerance:
        raise PrefixError(
            f"The states of an image depend on the question in {type(vlm.model).__name__} (relative difference "
            f"{proof.image_error:.1e}; {proof.shared_error:.1e} when two questions share a pass): its attention is not "
            "causal over the image. Extract without sharing: --no-share-images."
        )
    return proof


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max() / max(float(np.abs(one).max()), 1e-12))
