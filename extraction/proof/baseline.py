"""Proof, on real samples, that the model still makes the states of a baseline."""

from collections.abc import Sequence

import numpy as np
import torch

from extraction.model.load import VisionLanguageModel
from extraction.passes.batch import make_batch
from extraction.passes.capture import StatesPlan
from extraction.passes.encode import Prepared
from extraction.passes.prompt_pass import pass_prompts
from extraction.proof.knockout import KnockoutError, tolerance_of
from pid_jax.store import NORM, ActivationStore


@torch.inference_mode()
def prove_baseline(vlm: VisionLanguageModel, prepared: Sequence[Prepared], baseline: ActivationStore) -> float | None:
    """Compare a plain pass over samples with the states that a baseline has of them.

    Every role and layer of the baseline is compared. Batches, shared passes over images and float16 on disk round
    differently, which is allowed for by the precision of the model and of the store.

    Args:
        vlm: The model.
        prepared: Samples with rows in the baseline.
        baseline: The store, complete.

    Returns:
        The largest difference of a state, relative to the largest value of that state; None if the store has no states.

    Raises:
        KnockoutError: If states differ by more than rounding.
    """
    plan = StatesPlan(roles=baseline.roles, layers=baseline.layers)
    states = pass_prompts(vlm, make_batch(vlm, prepared), plan, has_sequel=False).recorder.states.cpu().numpy()
    rows = np.searchsorted(baseline.ids, [one.sample.id for one in prepared])
    tolerance = tolerance_of(vlm) + float(np.finfo(baseline.manifest.settings["dtype"]).eps)
    worst: float | None = None
    for slot, layer in enumerate(plan.slots):
        for r, role in enumerate(plan.roles):
            if layer == NORM and role != "last":
                continue
            stored = baseline.read(role=role, layer=layer, rows=rows)
            error = _difference(stored.astype(np.float64), states[:, slot, r])
            if not error <= tolerance:
                names = ", ".join(repr(one.sample.id) for one in prepared)
                raise KnockoutError(
                    f"The model does not make the states that {baseline.path} has of samples {names}: role {role!r}, "
                    f"layer {layer!r} differs by {error:.1e} of its largest value, and rounding explains at most "
                    f"{tolerance:.0e}. Images, weights or installed packages have changed since. Restore them, "
                    "or extract the baseline again; nothing was extracted under a knockout."
                )
            worst = max(error, worst or 0.0)
    return worst


def _difference(stored: np.ndarray, found: np.ndarray) -> float:
    """Return the largest difference of a row (rows, width), relative to its largest value."""
    largest = np.abs(stored).max(axis=1).clip(min=np.finfo(np.float32).tiny)
    return float((np.abs(found - stored).max(axis=1) / largest).max())
